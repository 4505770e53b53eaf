"""Scores of node pairs from their two embeddings alone."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from gnnzoo.nn.checks import check_count, check_probability
from gnnzoo.nn.features import FeatureDropout
from gnnzoo.ops import Graph
from gnnzoo.ops.spmm import compute_dtype


class PairPredictor(nn.Module):
    """Base class of what scores node pairs, with or without embeddings.

    Attributes:
        in_channels: Width of the embeddings it reads; None: it reads none.
        reads_graph: Whether it looks at edges.
        new_parts: What a simpler predictor that it may start from does not have.

    Shapes:
        x: ``[num_nodes, in_channels]``; anything where `in_channels` is None.
        graph: Edges that it may see.
        pairs: ``[2, num_pairs]``, int64.
        returns: ``[num_pairs]``, the higher, the more likely a link; float64 for float64 `x`,
            float32 otherwise.
    """

    in_channels: int | None = None
    reads_graph: bool = True
    new_parts: tuple[str, ...] = ()

    def start_epoch(self) -> None:
        """Called before each epoch of training, for schedules."""

    def forward(self, x: Tensor | None, graph: Graph | None, pairs: Tensor) -> Tensor:
        raise NotImplementedError

    def scorer(self, x: Tensor | None, graph: Graph | None) -> Callable[[Tensor], Tensor]:
        """``scorer(x, graph)(pairs)`` is ``forward(x, graph, pairs)``, for many lists of pairs.

        What does not depend on the pairs is made once.
        """
        return partial(self, x, graph)


class DotPredictor(PairPredictor):
    r"""Dot product of two embeddings, :math:`\langle x_i, x_j \rangle`.

    Args:
        in_channels: Width of the embeddings, which the encoder is built for.

    Shapes and errors are those of `PairPredictor` and `as_pairs`.
    """

    reads_graph = False

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        self.in_channels = in_channels

    def forward(self, x: Tensor, graph: Graph | None, pairs: Tensor) -> Tensor:
        check_embeddings(x, self.in_channels)
        return pair_product(x.to(compute_dtype(x)), as_pairs(pairs, x.size(0))).sum(1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels})"


class MLPPredictor(PairPredictor):
    r"""Perceptron on the product of two embeddings, :math:`\mathrm{MLP}(x_i \odot x_j)`.

    The link predictor of the examples of the Open Graph Benchmark: linear, ReLU and dropout for
    each hidden layer.

    Args:
        in_channels: Width of the embeddings.
        hidden_channels: Width between layers.
        num_layers: Number of linear layers.
        dropout: Share of hidden values dropped in training.

    Shapes and errors are those of `PairPredictor` and `as_pairs`.
    """

    reads_graph = False

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 64,
        num_layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("hidden_channels", hidden_channels, 1)
        check_count("num_layers", num_layers, 1)
        check_probability("dropout", dropout)
        self.in_channels = in_channels
        widths = [in_channels] + [hidden_channels] * (num_layers - 1)
        parts: list[nn.Module] = []
        for width in widths[:-1]:
            parts += [nn.Linear(width, hidden_channels), nn.ReLU(), FeatureDropout(dropout)]
        self.mlp = nn.Sequential(*parts, nn.Linear(widths[-1], 1))

    def reset_parameters(self) -> None:
        for part in self.mlp:
            if isinstance(part, nn.Linear):
                part.reset_parameters()

    def forward(self, x: Tensor, graph: Graph | None, pairs: Tensor) -> Tensor:
        check_embeddings(x, self.in_channels)
        h = self.mlp[:-1](pair_product(x, as_pairs(pairs, x.size(0))))
        return last_layer(self.mlp[-1], h)


def last_layer(linear: nn.Linear, h: Tensor) -> Tensor:
    """Logits ``[num_pairs]``, in float32 under autocast too: rounded ones would be ties."""
    with torch.autocast(h.device.type, enabled=False):
        dtype = compute_dtype(linear.weight)
        bias = None if linear.bias is None else linear.bias.to(dtype)
        return nn.functional.linear(h.to(dtype), linear.weight.to(dtype), bias).squeeze(1)


def pair_product(x: Tensor, pairs: Tensor) -> Tensor:
    """``x[i] * x[j]``, ``[num_pairs, channels]``."""
    return x.index_select(0, pairs[0]) * x.index_select(0, pairs[1])


def check_embeddings(x: Tensor, channels: int) -> None:
    if x.dim() != 2 or x.size(1) != channels:
        raise ValueError(
            f"x must have shape [num_nodes, {channels}], as the predictor was built for, "
            f"got {list(x.shape)}"
        )


def as_pairs(pairs: Tensor, num_nodes: int) -> Tensor:
    """Node pairs as int64, what is no list of them refused.

    Raises:
        ValueError: If `pairs` is not ``[2, num_pairs]``, holds no integers or names a node out of
            range.
    """
    if pairs.dim() != 2 or pairs.size(0) != 2:
        raise ValueError(f"pairs must have shape [2, num_pairs], got {list(pairs.shape)}")
    if pairs.is_floating_point() or pairs.is_complex() or pairs.dtype == torch.bool:
        raise ValueError(f"pairs must hold integers, got {pairs.dtype}")
    if pairs.numel() and pairs.device.type == "cpu":  # elsewhere a look would wait for the device
        low, high = (int(value) for value in pairs.aminmax())
        if low < 0 or high >= num_nodes:
            raise ValueError(
                f"pairs names node {low if low < 0 else high}, "
                f"but ids must be in [0, {num_nodes}) for {num_nodes} nodes"
            )
    return pairs.long()
