"""Neural common neighbour with completion: neighbours of one node count as far as the other may
be linked to them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from gnnzoo.nn.calibration import Calibration
from gnnzoo.nn.checks import check_count
from gnnzoo.nn.completion_table import (
    all_links,
    complete_by_table,
    symmetric_table,
    worth_a_table,
)
from gnnzoo.nn.ncn_blocks import chance_block
from gnnzoo.nn.ncn_predictor import NCNPredictor
from gnnzoo.nn.pair_lists import merged, neighbors_of, pieces, select, unique_pairs
from gnnzoo.nn.pair_predictors import pair_product
from gnnzoo.nn.plain_logits import plain_logits
from gnnzoo.ops import Bags, Graph, neighbor_overlap, pool_bags, sample_bags
from gnnzoo.ops.spmm import compute_dtype

# Values that links asked about have in one layer, where `split_size` says nothing: on a CPU what
# its caches hold (1.5 times faster than all at once on Cora), elsewhere what bounds the memory.
CACHED_VALUES, MAX_VALUES = 1 << 18, 1 << 25
RISE_AFTER, RISE_EPOCHS = 5, 10
MAX_ITEMS = 1 << 22  # neighbours of pairs that are completed in one go, about 100 bytes each


@dataclass(eq=False)
class Level:
    """What the model of one depth reads, and its logits of all links once they are made."""

    x: Tensor
    pooled: Tensor  # x'
    graph: Graph
    table: Tensor | None = None  # [num_nodes, num_nodes]


class NCNCPredictor(NCNPredictor):
    r"""Neural common neighbour with completion (NCNC).

    The overlap also holds what only one node of the pair (i, j) is linked to, weighted with the
    probability that the other is too, as the model itself sees it:

    .. math::
        \sum_{N(i) \cap N(j)} x'_u + \sum_{N(i) \setminus N(j)} P_{ju} x'_u
        + \sum_{N(j) \setminus N(i)} P_{iu} x'_u, \qquad
        P_{ab} = \alpha\, \sigma(\text{scale}\,(z_{ab} - \text{offset}) + \ln pt)

    :math:`z_{ab}` is the logit of the same model at a depth less, 0 being that of `NCNPredictor`,
    without gradient. The links asked about are evaluated once for each unordered pair.

    Paper: "Neural Common Neighbor with Completion for Link Prediction" (Wang, Yang and Zhang, ICLR
    2024), eq. 12 and 13, https://arxiv.org/abs/2302.00890. NCNC2 is `depth` 2.
    Differs from the published code unless `reference_compat` is set: the inner model reads x, not
    x', so that it is the outer one at a depth less; it sees the edges that the outer one sees,
    instead of dropping some once more; its networks drop nothing out; and a pair that is an edge
    does not ask about (i, i).

    Args:
        in_channels, dropout, edge_dropout, layer_norm, node_mlp, tail_act, two_layer, beta: As
            those of `NCNPredictor`, whose trained weights can be loaded; only those of a learned
            prior are then missing.
        alpha: Weight of what is completed, 0 or more; `set_alpha` changes it.
        increase_alpha: Whether it is 0 in the first five epochs of training and grows to `alpha` in
            ten more.
        scale, offset: Of the logits, to calibrate them.
        pt: Prior of a link, in (0, 1]: factor of the odds.
        learn_pt: Whether the prior is learned instead, one for each target pair.
        depth: How often completion is nested; 0 is NCN.
        train_cap, eval_cap: Most nodes completed on each side of a pair, in training and else,
            drawn with replacement and weighted to the same mean; -1 for all.
        split_size: Most links asked about at a time, which bounds memory; -1 chooses it.
        dedupe: Whether a link that is asked about more than once is evaluated once. Exact but for
            what is drawn at random.
        table: Whether all links of the graph are evaluated instead, if nothing is capped; None:
            where there are fewer of them than a call asks about. The same but for dropout.
        reference_compat: Whether completion is as in the published code, see above.

    Shapes and errors are those of `NCNPredictor`.
    """

    new_parts = ("alpha", "epoch", "chance_mlp")

    def __init__(
        self,
        in_channels: int,
        dropout: float = 0.0,
        edge_dropout: float = 0.0,
        layer_norm: bool = False,
        node_mlp: bool = False,
        tail_act: bool = False,
        two_layer: bool = False,
        beta: float = 1.0,
        alpha: float = 1.0,
        increase_alpha: bool = False,
        scale: float = 5.0,
        offset: float = 3.0,
        pt: float = 0.5,
        learn_pt: bool = False,
        depth: int = 1,
        train_cap: int = -1,
        eval_cap: int = -1,
        split_size: int = -1,
        dedupe: bool = True,
        table: bool | None = None,
        reference_compat: bool = False,
    ) -> None:
        super().__init__(
            in_channels,
            "ncn",
            dropout,
            edge_dropout,
            layer_norm,
            node_mlp,
            tail_act,
            two_layer,
            beta,
        )
        check_count("depth", depth, 0)
        if not 0 < pt <= 1:
            raise ValueError(f"pt must be in (0, 1], got {pt}")
        most = {"train_cap": train_cap, "eval_cap": eval_cap, "split_size": split_size}
        for name, value in most.items():
            if value != -1:
                check_count(f"{name}, if not -1 for all,", value, 1)
        self.scale, self.offset, self.pt, self.depth = scale, offset, pt, depth
        self.train_cap, self.eval_cap, self.split_size = train_cap, eval_cap, split_size
        self.dedupe, self.table = dedupe, table
        self.reference_compat = reference_compat
        self.register_buffer("alpha", torch.tensor(1.0))
        self.set_alpha(alpha)
        self.full_alpha = alpha
        self.register_buffer("epoch", torch.tensor(0) if increase_alpha else None)
        self.chance_mlp = chance_block(in_channels) if learn_pt else None

    def set_alpha(self, alpha: float) -> None:
        """Change the weight of what is completed; saved with the weights."""
        if not (alpha >= 0 and math.isfinite(alpha)):
            raise ValueError(f"alpha must be at least 0, got {alpha}")
        self.alpha.fill_(alpha)

    def start_epoch(self) -> None:
        if self.epoch is not None:
            self.epoch += 1
            share = (int(self.epoch) - RISE_AFTER) / RISE_EPOCHS
            self.set_alpha(self.full_alpha * min(max(share, 0.0), 1.0))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        state_dict.setdefault(f"{prefix}alpha", self.alpha)  # weights of NCN have none
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor, graph: Graph, pairs: Tensor) -> Tensor:
        if self.depth == 0:
            return super().forward(x, graph, pairs)
        pairs = self.checked(x, graph, pairs)
        return self._scores(self._levels(x, graph, pairs), pairs)

    def scorer(self, x: Tensor, graph: Graph) -> Callable[[Tensor], Tensor]:
        """As of `PairPredictor`: x', and the table of all links if one is made, are made once."""
        if self.depth == 0:
            return super().scorer(x, graph)
        levels = self._levels(x, graph)
        return lambda pairs: self._scores(levels, self.checked(x, graph, pairs))

    def _levels(self, x: Tensor, graph: Graph, pairs: Tensor | None = None) -> list[Level]:
        """The outermost first; x' is made once for all that share it.

        Where all pairs are known it is made for the nodes that they lead to, as far as those are
        easily told, and is zero elsewhere.
        """
        graph = self.visible(graph)
        used = None
        if pairs is not None and self._looks_one_step(graph, pairs):
            used = neighbors_of(graph, pairs)
        levels = [Level(x, self._with_mlp(x, used), graph)]
        with torch.no_grad():
            for _ in range(self.depth):
                outer = levels[-1]
                if self.reference_compat:
                    x = outer.pooled
                    levels.append(Level(x, self._with_mlp(x), self.visible(outer.graph)))
                else:
                    levels.append(Level(outer.x, outer.pooled, outer.graph))
        return levels

    def _looks_one_step(self, graph: Graph, pairs: Tensor) -> bool:
        """Whether x' is read of neighbours of the pairs alone.

        What a link that is asked about has in common is then among the neighbours of that end of
        it which comes from the pair.
        """
        return self.depth == 1 and not (self.reference_compat or self._uses_table(graph, pairs))

    def _with_mlp(self, x: Tensor, used: Tensor | None = None) -> Tensor:
        if self.node_mlp is None:
            return x
        if used is None:
            return x + self.node_mlp(x)
        part = x.index_select(0, used)
        part = part + self.node_mlp(part)
        return part.new_zeros(x.shape).index_copy(0, used, part)

    def _scores(self, levels: list[Level], pairs: Tensor) -> Tensor:
        level, *inner = levels
        parts = list(pieces(level.graph, pairs, MAX_ITEMS)) if inner else [pairs]
        if len(parts) > 1:
            return torch.cat([self._scores(levels, part) for part in parts])
        if not inner:
            common = neighbor_overlap(level.graph, pairs).common
            pooled, counts = pool_bags(level.pooled, common), common.counts()
        else:
            log_prior: Tensor | float = math.log(self.pt)
            if self.chance_mlp is not None:
                prior = self.chance_mlp(pair_product(level.x, pairs)).squeeze(1)
                log_prior = logsigmoid(prior.to(compute_dtype(prior)))  # [num_pairs]
            complete = self._by_table if self._uses_table(level.graph, pairs) else self._by_queries
            pooled, counts = complete(level, inner, pairs, log_prior)
        return self.logits(level.x, pairs, self.of_overlap(pooled, counts))

    def _uses_table(self, graph: Graph, pairs: Tensor) -> bool:
        if (self.train_cap if self.training else self.eval_cap) != -1 or pairs.numel() == 0:
            return False
        return worth_a_table(graph, pairs) if self.table is None else self.table

    def _by_table(
        self, level: Level, inner: list[Level], pairs: Tensor, log_prior: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """As `_by_queries`, from the logits of all links there may be."""
        if inner[0].table is None:
            links = all_links(level.graph.num_nodes, pairs.device)
            logits = self._asked(inner, links)
            inner[0].table = symmetric_table(links, logits, level.graph.num_nodes)
        calibration = Calibration(self.scale, self.offset, self.alpha)
        return complete_by_table(
            level.pooled,
            level.graph,
            pairs,
            inner[0].table,
            calibration,
            log_prior,
            with_themselves=self.reference_compat,
        )

    def _by_queries(
        self, level: Level, inner: list[Level], pairs: Tensor, log_prior: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """Pooled overlaps ``[num_pairs, in_channels]``, and how many nodes are in each."""
        found = neighbor_overlap(level.graph, pairs, differences=True)
        first, of_first = self._to_complete(found.first_only, pairs[1])
        second, of_second = self._to_complete(found.second_only, pairs[0])
        owners = first.owner(), second.owner()
        ends = torch.cat([pairs[1][owners[0]], pairs[0][owners[1]]])
        links = torch.stack([ends, torch.cat([first.node, second.node])])
        place = None
        if self.dedupe:
            links, place = unique_pairs(links, level.graph.num_nodes)
        logits = self._asked(inner, links)
        logits = logits if place is None else logits[place]
        if isinstance(log_prior, Tensor):
            log_prior = log_prior[torch.cat(owners)]
        chance = Calibration(self.scale, self.offset, self.alpha)(logits, log_prior)
        weight = torch.cat([of_first, of_second]) * chance
        weight = torch.cat([weight.new_ones(found.common.num_items), weight])
        bags, place = merged([found.common, first, second])
        weight = torch.empty_like(weight).index_copy(0, place, weight)
        return pool_bags(level.pooled, bags, weight), bags.counts()

    def _to_complete(self, bags: Bags, other: Tensor) -> tuple[Bags, Tensor]:
        """Nodes to ask about beside the other node of each pair, and their weights."""
        if not self.reference_compat:
            owner = bags.owner()
            bags = select(bags.num_bags, owner, bags.node, bags.node != other[owner])
        if self.training:
            return sample_bags(bags, self.train_cap)
        same = torch.Generator(bags.node.device).manual_seed(0)  # a score is no matter of chance
        return sample_bags(bags, self.eval_cap, same)

    @torch.no_grad()
    def _asked(self, levels: list[Level], links: Tensor) -> Tensor:
        """Logits ``[num_links]`` of links that may be missing."""
        step = self.split_size
        if step == -1:
            values = CACHED_VALUES if links.device.type == "cpu" else MAX_VALUES
            step = max(values // self.in_channels, 1)
        networks = [self.overlap_mlp, self.product_mlp, self.score_mlp]
        drops = self.training and self.reference_compat
        before = [network.training for network in networks]
        try:
            for network in networks:
                network.train(drops)
            if len(levels) == 1 and not drops:
                level = levels[0]
                return plain_logits(self, level.x, level.pooled, level.graph, links, step)
            return torch.cat([self._scores(levels, part) for part in links.split(step, dim=1)])
        finally:
            for network, training in zip(networks, before, strict=True):
                network.train(training)
