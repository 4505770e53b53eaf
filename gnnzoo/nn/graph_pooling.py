"""From the nodes of each graph to the graph: sum, mean, maximum or attention."""

from torch import Tensor, nn

from gnnzoo.nn.checks import check_choice, check_count
from gnnzoo.ops.segment import segment_max, segment_mean, segment_softmax, segment_sum

POOLINGS = ("sum", "mean", "max", "attention")


class GraphPooling(nn.Module):
    r"""Pool the rows of each graph; a graph without nodes gets zeros.

    .. math::
        \sum_i h_i, \qquad \frac{1}{n} \sum_i h_i, \qquad \max_i h_i, \qquad
        \sum_i \mathrm{softmax}_i(w_2 \, \mathrm{ReLU}(W_1 h_i + b_1)) \, h_i

    The last, with one weight per node, is after "Gated Graph Sequence Neural Networks" (Li et al.,
    ICLR 2016), eq. 7, https://arxiv.org/abs/1511.05493.
    Differs from the paper: the values are the embeddings themselves, and the weights of a graph add
    up to 1, as in PyG's ``AttentionalAggregation``.

    Args:
        pooling: ``sum``, ``mean``, ``max`` or ``attention``.
        channels: Width of the rows.

    Shapes:
        h: ``[num_nodes, channels]``, floating point, one graph after the other.
        ptr: ``[num_graphs + 1]``, int64: where graphs begin, and the end.
        returns: ``[num_graphs, channels]``.

    Raises:
        ValueError: If a setting is unknown or out of range.
    """

    def __init__(self, pooling: str, channels: int) -> None:
        super().__init__()
        check_choice("pooling", pooling, POOLINGS)
        check_count("channels", channels, 1)
        self.pooling = pooling
        self.gate = None
        if pooling == "attention":
            # No bias at the end: the softmax would take it away again.
            self.gate = nn.Sequential(
                nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 1, bias=False)
            )

    def reset_parameters(self) -> None:
        if self.gate is not None:
            self.gate[0].reset_parameters()
            self.gate[2].reset_parameters()

    def forward(self, h: Tensor, ptr: Tensor) -> Tensor:
        if self.pooling == "sum":
            return segment_sum(h, ptr)
        if self.pooling == "mean":
            return segment_mean(h, ptr)
        if self.pooling == "max":
            return segment_max(h, ptr)
        weight = segment_softmax(self.gate(h).to(h.dtype), ptr)  # [num_nodes, 1]
        return segment_sum(weight * h, ptr)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pooling!r})"
