"""Neural common neighbour: a pair of nodes seen through the neighbours that both have."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.nn.ncn_blocks import node_block, overlap_block, product_block, reset, score_block
from gnnzoo.nn.pair_predictors import (
    PairPredictor,
    as_pairs,
    check_embeddings,
    last_layer,
    pair_product,
)
from gnnzoo.nn.two_hop_overlap import near_and_far
from gnnzoo.ops import Bags, Graph, keep_entries, neighbor_overlap, pool_bags

VARIANTS = ("gae", "gae+cn", "ncn", "ncn-diff", "ncn2")
POOLING = ("ncn", "ncn-diff", "ncn2")
NEGLIGIBLE = 1e-6  # edge dropout below this is none


class NCNPredictor(PairPredictor):
    r"""Neural common neighbour (NCN) and the simpler models that it is compared with.

    .. math::
        z_{ij} = o\Big(\beta f\big(\textstyle\sum_{u \in N(i) \cap N(j)} x'_u\big)
        + g(x_i \odot x_j)\Big), \qquad x' = x + h(x)

    with small networks f, g, h, o (see `gnnzoo.nn.ncn_blocks`). Variants: ``gae`` has no f;
    ``gae+cn`` counts common neighbours instead of pooling them; ``ncn-diff`` adds
    :math:`f_d(\sum_{N(i) \setminus N(j)} x'_u + \sum_{N(j) \setminus N(i)} x'_u)`, and ``ncn2``
    :math:`f_{12}(\sum_{N(i) \cap N^2(j)} x'_u + \sum_{N^2(i) \cap N(j)} x'_u)` with N² all that two
    steps reach.

    Paper: "Neural Common Neighbor with Completion for Link Prediction" (Wang, Yang and Zhang, ICLR
    2024), eq. 9, https://arxiv.org/abs/2302.00890. Known for Cora, Citeseer, Pubmed and the link
    data sets of the Open Graph Benchmark, with the encoder `gnnzoo.models.NCNMPNN`.
    Differs from the paper: the two branches are added up, as in the published code, not put side by
    side. Differs from the code: the variants honour all settings, and a variant without f or
    pooling has no weights for it.

    Args:
        in_channels: Width of the embeddings and of all branches.
        variant: One of the above.
        dropout: Share of hidden values dropped in training.
        edge_dropout: Share of edges that overlaps do not see in training; each direction of a link
            goes by itself, and both nodes of a pair see the same edges.
        layer_norm: Whether branches have layer norm.
        node_mlp: Whether there is h; otherwise :math:`x' = x`.
        tail_act: Whether f and g end in their activation instead of a linear map.
        two_layer: Whether o has a second hidden layer.
        beta: What the learned weight of f starts from.

    Shapes:
        x: ``[num_nodes, in_channels]``.
        graph: Edges that it may see: target link removal is up to the caller.
        pairs: ``[2, num_pairs]``, integer.
        returns: ``[num_pairs]``, logits.

    Raises:
        ValueError: If a setting is out of range, or an input is malformed.
    """

    def __init__(
        self,
        in_channels: int,
        variant: str = "ncn",
        dropout: float = 0.0,
        edge_dropout: float = 0.0,
        layer_norm: bool = False,
        node_mlp: bool = False,
        tail_act: bool = False,
        two_layer: bool = False,
        beta: float = 1.0,
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_choice("variant", variant, VARIANTS)
        check_probability("dropout", dropout)
        check_probability("edge_dropout", edge_dropout)
        self.in_channels = in_channels
        self.variant = variant
        self.dropout = dropout
        self.edge_dropout = edge_dropout
        self.start_beta = beta
        pools = variant in POOLING
        node = node_mlp and pools
        self.node_mlp = node_block(in_channels, dropout, layer_norm) if node else None
        self.overlap_mlp = self.outer_mlp = self.beta = None
        if variant != "gae":
            width = in_channels if pools else 1
            self.overlap_mlp = overlap_block(width, in_channels, dropout, layer_norm, tail_act)
            self.beta = nn.Parameter(torch.full((1,), float(beta)))
        if variant in ("ncn-diff", "ncn2"):
            self.outer_mlp = overlap_block(in_channels, in_channels, dropout, layer_norm, tail_act)
        self.product_mlp = product_block(in_channels, dropout, layer_norm, tail_act)
        self.score_mlp = score_block(in_channels, dropout, layer_norm, two_layer)

    @property
    def reads_graph(self) -> bool:
        return self.variant != "gae"

    def reset_parameters(self) -> None:
        reset(self)
        if self.beta is not None:
            nn.init.constant_(self.beta, self.start_beta)

    def forward(self, x: Tensor, graph: Graph | None, pairs: Tensor) -> Tensor:
        return self._scored(x, graph, pairs)

    def scorer(self, x: Tensor, graph: Graph | None) -> Callable[[Tensor], Tensor]:
        """As of `PairPredictor`: x' is made once, for all nodes."""
        pooled = None if self.node_mlp is None else x + self.node_mlp(x)
        return lambda pairs: self._scored(x, graph, pairs, pooled)

    def _scored(
        self, x: Tensor, graph: Graph | None, pairs: Tensor, pooled: Tensor | None = None
    ) -> Tensor:
        pairs = self.checked(x, graph, pairs)
        if self.variant == "gae":
            return self.logits(x, pairs)
        graph = self.visible(graph)
        found = neighbor_overlap(graph, pairs, differences=self.variant == "ncn-diff")
        counts = found.common.counts()
        if self.variant == "gae+cn":
            return self.logits(x, pairs, self.of_overlap(counts.unsqueeze(1).to(x.dtype), counts))
        outer = None
        if self.variant == "ncn-diff":
            outer = (found.first_only, found.second_only)
        elif self.variant == "ncn2":
            outer = near_and_far(graph, pairs)
        common, *rest = self._sums(x, [found.common, *(outer or ())], pooled)
        branch = self.of_overlap(common, counts)
        if outer is not None:
            branch = branch + self.outer_mlp(rest[0] + rest[1])
        return self.logits(x, pairs, branch)

    def checked(self, x: Tensor, graph: Graph | None, pairs: Tensor) -> Tensor:
        """The pairs as int64, all inputs looked at."""
        check_embeddings(x, self.in_channels)
        if self.reads_graph and x.size(0) != graph.num_nodes:
            raise ValueError(f"the graph has {graph.num_nodes} nodes, x has {x.size(0)} rows")
        return as_pairs(pairs, x.size(0))

    def visible(self, graph: Graph) -> Graph:
        """The graph, in training without a random share of its edges."""
        if not self.training or self.edge_dropout < NEGLIGIBLE:
            return graph
        keep = torch.rand(graph.num_edges, device=graph.device) >= self.edge_dropout
        return keep_entries(graph, keep)

    def _sums(self, x: Tensor, bags: list[Bags], pooled: Tensor | None) -> list[Tensor]:
        """Sums of x' over bags; where x' is not there yet, it is made for the nodes in them."""
        if pooled is None:
            pooled = x
            if self.node_mlp is not None:
                x, bags = only_used(x, bags)
                pooled = x + self.node_mlp(x)
        return [pool_bags(pooled, part) for part in bags]

    def of_overlap(self, pooled: Tensor, counts: Tensor) -> Tensor:
        r"""The branch :math:`\beta f`; empty overlaps share a row as far as nothing is drawn.

        Shapes:
            pooled: ``[num_pairs, channels]``.
            counts: ``[num_pairs]``, 0 where `pooled` is zero.
            returns: ``[num_pairs, in_channels]``.
        """
        rows = counts.nonzero().squeeze(1)
        if 2 * rows.numel() > counts.numel():
            return self.beta * self.overlap_mlp(pooled)
        some = torch.cat([pooled.new_zeros(1, pooled.size(1)), pooled.index_select(0, rows)])
        if self.overlap_mlp.training and self.dropout > 0:
            first, rest = self.overlap_mlp[0], self.overlap_mlp[1:]
            return self.beta * rest(spread(first(some), rows, counts.numel()))
        return spread(self.beta * self.overlap_mlp(some), rows, counts.numel())

    def logits(self, x: Tensor, pairs: Tensor, branch: Tensor | None = None) -> Tensor:
        """``[num_pairs]``: o of g and what overlaps add to it."""
        h = self.product_mlp(pair_product(x, pairs))
        h = self.score_mlp[:-1](h if branch is None else h + branch)
        return last_layer(self.score_mlp[-1], h)


def spread(some: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    """The first of some rows everywhere but at `rows`, which the others take."""
    return some[0].expand(num_rows, -1).index_copy(0, rows, some[1:])


def only_used(x: Tensor, bags: list[Bags]) -> tuple[Tensor, list[Bags]]:
    """The rows of `x` that are in some bag, and the same bags of those rows."""
    used = torch.zeros(x.size(0), dtype=torch.bool, device=x.device)
    for part in bags:
        used[part.node] = True
    place = used.cumsum(0) - 1
    rows = x.index_select(0, used.nonzero().squeeze(1))
    return rows, [Bags(part.offsets, place[part.node]) for part in bags]
