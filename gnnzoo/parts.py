"""From settings with a ``_target_`` to Python objects, out of accepted packages only."""

import functools
import inspect
import logging
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

KNOWN_TARGETS = (
    "gnnzoo",
    "torch.nn",
    "torch.optim",
    "torch_geometric.nn",
    "torch_geometric.transforms",
)


class ConfigError(ValueError):
    """A setting that cannot work; the message says which, its value, and what would work."""


def build(node: Any, trusted: Iterable[str] = (), **extra: Any) -> Any:
    """Call the ``_target_`` of a node, and of the nodes inside it, with their settings.

    Args:
        node: A mapping with ``_target_``.
        trusted: Packages to accept besides gnnzoo, torch's and PyG's modules.
        **extra: Arguments known only now, such as ``in_channels``.

    Raises:
        ConfigError: If a target is missing or outside the accepted packages, or gets an argument
            that it does not take.
        Exception: Whatever the target itself raises, unchanged.
    """
    if isinstance(node, DictConfig):
        node = OmegaConf.to_container(node, resolve=True)
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ConfigError(f"expected settings with a _target_, got {node!r}")
    if missing := [key for key, value in node.items() if value == "???"]:
        raise ConfigError(
            f"{node['_target_']} needs {missing[0]}; give it as <part>.{missing[0]}=..."
        )
    for target in targets(node):
        resolve_target(target, trusted)
    check_arguments(node, extra)
    node = _whole_counts(node)
    try:
        # extra goes around Hydra, which would turn dataclasses among it into dictionaries
        part = instantiate({**node, "_partial_": True}, _convert_="all")
    except InstantiationException as error:
        if error.__cause__ is not None:
            raise error.__cause__ from None
        raise ConfigError(str(error)) from error
    return functools.partial(part, **extra) if node.get("_partial_") else part(**extra)


def targets(node: Any) -> list[str]:
    """Every ``_target_`` in a tree of settings, outermost first."""
    if isinstance(node, DictConfig):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, Mapping):
        own = [node["_target_"]] if "_target_" in node else []
        return own + [target for value in node.values() for target in targets(value)]
    if isinstance(node, list | tuple):
        return [target for value in node for target in targets(value)]
    return []


def resolve_target(target: str, trusted: Iterable[str] = ()) -> Any:
    """The class or function a dotted name stands for, if it lives in an accepted package."""
    accepted = (*KNOWN_TARGETS, *trusted)
    if not _inside(target, accepted):
        raise ConfigError(
            f"_target_ {target!r} is outside {', '.join(accepted)}; "
            f"add trusted_targets=[{target.split('.')[0]}] if you trust that package"
        )
    try:
        found = _import(target)
    except Exception as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(f"cannot import _target_ {target!r}: {reason}") from error
    home = getattr(found, "__module__", None)
    if not callable(found) or home is None or not _inside(home, accepted):
        raise ConfigError(
            f"_target_ {target!r} is not a class or function of {', '.join(accepted)}"
        )
    return found


def _import(target: str) -> Any:
    """Hydra logs what it cannot import beside raising it; it is told once, by us."""
    hydra_log = logging.getLogger("hydra.utils")
    disabled, hydra_log.disabled = hydra_log.disabled, True
    try:
        return get_object(target)
    finally:
        hydra_log.disabled = disabled


def _inside(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _whole_counts(node: Mapping[str, Any]) -> dict[str, Any]:
    """Whole floats, such as 1e2, as ints where the target takes ints."""
    parameters = inspect.signature(get_object(node["_target_"])).parameters
    counts = {name for name, taken in parameters.items() if taken.annotation in (int, int | None)}
    whole = {
        key: int(value)
        for key, value in node.items()
        if key in counts and isinstance(value, float) and value.is_integer()
    }
    return {**node, **whole}


def check_arguments(node: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Refuse arguments that the target's signature does not have, with the closest one named."""
    parameters = inspect.signature(get_object(node["_target_"])).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in [*node, *extra]:
        if name not in parameters and not (name.startswith("_") and name.endswith("_")):
            close = get_close_matches(name, parameters, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; it takes {', '.join(parameters)}"
            raise ConfigError(f"{node['_target_']} takes no argument {name!r}{hint}")
