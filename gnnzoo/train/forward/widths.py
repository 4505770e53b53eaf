"""Encoders whose layers are all as wide as the hidden ones, built for local losses."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from gnnzoo.models import Chain, inputs
from gnnzoo.train.forward.block import start_modules

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
    kind: type, settings: Mapping[str, Any], make: Make, known: Mapping[str, Any], task: Any
) -> Chain:
    """A chain each of whose layers also reads the state above it, the last one classes.

    Layers are those of encoders with a single one.

    Raises:
        ValueError: If such an encoder has more than a layer, or learns something before it.
    """
    _check_single(kind, settings, make, known, task)
    width, count = hidden_width(kind, settings), settings.get("num_layers", 1)
    below = [known["in_channels"], *[width] * (count - 1)]
    above = [*[width] * (count - 1), task.num_classes]
    chains = []
    for pair in zip(below, above, strict=True):
        one = {"in_channels": sum(pair), "out_channels": width, "num_layers": 1}
        chains.append(make(**{**known, **one, **kind.all_hidden}))
    first = chains[0]
    first.layers = nn.ModuleList(chain.layers[0] for chain in chains)
    return first


def _check_single(
    kind: type, settings: Mapping[str, Any], make: Make, known: Mapping[str, Any], task: Any
) -> None:
    fits = "num_layers" in settings
    if fits:
        one = all_hidden(kind, settings, make, {**known, "num_layers": 1}).to(task.data.x.device)
        context = one.context(**inputs(one, task.data))
        fits = len(one.layers) == 1 and not start_modules(one, context)
    if not fits:
        raise ValueError(
            f"{kind.__name__} cannot be trained by method=sf_t2i: its layers cannot be given "
            "inputs from above; method=sf and sf_t2l need none"
        )
