"""The encoder of neural common neighbour: plain message passing in a few unusual forms."""

import torch
from torch import Tensor, nn

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.mlp import make_norm
from gnnzoo.models.trained import load_part
from gnnzoo.nn import FeatureDropout, FeatureLinear, NeighborConv
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.ops import SparseFeatures

AGGREGATIONS = {"gcn": "gcn", "sage": "mean", "gin": "sum", "max": "max"}
PURE = {"puregcn": "gcn", "puremean": "mean", "puresum": "sum", "puremax": "max"}
CONVS = (*AGGREGATIONS, *PURE, "none")
JK_STARTS = ("ones", "normal")


class NCNInput(nn.Module):
    """The first hidden state, a linear map of features or an embedding of ids, and dropout."""

    reach = 0

    def __init__(self, source: nn.Module, dropout: float) -> None:
        super().__init__()
        self.source = source
        self.dropout = FeatureDropout(dropout)

    def reset_parameters(self) -> None:
        self.source.reset_parameters()
        if isinstance(self.source, nn.Embedding):
            nn.init.orthogonal_(self.source.weight)

    def forward(self, x: Tensor | SparseFeatures, context: Context) -> Tensor:
        h = self.source(x.squeeze(1) if isinstance(self.source, nn.Embedding) else x)
        return self.dropout(h)


class NCNLayer(nn.Module):
    """A convolution, what follows it, and the input added where its width is the same."""

    reach = 1

    def __init__(self, conv: NeighborConv, tail: nn.Sequential, residual: bool) -> None:
        super().__init__()
        self.conv = conv
        self.tail = tail
        self.residual = residual

    def reset_parameters(self) -> None:
        for module in (self.conv, *self.tail):
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(self, x: Tensor | SparseFeatures, context: Context) -> Tensor:
        h = self.tail(self.conv(x, context.graph, context.edge_weight))
        if not self.residual or x.size(1) != h.size(1):
            return h
        return h + (x.to_dense() if isinstance(x, SparseFeatures) else x)


class NCNMPNN(Chain):
    r"""Message passing as the published code of neural common neighbour has it.

    .. math:: x_l = \mathrm{tail}_l(\mathrm{Conv}_l(x_{l-1})) \; [+ \; x_{l-1}], \qquad
        h = x_L \text{ or } \textstyle\sum_l w_l x_l

    Features are dropped out; a linear map and dropout follow where convolutions are pure, that is
    without parameters, or there are none. Ids of nodes get an embedding instead, and dropout. A
    tail is layer norm, dropout and ReLU after all convolutions with parameters but the last, and
    after that too where it is the only one; after the last pure one it is `tail_dropout`.

    Paper: "Neural Common Neighbor with Completion for Link Prediction" (Wang, Yang and Zhang, ICLR
    2024), https://arxiv.org/abs/2302.00890. Known for Cora, Citeseer and Pubmed (``puregcn``, one
    layer of 256, `jk`), ogbl-collab (``gcn``, one layer of 64), ogbl-ppa (``gcn``, three of 64,
    `residual`, 58 embeddings) and ogbl-ddi (``puresum``, one of 224, 4268 embeddings).
    Differs from the code: the weights of `jk` start at 1 instead of random (see `jk_start`), and
    those of edges, where there are some, count. See `NeighborConv` for edge dropout.

    Args:
        in_channels: Features per node; not used with `num_embeddings`.
        out_channels: Width of all layers and of the result.
        num_layers: Number of convolutions, 0 with ``conv="none"``.
        conv: ``gcn``, ``sage`` (mean of the neighbours alone), ``gin`` (their sum alone), ``max``;
            with ``pure`` before gcn, mean, sum or max: without parameters; or ``none``.
        dropout: Share dropped after the input stage and in tails.
        input_dropout: Share of the features dropped.
        tail_dropout: Share dropped after the last pure convolution.
        edge_dropout: Share of edges dropped in each convolution.
        layer_norm: Whether tails begin with layer norm.
        residual: Whether a layer adds its input, where the width is the same.
        jk: Whether the result is a sum of all layers with learned weights.
        jk_start: ``ones`` or, as published, ``normal``: what those weights start from.
        num_embeddings: Number of ids; None: nodes have features.
        path: ``weights.safetensors`` of a finished run whose encoder this one starts as.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`; with `num_embeddings` ids
            ``[num_nodes]``, integer, or one-hot rows of them, ``[num_nodes, num_embeddings]``.
        returns: ``[num_nodes, out_channels]``.

    Raises:
        ValueError: If a setting is out of range or does not go with another, `x` holds no ids, or
            `path` has no weights that fit.
    """

    reads_sparse_features = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_layers: int = 1,
        conv: str = "puregcn",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        tail_dropout: float = 0.0,
        edge_dropout: float = 0.0,
        layer_norm: bool = False,
        residual: bool = False,
        jk: bool = False,
        jk_start: str = "ones",
        num_embeddings: int | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__()
        check_count("out_channels", out_channels, 1)
        check_choice("conv", conv, CONVS)
        check_count("num_layers", num_layers, 0 if conv == "none" else 1)
        check_choice("jk_start", jk_start, JK_STARTS)
        for name, share in (
            ("dropout", dropout),
            ("input_dropout", input_dropout),
            ("tail_dropout", tail_dropout),
            ("edge_dropout", edge_dropout),
        ):
            check_probability(name, share)
        if conv == "none" and (num_layers or jk):
            raise ValueError("conv='none' has no layers: num_layers must be 0 and jk false")
        self.num_embeddings = num_embeddings
        self.jk_start = jk_start
        self.reads_every_state = jk
        self.input_dropout = FeatureDropout(input_dropout)
        width = self._add_input(in_channels, out_channels, conv, dropout)
        self.num_convs = num_layers
        for number in range(1, num_layers + 1):
            last = number == num_layers
            if conv in PURE:
                layer = NeighborConv(PURE[conv], edge_dropout=edge_dropout)
                tail = [FeatureDropout(tail_dropout)] if last else []
            else:
                layer = NeighborConv(AGGREGATIONS[conv], width, out_channels, edge_dropout)
                bare = last and num_layers > 1
                tail = [] if bare else _tail(out_channels, dropout, layer_norm)
            self.layers.append(NCNLayer(layer, nn.Sequential(*tail), residual))
            width = out_channels
        self.jk_weight = nn.Parameter(torch.empty(num_layers)) if jk else None
        self._reset_jk()
        if path is not None:
            load_part(self, path, "encoder")

    def _add_input(self, in_channels: int, out_channels: int, conv: str, dropout: float) -> int:
        """The input stage, if there is one; returns the width that the first convolution reads."""
        if self.num_embeddings is not None:
            check_count("num_embeddings", self.num_embeddings, 1)
            source: nn.Module = nn.Embedding(self.num_embeddings, out_channels)
        else:
            check_count("in_channels", in_channels, 1)
            if conv in AGGREGATIONS:
                return in_channels
            source = FeatureLinear(in_channels, out_channels)
        self.layers.append(NCNInput(source, dropout))
        self.layers[0].reset_parameters()
        return out_channels

    def start(self, context: Context) -> Tensor | SparseFeatures:
        x = context.x
        if self.num_embeddings is not None:
            return node_ids(x, self.num_embeddings)
        return self.input_dropout(x)

    def readout(self, states: list[Tensor], context: Context) -> Tensor:
        if self.jk_weight is None:
            return states[-1]
        states = states[-self.num_convs :]
        return sum(weight * h for weight, h in zip(self.jk_weight, states, strict=True))

    def _reset_jk(self) -> None:
        if self.jk_weight is not None:
            if self.jk_start == "ones":
                nn.init.ones_(self.jk_weight)
            else:
                nn.init.normal_(self.jk_weight)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self._reset_jk()


def _tail(channels: int, dropout: float, layer_norm: bool) -> list[nn.Module]:
    norm = [make_norm("layer_norm", channels)] if layer_norm else []
    return [*norm, FeatureDropout(dropout), nn.ReLU()]


def node_ids(x: Tensor | SparseFeatures, num_ids: int) -> Tensor:
    """Ids ``[num_nodes, 1]`` from ids or one-hot rows.

    Raises:
        ValueError: If `x` is neither.
    """
    if isinstance(x, SparseFeatures):
        x = x.to_dense()
    if x.is_floating_point():
        if x.dim() != 2 or x.size(1) != num_ids:
            raise ValueError(
                f"with num_embeddings={num_ids} x must hold ids [num_nodes] or one-hot rows "
                f"[num_nodes, {num_ids}], got {x.dtype} of shape {list(x.shape)}"
            )
        return x.argmax(1, keepdim=True)
    if x.dim() > 2 or (x.dim() == 2 and x.size(1) != 1):
        raise ValueError(
            f"with num_embeddings={num_ids} x must hold one id per node, got {list(x.shape)}"
        )
    if x.device.type == "cpu" and x.numel() and not torch.compiler.is_compiling():
        low, high = (int(value) for value in x.aminmax())
        if low < 0 or high >= num_ids:
            raise ValueError(
                f"x names id {low if low < 0 else high}, but num_embeddings={num_ids} allows "
                f"ids in [0, {num_ids})"
            )
    return x.long().view(-1, 1)
