"""APPNP: predict first, then propagate by personalised PageRank."""

from torch import Tensor, nn

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.mlp import mlp_layers
from gnnzoo.nn import APPNP as PageRank
from gnnzoo.nn.checks import check_count, check_probability


class PageRankLayer(PageRank):
    """`gnnzoo.nn.APPNP` as a link of the chain."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        return super().forward(x, context.graph, context.edge_weight)


class APPNP(Chain):
    """An MLP whose predictions are propagated by personalised PageRank.

    Paper: "Predict then Propagate: Graph Neural Networks meet Personalized PageRank" (Gasteiger,
    Bojchevski and Günnemann, ICLR 2019), https://arxiv.org/abs/1810.05997. Known for Cora,
    CiteSeer and PubMed with 64 hidden channels, 10 hops, alpha 0.1, dropout 0.5 on layers and
    matrix entries, and weight decay on the first layer only (see `param_groups`).

    Args:
        in_channels: Features per node.
        hidden_channels: Width between layers.
        out_channels: Width of the result, and of what is propagated.
        num_hops: Number of propagation steps, K in the paper.
        alpha: Share of the prediction in each step, in [0, 1].
        num_layers: Number of linear layers before them.
        dropout: Share of hidden values dropped in training.
        input_dropout: Share of the input dropped; `dropout` if None.
        edge_dropout: Share of the matrix entries dropped in training, anew in each step.
        norm: None, ``batch_norm`` or ``layer_norm``, between the linear layers.
        act: Name of the activation, as PyG resolves it.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        returns: ``[num_nodes, out_channels]``, logits.

    Raises:
        ValueError: If a setting is out of range.
    """

    reads_sparse_features = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_hops: int = 10,
        alpha: float = 0.1,
        num_layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float | None = None,
        edge_dropout: float = 0.0,
        norm: str | None = None,
        act: str = "relu",
    ) -> None:
        super().__init__()
        check_count("num_hops", num_hops, 0)
        check_probability("alpha", alpha)
        check_probability("edge_dropout", edge_dropout)
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
        self.layers.append(PageRankLayer(num_hops, alpha, edge_dropout))

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """``first_layer``, which alone has weight decay in the paper, and ``rest``."""
        first, *rest = self.layers
        return {
            "first_layer": list(first.parameters()),
            "rest": [p for layer in rest for p in layer.parameters()],
        }
