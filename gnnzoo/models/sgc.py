"""SGC: smoothed features and logistic regression."""

from dataclasses import dataclass

from torch import Tensor
from torch_geometric import EdgeIndex

from gnnzoo.models.chain import Chain, Context
from gnnzoo.nn import FeatureDropout, SGConv
from gnnzoo.nn.checks import check_count, check_probability
from gnnzoo.ops import Graph, SparseFeatures


@dataclass(frozen=True)
class SmoothedContext(Context):
    """Context with the features as they are after all smoothing steps.

    Args:
        smoothed: ``[num_nodes, in_channels]``; None where the layer smooths.
    """

    smoothed: Tensor | None = None


class SGCLayer(SGConv):
    """Dropout and `SGConv` as a link of the chain; the linear map alone if all else was done."""

    def __init__(self, in_channels: int, out_channels: int, num_hops: int, dropout: float) -> None:
        super().__init__(in_channels, out_channels, num_hops)
        self.dropout = FeatureDropout(dropout)

    def forward(self, x: Tensor | SparseFeatures, context: SmoothedContext) -> Tensor:
        if context.smoothed is not None:
            return self.lin(context.smoothed)
        return super().forward(self.dropout(x), context.graph, context.edge_weight)


class SGC(Chain):
    """Simplified graph convolution: K steps of smoothing and one linear map.

    Paper: "Simplifying Graph Convolutional Networks" (Wu et al., ICML 2019),
    https://arxiv.org/abs/1902.07153. Known for Cora, CiteSeer and PubMed with two hops, learning
    rate 0.2, 100 epochs and a searched weight decay.

    Features that were smoothed once, by the transform `SmoothFeatures`, need the map only.
    Otherwise it is applied before the smoothing, which gives the same and costs less. Dropout is
    on the input and does not commute with smoothing: where it acts, the field is not read.

    Args:
        in_channels: Features per node.
        out_channels: Width of the result.
        num_hops: Number of smoothing steps, K in the paper.
        dropout: Share of the input dropped in training; the paper has none.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        returns: ``[num_nodes, out_channels]``, logits.

    Raises:
        ValueError: If a setting is out of range.
    """

    reads_sparse_features = True
    made_by = Chain.made_by | {"smoothed": "gnnzoo.data.SmoothFeatures"}

    def __init__(
        self, in_channels: int, out_channels: int, num_hops: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("num_hops", num_hops, 0)
        check_probability("dropout", dropout)
        self.layers.append(SGCLayer(in_channels, out_channels, num_hops, dropout))

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        smoothed: Tensor | None = None,
    ) -> SmoothedContext:
        dropout = self.layers[0].dropout
        if smoothed is not None and not (dropout.training and dropout.p):
            return SmoothedContext(x, graph, edge_weight, smoothed=smoothed)
        base = super().context(x, edge_index, edge_weight, graph)
        return SmoothedContext(x, base.graph, edge_weight)

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        smoothed: Tensor | None = None,
    ) -> Tensor:
        """As `Chain.forward`; `smoothed` is what `SmoothFeatures` made, with as many hops."""
        return self.fold(self.context(x, edge_index, edge_weight, graph, smoothed))
