"""Layers that read node features either dense or as `gnnzoo.ops.SparseFeatures`."""

from torch import Tensor, nn
from torch.nn import functional as F

from gnnzoo.ops import SparseFeatures
from gnnzoo.ops.dropout import dropout


def apply_linear(linear: nn.Module, x: Tensor | SparseFeatures) -> Tensor:
    """Any module with ``weight`` and ``bias``, torch's linear or PyG's, on either kind."""
    return x.linear(linear.weight, linear.bias) if isinstance(x, SparseFeatures) else linear(x)


def apply_weight(weight: Tensor, x: Tensor | SparseFeatures) -> Tensor:
    """``x @ weight.T`` for either kind."""
    return x.linear(weight) if isinstance(x, SparseFeatures) else F.linear(x, weight)


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
