"""The unit of forward-only training: one layer with the norm before it and the ReLU after it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gnnzoo.models import Chain
from gnnzoo.models.chain import Context
from gnnzoo.ops import SparseMatrix
from gnnzoo.train.forward.rows import Features, normalized


class Block:
    r"""A layer of a chain as :math:`\phi(x) = \mathrm{ReLU}(\mathrm{layer}(n(x)))`.

    :math:`n` makes every row of length 1, so that a block cannot read off what the one below it
    was trained for.

    Args:
        layer: A link of a `Chain`, called with ``(x, context)``.
        name: What messages call it.
    """

    def __init__(self, layer: nn.Module, name: str) -> None:
        self.layer, self.name = layer, name

    @property
    def modules(self) -> list[nn.Module]:
        """What it trains."""
        return [self.layer]

    def __call__(self, x: Features, context: Context) -> Tensor:
        return self.read(normalized(x), context)

    def read(self, x: Features, context: Context) -> Tensor:
        """The same from rows that have length 1 already."""
        return self._checked(self.layer(x, context)).relu()

    def operators(
        self, context: Context, dtype: torch.dtype
    ) -> tuple[SparseMatrix | None, ...] | None:
        """The layer's fixed matrices; None if it has none, or does not act row by row on them."""
        offered = getattr(self.layer, "operators", None)
        return None if offered is None else offered(context, dtype)

    def combine(self, parts: Sequence[Features]) -> Tensor:
        """The block from the products of its operators with rows of length 1."""
        return self.layer.combine(parts).relu()

    def _checked(self, z: Any) -> Tensor:
        if not isinstance(z, Tensor) or z.dim() < 2:
            shown = list(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(
                f"{self.name} returns {shown}; forward-only training needs one vector per node "
                "from every layer"
            )
        return z


class StartBlock(Block):
    """What a chain learns before its first layer, such as an embedding of the features."""

    def __init__(self, encoder: Chain, modules: Sequence[nn.Module]) -> None:
        self.encoder, self._modules, self.name = encoder, list(modules), "the start"
        self.layer = encoder

    @property
    def modules(self) -> list[nn.Module]:
        return self._modules

    def __call__(self, x: Features, context: Context) -> Tensor:
        return self._checked(self.encoder.start(context)).relu()

    def read(self, x: Features, context: Context) -> Tensor:
        return self(x, context)

    def operators(self, context: Context, dtype: torch.dtype) -> None:
        return None


def make_blocks(encoder: Chain, context: Context) -> list[Block]:
    """The blocks of a chain, with one for its start if something is learned there.

    What only the readout learns is taken off the encoder: no local loss reaches it.

    Raises:
        ValueError: If the encoder is no chain of layers, or learns something that no block holds.
    """
    kind = type(encoder).__name__
    if not isinstance(encoder, Chain) or not len(encoder.layers):
        raise ValueError(
            f"{kind} cannot be trained forward-only: it is no chain of layers that could each have "
            "a loss of their own"
        )
    if isinstance(context.x, Tensor) and context.x.requires_grad:
        raise ValueError(
            f"{kind} cannot be trained forward-only: all its layers read an embedding of the "
            "features that is learned through them"
        )
    first = start_modules(encoder, context)
    for name, module in list(encoder.named_children()):
        if module is not encoder.layers and module not in first and _learns(module):
            setattr(encoder, name, None)
    left = {id(p) for module in [encoder.layers, *first] for p in module.parameters()}
    if stray := [name for name, p in encoder.named_parameters() if id(p) not in left]:
        raise ValueError(f"{kind} cannot be trained forward-only: {stray[0]} belongs to no layer")
    blocks = [StartBlock(encoder, first)] if first else []
    blocks += [Block(layer, f"layer {i + 1} of {kind}") for i, layer in enumerate(encoder.layers)]
    return blocks


def start_modules(encoder: Chain, context: Context) -> list[nn.Module]:
    """What an encoder learns in its start."""
    with torch.enable_grad():
        h = encoder.start(context)
        if not isinstance(h, Tensor) or not h.requires_grad:
            return []
        named = list(encoder.parameters())
        grads = torch.autograd.grad(h.sum(), named, allow_unused=True)
    used = {id(p) for p, grad in zip(named, grads, strict=True) if grad is not None}
    return [
        module
        for module in encoder.children()
        if module is not encoder.layers and any(id(p) in used for p in module.parameters())
    ]


def _learns(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())
