"""SGC: smoothed features and logistic regression."""

from torch import Tensor

from gnnzoo.models.chain import Chain, Context
from gnnzoo.nn import FeatureDropout, SGConv
from gnnzoo.nn.checks import check_count, check_probability
from gnnzoo.ops import SparseFeatures


class SGCLayer(SGConv):
    """Dropout and `SGConv` as a link of the chain."""

    def __init__(self, in_channels: int, out_channels: int, num_hops: int, dropout: float) -> None:
        super().__init__(in_channels, out_channels, num_hops)
        self.dropout = FeatureDropout(dropout)

    def forward(self, x: Tensor | SparseFeatures, context: Context) -> Tensor:
        return super().forward(self.dropout(x), context.graph, context.edge_weight)


class SGC(Chain):
    """Simplified graph convolution: K steps of smoothing and one linear map.

    Paper: "Simplifying Graph Convolutional Networks" (Wu et al., ICML 2019),
    https://arxiv.org/abs/1902.07153. Known for Cora, CiteSeer and PubMed with two hops, learning
    rate 0.2, 100 epochs and a searched weight decay. The map is applied before the smoothing,
    which gives the same and costs less.

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

    def __init__(
        self, in_channels: int, out_channels: int, num_hops: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("num_hops", num_hops, 0)
        check_probability("dropout", dropout)
        self.layers.append(SGCLayer(in_channels, out_channels, num_hops, dropout))
