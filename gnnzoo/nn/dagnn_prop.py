"""Gated multi-hop propagation, the graph part of DAGNN."""

from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.nn.checks import check_choice, check_count
from gnnzoo.ops import Graph, as_graph, gated_hops
from gnnzoo.ops.gated_hops import MEMORY_MODES
from gnnzoo.ops.spmm import compute_dtype


class DAGNNProp(nn.Module):
    r"""Add up 0 to K hops of smoothing; each node gates each hop by what it sees there.

    .. math:: O = \sum_{k=0}^{K} \sigma(\hat A^k Z s + b) \odot \hat A^k Z

    Paper: "Towards Deeper Graph Neural Networks" (Liu, Gao and Ji, KDD 2020), eq. 8,
    https://arxiv.org/abs/2007.09296
    Differs from the paper: the gate has a bias b, as in the authors' experiments.

    Hops are added up as they are made, never stacked. The structure of the graph is kept by the
    caller: pass a `gnnzoo.ops.Graph` to normalise and transpose once instead of at every call.

    Args:
        channels: Features per node; input and output have the same width.
        num_hops: K, the number of propagation steps; 0 leaves the gated input.
        gate_bias: Whether the gate has a bias.
        add_self_loops: Whether every node without a self-loop gets one of weight 1.
        normalize: Whether to propagate with :math:`D^{-1/2} (A + I) D^{-1/2}`, degrees over
            incoming edges; without it the weighted neighbours are summed and no loops are added.
        memory: What is kept for the backward pass: ``store`` every hop (fastest), ``recompute``
            the gates only (one more propagation), ``store_half`` every hop in bfloat16.

    Shapes:
        x: ``[num_nodes, channels]``, floating point.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_weight: ``[num_edges]``, optional; gets an exact gradient.
        returns: ``[num_nodes, channels]``; and with ``return_gates`` ``[num_nodes, num_hops + 1]``.

    Raises:
        ValueError: If a setting is out of range, or shapes, types or devices do not fit.
    """

    def __init__(
        self,
        channels: int,
        num_hops: int,
        gate_bias: bool = True,
        add_self_loops: bool = True,
        normalize: bool = True,
        memory: str = "store",
    ) -> None:
        super().__init__()
        check_count("channels", channels, 1)
        check_count("num_hops", num_hops, 0)
        check_choice("memory", memory, MEMORY_MODES)
        self.channels = channels
        self.num_hops = num_hops
        self.add_self_loops = add_self_loops
        self.normalize = normalize
        self.memory = memory
        self.gate = nn.Linear(channels, 1, bias=gate_bias)

    def reset_parameters(self) -> None:
        self.gate.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        return_gates: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        if x.dim() != 2 or x.size(1) != self.channels:
            raise ValueError(f"x must have shape [num_nodes, {self.channels}], got {list(x.shape)}")
        graph = as_graph(edge_index, x.size(0))
        dtype = compute_dtype(x)
        if self.normalize:
            matrix = graph.gcn_norm(edge_weight, self.add_self_loops, dtype)
        else:
            matrix = graph.matrix(edge_weight, dtype)
        out, gates = gated_hops(
            matrix, x, self.gate.weight.squeeze(0), self.gate.bias, self.num_hops, self.memory
        )
        return (out, gates.t()) if return_gates else out

    def __repr__(self) -> str:
        settings = f"num_hops={self.num_hops}, memory={self.memory!r}"
        return f"{type(self).__name__}({self.channels}, {settings})"
