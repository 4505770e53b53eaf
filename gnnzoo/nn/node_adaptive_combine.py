"""Many hops of smoothing, combined for each node by how much of it is left."""

from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.ops import Graph, SparseFeatures, as_graph, symmetrised
from gnnzoo.ops.adaptive_hops import COMBINATIONS, STATIONARY, adaptive_hops, plain_hops


class NodeAdaptiveCombine(nn.Module):
    r"""Node-adaptive combination of smoothed features; nothing is learned.

    .. math::
        X^{(l)} = D^{r-1} \tilde A D^{-r} X^{(l-1)}, \qquad
        \bar x_i = \sum_{l=0}^K w_{il} x_i^{(l)}, \qquad w_i = \mathrm{softmax}_l(s_{il} / \tau),
        \qquad s_{il} = \cos(x_i^{(l)}, x_i)\,(1 - \cos(x_i^{(l)}, x_i^{(\infty)}))

    with :math:`\tilde A = A + I` (existing self-loops are kept as they are) and
    :math:`x^{(\infty)}` the limit of the smoothing within a node's component.

    Paper: "Evaluating Deep Graph Neural Networks" (Zhang et al., 2021),
    https://arxiv.org/abs/2108.00955
    Differs from the authors' code: the limit is that of the same r (``stationary="matched"``).

    Args:
        num_hops: K, smoothing steps.
        r: Share of the normalisation on the right, in [0, 1].
        stationary: ``matched``, or ``random_walk``, the limit for r = 0.
        temperature: Divides s, positive.
        combine: ``adaptive``; or the last hop (``last``, as in SGC), the mean of all (``mean``, as
            in S2GC) or all side by side (``concat``, as in SIGN).
        to_undirected: Whether a directed graph is symmetrised; otherwise it is refused.

    Shapes:
        x: ``[num_nodes, channels]``, Tensor or `SparseFeatures`.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_weight: ``[num_edges]``, optional, not negative, the same in both directions.
        returns: ``[num_nodes, channels]``, with ``concat`` ``(num_hops + 1) * channels`` wide.

    Raises:
        ValueError: If a setting is out of range, `x` is not finite or the graph is directed.
    """

    def __init__(
        self,
        num_hops: int,
        r: float = 0.5,
        stationary: str = "matched",
        temperature: float = 1.0,
        combine: str = "adaptive",
        to_undirected: bool = False,
    ) -> None:
        super().__init__()
        check_count("num_hops", num_hops, 0)
        check_probability("r", r)
        check_choice("stationary", stationary, STATIONARY)
        check_choice("combine", combine, COMBINATIONS)
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.num_hops, self.r, self.stationary = num_hops, r, stationary
        self.temperature, self.combine = temperature, combine
        self.to_undirected = to_undirected

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Combined features; with ``return_weights`` also ``[num_nodes, num_hops + 1]``."""
        graph = self._undirected(as_graph(edge_index, x.size(0)), edge_weight)
        x = x.to_dense() if isinstance(x, SparseFeatures) else x
        if not bool(x.isfinite().all()):
            raise ValueError("x must be finite, but holds NaN or infinity")
        if self.combine != "adaptive":
            if return_weights:
                raise ValueError(f"combine={self.combine!r} has no weights; combine='adaptive' has")
            return plain_hops(x, graph, self.num_hops, self.combine, self.r, edge_weight)
        out, weights = adaptive_hops(
            x, graph, self.num_hops, self.r, self.stationary, self.temperature, edge_weight
        )
        return (out, weights) if return_weights else out

    def _undirected(self, graph: Graph, edge_weight: Tensor | None) -> Graph:
        if graph.is_undirected:
            return graph
        if not self.to_undirected:
            raise ValueError(
                "the graph is directed, and smoothing has no limit to compare with; "
                "to_undirected=True adds the reverse of every edge"
            )
        if edge_weight is not None:
            raise ValueError("to_undirected=True does not know the weights of reverse edges")
        return symmetrised(graph)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_hops={self.num_hops}, r={self.r}, combine={self.combine!r})"
        )
