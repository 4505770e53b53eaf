"""DAGNN: transform first, then let every node choose how far it looks."""

from torch import Tensor, nn

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.mlp import mlp_layers
from gnnzoo.nn import DAGNNProp


class GatedPropagation(DAGNNProp):
    """`DAGNNProp` as a link of the chain."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        return super().forward(x, context.graph, context.edge_weight)


class DAGNN(Chain):
    """Deep adaptive graph neural network: an MLP, then gated propagation at output width.

    Paper: "Towards Deeper Graph Neural Networks" (Liu, Gao and Ji, KDD 2020),
    https://arxiv.org/abs/2007.09296. Known for Cora (10 hops, dropout 0.8), CiteSeer (10, 0.5),
    PubMed (20, 0.8), and ogbn-arxiv (16 hops, 256 hidden channels, batch norm, no dropout on the
    input). Differs from the paper as `DAGNNProp` does: the gate has a bias.

    Args:
        in_channels: Features per node.
        hidden_channels: Width between layers.
        out_channels: Width of the result, and of what is propagated.
        num_hops: Number of propagation steps, K in the paper.
        num_layers: Number of linear layers before them.
        dropout: Share of hidden values dropped in training.
        input_dropout: Share of the input dropped; `dropout` if None.
        norm: None, ``batch_norm`` or ``layer_norm``, between the linear layers.
        act: Name of the activation, as PyG resolves it.
        gate_bias, add_self_loops, normalize, memory: As in `gnnzoo.nn.DAGNNProp`.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        returns: ``[num_nodes, out_channels]``, logits.
    """

    reads_sparse_features = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_hops: int = 10,
        num_layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float | None = None,
        norm: str | None = None,
        act: str = "relu",
        gate_bias: bool = True,
        add_self_loops: bool = True,
        normalize: bool = True,
        memory: str = "store",
    ) -> None:
        super().__init__()
        self.layers.extend(
            mlp_layers(
                in_channels,
                hidden_channels,
                out_channels,
                num_layers,
                dropout,
                input_dropout,
                norm,
                act,
            )
        )
        self.layers.append(
            GatedPropagation(out_channels, num_hops, gate_bias, add_self_loops, normalize, memory)
        )

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """``mlp`` and ``gate``."""
        *mlp, gate = self.layers
        return {
            "mlp": [p for layer in mlp for p in layer.parameters()],
            "gate": list(gate.parameters()),
        }
