"""Link scores without parameters: what two nodes' common neighbours count for."""

from collections.abc import Callable

import torch
from torch import Tensor

from gnnzoo.nn.pair_predictors import PairPredictor
from gnnzoo.ops import Bags, Graph, neighbor_overlap, pool_bags
from gnnzoo.ops.overlap import without_loops
from gnnzoo.ops.pairs import check_pairs, find_entries


class CommonNeighbors(PairPredictor):
    r"""Number of common neighbours, :math:`\sum_{u \in N(i) \cap N(j)} w_{iu} w_{ju}`.

    Weights are 1 if not given. Self-loops never count.

    Shapes:
        x: Not read; may be None.
        graph: Edges that may be seen, rows as neighbourhoods.
        pairs: ``[2, num_pairs]``, integer.
        edge_weight: ``[num_input_edges]``, optional.
        returns: ``[num_pairs]``, float32. Added up in float64, so that sums of the same numbers in
            another order are ties.

    Raises:
        ValueError: If `pairs` or `edge_weight` is malformed.
    """

    reads_edge_weight = True

    def forward(
        self, x: Tensor | None, graph: Graph, pairs: Tensor, edge_weight: Tensor | None = None
    ) -> Tensor:
        return self.scorer(x, graph, edge_weight)(pairs)

    def scorer(
        self, x: Tensor | None, graph: Graph, edge_weight: Tensor | None = None
    ) -> Callable[[Tensor], Tensor]:
        """As of `PairPredictor`: degrees are summed up once."""
        entry_weight = None
        if edge_weight is not None:
            entry_weight = graph.entry_weights(edge_weight.double())
        node_weight = self.node_weight(_degree(graph, entry_weight)).unsqueeze(1)

        def score(pairs: Tensor) -> Tensor:
            pairs = check_pairs(graph, pairs)
            common, weight = neighbor_overlap(graph, pairs).common, None
            if entry_weight is not None:
                weight = _products(graph, pairs, common, entry_weight)
            return pool_bags(node_weight, common, weight).squeeze(1).float()

        return score

    def node_weight(self, degree: Tensor) -> Tensor:
        """What each node counts for, from its degree, ``[num_nodes]``, float64."""
        return torch.ones_like(degree)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class AdamicAdar(CommonNeighbors):
    r"""Common neighbours that know few others count more: :math:`1 / \ln d_u` each.

    Paper: "Friends and neighbors on the Web" (Adamic and Adar, Social Networks 2003). A neighbour
    of degree 1, which is common to no two nodes, counts nothing. Shapes and errors are those of
    `CommonNeighbors`.
    """

    def node_weight(self, degree: Tensor) -> Tensor:
        weight = degree.log().reciprocal()
        return torch.where(weight.isfinite(), weight, 0.0)


class ResourceAllocation(CommonNeighbors):
    r"""Common neighbours that know few others count more: :math:`1 / d_u` each.

    Paper: "Predicting missing links via local information" (Zhou, Lü and Zhang, 2009),
    https://arxiv.org/abs/0901.0553. Shapes and errors are those of `CommonNeighbors`.
    """

    def node_weight(self, degree: Tensor) -> Tensor:
        return torch.where(degree > 0, degree.reciprocal(), 0.0)


def _degree(graph: Graph, entry_weight: Tensor | None) -> Tensor:
    """``[num_nodes]``, float64: sums of the columns, that is of outgoing edges, without loops."""
    csr = graph.csr
    if entry_weight is None:
        entry_weight = torch.ones(csr.num_entries, dtype=torch.float64, device=csr.device)
    if without_loops(csr) is not csr:
        entry_weight = entry_weight.masked_fill(csr.row == csr.col, 0.0)
    return entry_weight.new_zeros(graph.num_nodes).index_add_(0, csr.col, entry_weight)


def _products(graph: Graph, pairs: Tensor, common: Bags, entry_weight: Tensor) -> Tensor:
    """``[num_items]``: the weights of both edges to each common neighbour, multiplied."""
    first, second = pairs[:, common.owner()]
    weight = entry_weight[find_entries(graph.csr, first, common.node)[0]]
    return weight * entry_weight[find_entries(graph.csr, second, common.node)[0]]
