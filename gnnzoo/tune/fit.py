"""Whether a search space fits what it is searched for."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from omegaconf import OmegaConf

from gnnzoo.config import Composed, ConfigError, resolve_target


def check_fit(space: Iterable[str], composed: Composed) -> None:
    """See that every key names a setting that exists or that the part's constructor takes.

    Raises:
        ConfigError: If one does not; the message names it, the part and the closest setting.
    """
    settings = OmegaConf.to_container(composed.settings, resolve=True)
    known = {**dict.fromkeys(composed.choices), **settings}  # "tuned" is a choice, no setting
    names = list(_names(known, composed.trusted()))
    for key in space:
        if not _fits(key.split("."), known, composed.trusted()):
            part = key.partition(".")[0]
            choice = composed.choices.get(part)
            owner = f"{part} {choice} does not take" if choice else "no part of a run takes"
            raise ConfigError(
                f"the search space sets {key}, which {owner}; the closest setting is "
                f"{_closest(key, names)}"
            )


def _fits(names: list[str], settings: Mapping[str, Any], trusted: tuple[str, ...]) -> bool:
    node, inside_a_part = settings, False
    for name in names:
        if not isinstance(node, Mapping):
            return False
        if "_target_" in node:
            inside_a_part = True
        elif inside_a_part:
            return True  # a mapping with keys of one's own, such as trainer.groups
        if name not in node and name not in _optional(node, trusted):
            return False
        node = node.get(name)
    return True


def _optional(node: Mapping[str, Any], trusted: tuple[str, ...]) -> list[str]:
    """What the constructor takes beside; what it requires and YAML leaves out comes from data."""
    if "_target_" not in node:
        return []
    parameters = inspect.signature(resolve_target(node["_target_"], trusted)).parameters
    return [name for name, taken in parameters.items() if taken.default is not taken.empty]


def _names(node: Mapping[str, Any], trusted: tuple[str, ...], prefix: str = "") -> Iterator[str]:
    """Every setting that there is or may be, with dots."""
    for name in dict.fromkeys([*node, *_optional(node, trusted)]):
        if not name.startswith("_"):
            yield f"{prefix}{name}"
            if isinstance(node.get(name), Mapping):
                yield from _names(node[name], trusted, f"{prefix}{name}.")


def _closest(key: str, names: list[str]) -> str:
    """One of the same last name in another part, else the most similar."""
    last = key.rpartition(".")[2]
    same = [name for name in names if name.rpartition(".")[2] == last]
    return (same or get_close_matches(key, names, n=1, cutoff=0.0))[0]
