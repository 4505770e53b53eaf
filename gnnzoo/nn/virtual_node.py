"""A virtual node: one more node per graph, which all others write to and read from."""

from torch import Tensor, nn
from torch_geometric.nn import global_mean_pool


class VirtualNode(nn.Module):
    r"""Add to every node what a virtual node makes of all nodes of its graph.

    .. math:: x_i' = x_i + \mathrm{ReLU}\bigl(\mathrm{LayerNorm}
        (W \tfrac{1}{n} \sum_{j} x_j + b)\bigr)

    Idea: "Neural Message Passing for Quantum Chemistry" (Gilmer et al., ICML 2017), section 5.2,
    https://arxiv.org/abs/1704.01212
    Differs from the paper: the node keeps no state of its own (the next mean carries what it
    wrote), it takes the mean instead of the sum, and layer norm makes it work for one large graph.

    Args:
        channels: Features per node; input and output have the same width.

    Shapes:
        x: ``[num_nodes, channels]``, floating point.
        batch: ``[num_nodes]``, int64, the graph of each node; None: all nodes are one graph.
        returns: ``[num_nodes, channels]``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels)

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()
        self.norm.reset_parameters()

    def forward(self, x: Tensor, batch: Tensor | None = None) -> Tensor:
        node = global_mean_pool(x, batch)  # [num_graphs, channels]
        node = self.norm(self.linear(node)).relu()
        return x + (node if batch is None else node.index_select(0, batch))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.linear.in_features})"
