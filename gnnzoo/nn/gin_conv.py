"""Graph isomorphism convolution with the sum taken as one sparse product."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import GINConv as PyGGINConv
from torch_geometric.nn import Linear as PyGLinear

from gnnzoo.nn.features import apply_weight
from gnnzoo.ops import Graph, SparseFeatures, SparseMatrix, as_graph, spmm
from gnnzoo.ops.spmm import compute_dtype


class GINConv(PyGGINConv):
    r"""PyG's `GINConv` whose sum is a CSR product at the narrower width.

    .. math:: x_i' = \mathrm{nn}\bigl((1 + \epsilon)\, x_i + \sum_{j \in N(i)} x_j\bigr)

    Parameters, their names and initialisation are PyG's. Where `nn` is a ``Sequential`` that
    begins with a linear layer, and its output is narrower than the input or the input is sparse,
    that layer's matrix is applied before the sum.

    Paper: "How Powerful are Graph Neural Networks?" (Xu, Hu, Leskovec and Jegelka, ICLR 2019),
    eq. 4.1, https://arxiv.org/abs/1810.00826

    Args:
        nn: What transforms the sum.
        eps: Start, or fixed value, of epsilon.
        train_eps: Whether epsilon is learned.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_weight: ``[num_edges]``, optional: factors of the summands.
        returns: ``[num_nodes, out_channels]``.
    """

    reach = 1  # hops that one call looks

    def __init__(self, nn: nn.Module, eps: float = 0.0, train_eps: bool = False) -> None:
        super().__init__(nn, eps=eps, train_eps=train_eps)

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        graph = as_graph(edge_index, x.size(0))
        matrix = graph.matrix(edge_weight, compute_dtype(x))
        first = self._linear_first(x)
        if first is None:
            x = x.to_dense() if isinstance(x, SparseFeatures) else x
            return self.nn(spmm(matrix, x) + (1 + self.eps) * x)
        h = apply_weight(first.weight, x)  # [num_nodes, first.out_features]
        h = spmm(matrix, h) + (1 + self.eps) * h
        return self._after_first(h if first.bias is None else h + first.bias)

    def operators(
        self, graph: Graph, edge_weight: Tensor | None, dtype: torch.dtype
    ) -> tuple[SparseMatrix, None] | None:
        """The sum, and None for the node itself: `forward` is `combine` of their products.

        None where `nn` has a batch norm, which looks at all rows.
        """
        if any(isinstance(module, nn.BatchNorm1d) for module in self.nn.modules()):
            return None
        return graph.matrix(edge_weight, dtype), None

    def combine(self, parts: Sequence[Tensor | SparseFeatures]) -> Tensor:
        """What is learned, on any rows of the products."""
        total, own = parts
        if isinstance(total, Tensor) and isinstance(own, Tensor):
            return self.nn(total + (1 + self.eps) * own)
        first = self._linear_first(total)
        if first is None:
            return self.nn(total.to_dense() + (1 + self.eps) * own.to_dense())
        h = apply_weight(first.weight, total) + (1 + self.eps) * apply_weight(first.weight, own)
        return self._after_first(h if first.bias is None else h + first.bias)

    def _after_first(self, h: Tensor) -> Tensor:
        for module in list(self.nn)[1:]:
            h = module(h)
        return h

    def _linear_first(self, x: Tensor | SparseFeatures) -> nn.Module | None:
        """The layer of `nn` that goes before the sum, if that pays."""
        first = self.nn[0] if isinstance(self.nn, nn.Sequential) else None
        if not isinstance(first, nn.Linear | PyGLinear):
            return None
        narrower = first.weight.size(0) < first.weight.size(1)
        return first if narrower or isinstance(x, SparseFeatures) else None
