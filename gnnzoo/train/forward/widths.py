"""Encoders whose layers are all as wide as the hidden ones, built for local losses."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from gnnzoo.models import Chain

Make = Callable[..., nn.Module]


def hidden_width(kind: type, settings: Mapping[str, Any]) -> int:
    """Width that every layer is to have.

    Raises:
        ValueError: If the encoder has no such setting.
    """
    if "hidden_channels" not in settings or not issubclass(kind, Chain):
        reason = (
            "it has no hidden width that all of its layers could have"
            if issubclass(kind, Chain)
            else "it is no chain of layers that could each have a loss of their own"
        )
        raise ValueError(f"{kind.__name__} cannot be trained forward-only: {reason}")
    return settings["hidden_channels"]


def all_hidden(
    kind: type, settings: Mapping[str, Any], make: Make, known: Mapping[str, Any]
) -> nn.Module:
    """The encoder with a last layer as wide as the others."""
    width = hidden_width(kind, settings)
    return make(**{**known, "out_channels": width, **kind.all_hidden})


def with_inputs_from_above(
    kind: type, settings: Mapping[str, Any], make: Make, known: Mapping[str, Any], top: int
) -> Chain:
    """A chain each of whose layers also reads the state above it, the last one `top` columns.

    Layers are those of encoders with a single one.

    Raises:
        ValueError: If such an encoder has more than a layer, or learns something beside it.
    """
    width, count = hidden_width(kind, settings), settings.get("num_layers", 1)
    below = [known["in_channels"], *[width] * (count - 1)]
    above = [*[width] * (count - 1), top]
    chains = []
    for inputs in zip(below, above, strict=True):
        one = {"in_channels": sum(inputs), "out_channels": width, "num_layers": 1}
        chains.append(make(**{**known, **one, **kind.all_hidden}))
    first = chains[0]
    if len(first.layers) != 1 or "num_layers" not in settings or settings.get("input_linear"):
        raise ValueError(
            f"{kind.__name__} cannot be trained by method=sf_t2i: its layers cannot be given "
            "inputs from above; method=sf and sf_t2l need none"
        )
    first.layers = nn.ModuleList(chain.layers[0] for chain in chains)
    return first
