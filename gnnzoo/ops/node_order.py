"""Nodes of graphs as sequences: by importance, ties broken at random, by place or by structure."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.utils import lexsort

from gnnzoo.ops.graph import Graph
from gnnzoo.ops.sequences import Sequences
from gnnzoo.ops.sparse_features import SparseFeatures
from gnnzoo.ops.spmm import spmm

ORDERS = ("degree", "pagerank", "none")
TIES = ("noise", "index", "canonical")
STEPS = 20  # of PageRank's power iteration
DAMPING = 0.85
DECIMALS = 9  # what PageRanks of exchangeable nodes agree in, whatever the order of a sum
ROUNDS = 3  # of colour refinement


class LineUp:
    """Nodes of every graph one after the other, in one order or in several.

    Args:
        nodes: The node at each place, all of the first order, then all of the second, and so on.
        sequences: Which places are one sequence.
        num_orders: How many orders.

    Shapes:
        nodes: ``[num_orders * num_nodes]``, int64.
    """

    def __init__(self, nodes: Tensor, sequences: Sequences, num_orders: int) -> None:
        self.nodes, self.sequences, self.num_orders = nodes, sequences, num_orders
        places = torch.arange(nodes.numel(), device=nodes.device).view(num_orders, -1)
        self.places = torch.empty_like(places).scatter_(1, nodes.view(num_orders, -1), places)

    def line_up(self, x: Tensor) -> Tensor:
        """Rows of nodes as tokens, ``[num_orders * num_nodes, channels]``."""
        return x.index_select(0, self.nodes)

    def put_back(self, y: Tensor) -> Tensor:
        """Tokens as rows of nodes, averaged over the orders, ``[num_nodes, channels]``."""
        y = y.index_select(0, self.places.view(-1))
        return y if self.num_orders == 1 else y.view(*self.places.shape, -1).mean(0)

    def __repr__(self) -> str:
        return f"LineUp({self.places.size(1)} nodes, {self.num_orders} orders)"


@dataclass(frozen=True)
class NodeOrder:
    """How nodes of a graph become a sequence: the least important first.

    Evaluation draws nothing: what is random in training comes from a hash of the place that a node
    has in its graph, so that results depend on the graph alone, whatever else is in the batch.

    Args:
        order: Importance: ``degree``, of incoming edges; ``pagerank``; or ``none``, all the same.
        tie: What decides between equals: ``noise``, anew for each call in training; ``index``,
            their place in the graph; ``canonical``, number of neighbours' neighbours, three rounds
            of colour refinement, then the features, so that relabelling nodes changes nothing
            unless two agree in all of them. ``order="none", tie="noise"`` is a random order.
        eval_draws: Orders averaged over at evaluation, with ``noise`` or bins.
        num_bins: Sequences that the nodes of a graph are dealt out to at random.

    Raises:
        ValueError: If a setting is unknown or out of range.
    """

    order: str = "degree"
    tie: str = "noise"
    eval_draws: int = 1
    num_bins: int = 1

    def __post_init__(self) -> None:
        for name, known in (("order", ORDERS), ("tie", TIES)):
            if getattr(self, name) not in known:
                names = ", ".join(map(repr, known))
                raise ValueError(f"{name} must be one of {names}, got {getattr(self, name)!r}")
        for name in ("eval_draws", "num_bins"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")

    @property
    def is_random(self) -> bool:
        """Whether two draws may differ."""
        return self.tie == "noise" or self.num_bins > 1

    def draw(
        self,
        graph: Graph,
        batch: Tensor | None = None,
        x: Tensor | SparseFeatures | None = None,
        training: bool = False,
        salt: int = 0,
        order_key: Tensor | None = None,
    ) -> LineUp:
        """Order the nodes of every graph.

        Args:
            graph: The edges.
            batch: The graph of each node, in any order; None: all are one graph.
            x: Features, read by ``canonical``.
            training: Whether to draw from torch's global generator.
            salt: Calls with another number have other orders at evaluation.
            order_key: Importance of each node, instead of `order`.

        Shapes:
            batch: ``[num_nodes]``, int64. order_key: ``[num_nodes]``.
        """
        if order_key is not None and order_key.shape != (graph.num_nodes,):
            raise ValueError(
                f"order_key must have shape [{graph.num_nodes}], got {list(order_key.shape)}"
            )
        keys = [] if self.tie != "canonical" else _structure(graph, x)
        if order_key is not None or self.order != "none":
            keys.append(importance(graph, self.order) if order_key is None else order_key)
        num_draws = 1 if training or not self.is_random else self.eval_draws
        place = None if training else _place_in_graph(graph, batch)
        lines, starts = [], []
        for draw in range(num_draws):
            mark = (salt * num_draws + draw) * 2
            noise = [_noise(graph, place, mark)] if self.tie == "noise" else []
            groups = [] if batch is None else [batch]
            if self.num_bins > 1:
                groups.insert(0, _noise(graph, place, mark + 1) % self.num_bins)
            nodes = _sorted(noise + keys + groups, graph)
            lines.append(nodes)
            starts.append(_starts(nodes, groups))
        return LineUp(torch.cat(lines), Sequences(torch.cat(starts)), num_draws)


def importance(graph: Graph, order: str) -> Tensor:
    """``[num_nodes]``: degree or PageRank of each node, the latter up to a factor per graph."""
    if order == "degree":
        return graph.in_degree()
    follow = graph.matrix(dtype=torch.float64)
    leave = graph.out_degree().clamp(min=1).double()
    rank = torch.ones(graph.num_nodes, 1, dtype=torch.float64, device=graph.device)
    for _ in range(STEPS):
        rank = 1 - DAMPING + DAMPING * spmm(follow, rank / leave.unsqueeze(1))
    return rank.squeeze(1).round(decimals=DECIMALS)


def _structure(graph: Graph, x: Tensor | SparseFeatures | None) -> list[Tensor]:
    """Keys that do not depend on the ids of nodes, the last to look at first."""
    row, col = graph.csr.row.long(), graph.csr.col.long()
    degree = colour = graph.in_degree()
    for _ in range(ROUNDS):
        total = torch.zeros_like(colour).index_add_(0, row, _hash(colour)[col])
        colour = _hash(colour * 3 + total)
    keys = [colour, torch.zeros_like(degree).index_add_(0, row, degree[col])]
    if x is not None and x.size(1):
        channels = torch.arange(x.size(1), device=graph.device)
        weight = _hash(channels).double().div_(2**63).unsqueeze(0)
        if isinstance(x, SparseFeatures):
            mark = x.linear(weight.to(x.dtype))
        else:
            mark = x.detach().double() @ weight.t()
        keys.insert(0, mark.squeeze(1))
    return keys


def _noise(graph: Graph, place: Tensor | None, mark: int) -> Tensor:
    """A number from 0 for each node, at random without `place`, else a hash of it."""
    if place is None:
        return torch.randint(2**62, (graph.num_nodes,), device=graph.device)
    return _hash(_hash(place) + mark) & (2**62 - 1)


def _hash(value: Tensor) -> Tensor:
    """Whole numbers scattered over all of int64: the finaliser of splitmix64."""
    value = value + -7046029254386353131
    value = (value ^ ((value >> 30) & (2**34 - 1))) * -4658895280553007687
    value = (value ^ ((value >> 27) & (2**37 - 1))) * -7723592293110705685
    return value ^ ((value >> 31) & (2**33 - 1))


def _place_in_graph(graph: Graph, batch: Tensor | None) -> Tensor:
    """``[num_nodes]``: how many nodes of the same graph come before."""
    if batch is None:
        return torch.arange(graph.num_nodes, device=graph.device)
    nodes = batch.argsort(stable=True)
    place = Sequences(_starts(nodes, [batch])).position.long()
    return torch.empty_like(nodes).scatter_(0, nodes, place)


def _sorted(keys: list[Tensor], graph: Graph) -> Tensor:
    """Nodes by the last key, equal ones by the one before it, and so on; stable."""
    if not keys:
        return torch.arange(graph.num_nodes, device=graph.device)
    return lexsort(keys)


def _starts(nodes: Tensor, groups: list[Tensor]) -> Tensor:
    """Where a group, in the order of `nodes`, is another than before."""
    start = torch.zeros_like(nodes, dtype=torch.bool)
    start[:1] = True
    for group in groups:
        line = group[nodes]
        start[1:] |= line[1:] != line[:-1]
    return start
