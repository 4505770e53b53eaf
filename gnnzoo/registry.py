"""What the zoo holds: one YAML file under ``conf/<group>`` is one entry."""

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gnnzoo.bench import BENCHMARKS
from gnnzoo.config import build
from gnnzoo.paths import conf_root, experiments_root

# What can be listed: its folder under conf, and how a name is used.
KINDS = {
    "models": ("model", "model=NAME"),
    "datasets": ("dataset", "dataset=NAME"),
    "heads": ("head", "head=NAME"),
    "protocols": ("protocol", "protocol=NAME"),
    "trainers": ("trainer", "trainer=NAME"),
    "recipes": ("tuned", "tuned=NAME"),
    "experiments": ("experiment", "experiment=NAME"),
    "spaces": ("search", "gnnzoo tune --space NAME"),
    "tables": (None, "gnnzoo table NAME"),
    "benchmarks": (None, "gnnzoo bench NAME"),
}


class UnknownName(KeyError):
    """A name that no entry bears; the message lists close ones."""

    def __str__(self) -> str:
        return str(self.args[0])


def list_names(kind: str, pattern: str = "*", config_dirs: Iterable[str | Path] = ()) -> list[str]:
    """Names of one of ``KINDS`` that match a wildcard.

    Raises:
        UnknownName: If there is no such kind.
    """
    if kind not in KINDS:
        close = get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(KINDS)}"
        raise UnknownName(f"no list of {kind!r}; {hint}")
    group, _ = KINDS[kind]
    if kind == "tables":
        names = {path.parent.name for path in experiments_root().glob("*/table.yaml")}
    elif kind == "benchmarks":
        names = set(BENCHMARKS)
    else:
        roots = [folder / group for folder in (conf_root(), *map(Path, config_dirs))]
        files = "**/*.yaml" if kind == "recipes" else "*.yaml"
        found = (path.relative_to(root) for root in roots for path in root.glob(files))
        names = {str(path.with_suffix("")) for path in found}
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
    group, _ = KINDS[kind]
    path = conf_root() / group / f"{name}.yaml"
    if not path.is_file():
        known = list_names(kind)
        close = get_close_matches(name, known) or known
        raise UnknownName(
            f"no {group} named {name!r}; close matches: {', '.join(close)}. "
            f"gnnzoo list {kind} shows all"
        )
    settings = OmegaConf.to_container(OmegaConf.load(path))
    settings.pop("defaults", None)
    return settings
