"""Baselines that see the nodes of a graph and none of its edges."""

import torch
from torch import Tensor, nn

from gnnzoo.nn import FeatureDropout, FeatureLinear
from gnnzoo.nn.checks import check_count, check_probability
from gnnzoo.ops import SparseFeatures, segment_sum


class _NodeSum(nn.Module):
    """What both share: the width of a graph's vector, and where graphs begin."""

    reads_sparse_features = True
    #: The result has a row for each graph, so that a head has nothing to pool.
    returns_graphs = True

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("hidden_channels", hidden_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_probability("dropout", dropout)

    @staticmethod
    def total(h: Tensor, ptr: Tensor | None) -> Tensor:
        ptr = torch.tensor([0, h.size(0)], device=h.device) if ptr is None else ptr
        return segment_sum(h, ptr)


class Fingerprint(_NodeSum):
    r"""The structure-agnostic baseline for molecules: counts of node labels through an MLP.

    .. math:: h_g = \mathrm{ReLU}\bigl(W_1 \sum_{i \in g} x_i + b_1\bigr)

    Together with a linear map, as head ``graph`` with ``num_layers=1``, the baseline of "A Fair
    Comparison of Graph Neural Networks for Graph Classification" (Errica, Podda, Bacciu and
    Micheli, ICLR 2020), https://arxiv.org/abs/1912.09893. Known for D&D and PROTEINS, where no
    network of that comparison does better.
    Differs from the authors' code: no ReLU on the class scores.

    Args:
        in_channels: Features per node.
        out_channels: Width of the result.
        dropout: Share of the result dropped in training.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        ptr: ``[num_graphs + 1]``, int64: where graphs begin; None: all nodes are one graph.
        returns: ``[num_graphs, out_channels]``.

    Raises:
        ValueError: If a setting is out of range.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__(in_channels, out_channels, out_channels, dropout)
        self.linear = FeatureLinear(in_channels, out_channels)
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()

    def forward(self, x: Tensor | SparseFeatures, ptr: Tensor | None = None) -> Tensor:
        x = x.to_dense() if isinstance(x, SparseFeatures) else x
        return self.dropout(self.linear(self.total(x, ptr)).relu())


class DeepSets(_NodeSum):
    r"""The structure-agnostic baseline for other graphs: an MLP on a sum of mapped nodes.

    .. math:: h_g = \mathrm{ReLU}\bigl(W_2 \sum_{i \in g} \mathrm{ReLU}(W_1 x_i + b_1) + b_2\bigr)

    Together with a linear map, as head ``graph`` with ``num_layers=1``, the baseline for ENZYMES
    and the social graphs of "A Fair Comparison of Graph Neural Networks for Graph Classification"
    (Errica, Podda, Bacciu and Micheli, ICLR 2020), https://arxiv.org/abs/1912.09893, after "Deep
    Sets" (Zaheer et al., NeurIPS 2017). Known for ENZYMES, where it beats the networks of that
    comparison.

    Args:
        in_channels: Features per node.
        hidden_channels: Width of the mapped nodes.
        out_channels: Width of the result.
        dropout: Share of the input, and of the result, dropped in training.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        ptr: ``[num_graphs + 1]``, int64: where graphs begin; None: all nodes are one graph.
        returns: ``[num_graphs, out_channels]``.

    Raises:
        ValueError: If a setting is out of range.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.0
    ) -> None:
        super().__init__(in_channels, hidden_channels, out_channels, dropout)
        self.input_dropout = FeatureDropout(dropout)
        self.nodes = FeatureLinear(in_channels, hidden_channels)
        self.graphs = nn.Linear(hidden_channels, out_channels)
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        self.nodes.reset_parameters()
        self.graphs.reset_parameters()

    def forward(self, x: Tensor | SparseFeatures, ptr: Tensor | None = None) -> Tensor:
        total = self.total(self.nodes(self.input_dropout(x)).relu(), ptr)
        return self.dropout(self.graphs(total).relu())
