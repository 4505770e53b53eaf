"""Hand an encoder the fields that its forward signature names."""

import inspect
from functools import lru_cache
from typing import Any

from torch import nn

from gnnzoo.ops import SparseFeatures


@lru_cache(maxsize=256)
def _signature(forward: Any) -> tuple[tuple[str, bool], ...]:
    """Name of each argument after self, and whether it is required."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    _, *parameters = inspect.signature(forward).parameters.values()
    return tuple(
        (p.name, p.default is inspect.Parameter.empty) for p in parameters if p.kind not in variable
    )


def inputs(encoder: nn.Module, data: Any) -> dict[str, Any]:
    """Keyword arguments for ``encoder(**inputs(encoder, data))``.

    Args:
        encoder: Any module; a compiled one is looked through, ``reads_as`` names the module whose
            signature counts, and ``reads_too`` further fields that are needed.
        data: PyG ``Data`` or ``Batch``, or anything with the fields as attributes.

    Returns:
        Every field that the signature names and `data` has.

    Raises:
        ValueError: If a required field is missing (the message names it and the transform that
            makes it), or the features are sparse and the encoder reads dense ones only.
    """
    module = getattr(encoder, "_orig_mod", encoder)
    further: list[tuple[str, bool]] = []
    while hasattr(module, "reads_as"):
        further += [(name, True) for name in getattr(module, "reads_too", ())]
        module = module.reads_as
    fields = {}
    for name, required in [*_signature(type(module).forward), *further]:
        value = getattr(data, name, None)
        if value is not None:
            fields[name] = value
        elif required:
            raise ValueError(_missing(module, name))
    if isinstance(fields.get("x"), SparseFeatures) and not getattr(
        module, "reads_sparse_features", False
    ):
        raise ValueError(
            f"{type(module).__name__} reads dense features, but data.x is {fields['x']}; "
            "leave the transform gnnzoo.data.SparsifyFeatures out"
        )
    return fields


def _missing(module: nn.Module, name: str) -> str:
    text = f"{type(module).__name__} needs the field {name!r}, which the data does not have"
    transform = getattr(module, "made_by", {}).get(name)
    return f"{text}; the transform {transform} makes it" if transform else text
