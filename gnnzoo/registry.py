"""What the zoo holds: one YAML file under ``conf/<group>`` is one entry."""

import inspect
from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gnnzoo.config import build, resolve_target
from gnnzoo.paths import cards_root, conf_root, experiments_root

GROUPS = {"models": "model", "datasets": "dataset", "heads": "head", "tables": "experiments"}


class UnknownName(KeyError):
    """A name that no entry bears; the message lists close ones."""

    def __str__(self) -> str:
        return str(self.args[0])


def list_names(kind: str, pattern: str = "*", config_dirs: Iterable[str | Path] = ()) -> list[str]:
    """Names of all ``models``, ``datasets``, ``heads`` or ``tables`` that match a wildcard."""
    if kind not in GROUPS:
        raise UnknownName(f"no list of {kind!r}; there are: {', '.join(GROUPS)}")
    if kind == "tables":
        names = {path.parent.name for path in experiments_root().glob("*/table.yaml")}
    else:
        folders = [conf_root(), *map(Path, config_dirs)]
        files = [path for folder in folders for path in (folder / GROUPS[kind]).glob("*.yaml")]
        names = {path.stem for path in files}
    return sorted(name for name in names if fnmatch(name, pattern))


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models, such as ``"dagnn"``; ``pattern`` is a shell wildcard."""
    return list_names("models", pattern)


def create_model(name: str, in_channels: int, out_channels: int, **settings: Any) -> Any:
    """Build an encoder by name, with the defaults of its YAML file.

    Args:
        name: A name of :func:`list_models`.
        in_channels: Features per node.
        out_channels: Width of the output, the number of classes for node classification.
        **settings: Constructor arguments that replace the file's.

    Raises:
        UnknownName: If there is no such model.
    """
    node = entry("models", name)
    node.pop("transform", None)
    return build(node | settings, in_channels=in_channels, out_channels=out_channels)


def load_dataset(name: str, **settings: Any) -> Any:
    """Load a data set by name as a PyG ``Data``, with its default masks where it has some.

    Args:
        name: A name of ``gnnzoo list datasets``.
        **settings: Arguments of the loader that replace the file's.

    Raises:
        UnknownName: If there is no such data set.
        MissingDataError: If its raw files are neither here nor to be had.
    """
    dataset = build(entry("datasets", name) | settings)
    data = dataset.data.clone()
    if dataset.masks:
        masks = next(iter(dataset.masks.values()))()
        data.train_mask, data.val_mask, data.test_mask = masks
    return data


def entry(kind: str, name: str) -> dict[str, Any]:
    """Settings of one entry, as in its YAML file."""
    path = conf_root() / GROUPS[kind] / f"{name}.yaml"
    if not path.is_file():
        known = list_names(kind)
        close = get_close_matches(name, known) or known
        raise UnknownName(
            f"no {GROUPS[kind]} named {name!r}; close matches: {', '.join(close)}. "
            f"gnnzoo list {kind} shows all"
        )
    settings = OmegaConf.to_container(OmegaConf.load(path))
    settings.pop("defaults", None)
    return settings


def describe(kind: str, name: str) -> str:
    """One line about an entry: the first sentence of what its ``_target_`` or card says."""
    if kind == "tables":
        from gnnzoo.results import load_table

        return load_table(name)[0].title
    card = cards_root() / name / "card.yaml"
    if kind == "datasets" and card.is_file():
        content = OmegaConf.load(card)
        sizes = ", ".join(
            f"{count:,} {key.removeprefix('num_')}" for key, count in content.sizes.items()
        )
        return f"{content.title}: {sizes}"
    documentation = inspect.getdoc(resolve_target(entry(kind, name)["_target_"])) or ""
    return documentation.split("\n")[0]
