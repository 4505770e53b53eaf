"""Layers that read node features either dense or as `gnnzoo.ops.SparseFeatures`."""

from torch import Tensor, nn

from gnnzoo.ops import SparseFeatures


class FeatureLinear(nn.Linear):
    """``nn.Linear`` that also takes `SparseFeatures`; same arguments, initialisation, state dict.

    Shapes:
        x: ``[num_nodes, in_features]``, Tensor or `SparseFeatures`.
        returns: ``[num_nodes, out_features]``, dense.
    """

    def forward(self, x: Tensor | SparseFeatures) -> Tensor:
        if isinstance(x, SparseFeatures):
            return x.linear(self.weight, self.bias)
        return super().forward(x)


class FeatureDropout(nn.Dropout):
    """``nn.Dropout`` that also takes `SparseFeatures`, and then draws for the nonzeros only.

    Shapes:
        x: ``[num_nodes, channels]``, Tensor or `SparseFeatures`.
        returns: the same kind and shape.
    """

    def forward(self, x: Tensor | SparseFeatures) -> Tensor | SparseFeatures:
        if isinstance(x, SparseFeatures):
            return x.dropout(self.p, self.training)
        return super().forward(x) if self.training and self.p > 0.0 else x
