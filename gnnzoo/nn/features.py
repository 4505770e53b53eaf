"""Layers that read node features either dense or as `gnnzoo.ops.SparseFeatures`."""

from torch import Tensor, nn

from gnnzoo.ops import SparseFeatures
from gnnzoo.ops.dropout import dropout


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

    The numbers drawn are not those of ``nn.Dropout``; see `gnnzoo.ops.dropout`.

    Shapes:
        x: ``[num_nodes, channels]``, Tensor or `SparseFeatures`.
        returns: the same kind and shape.
    """

    def forward(self, x: Tensor | SparseFeatures) -> Tensor | SparseFeatures:
        if isinstance(x, SparseFeatures):
            return x.dropout(self.p, self.training)
        return dropout(x, self.p) if self.training else x
