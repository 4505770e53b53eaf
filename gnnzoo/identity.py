"""What makes two runs the same: the settings (``cell_hash``) and the sources (``code_hash``)."""

import ast
import hashlib
import inspect
import io
import json
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gnnzoo.config import Composed, RunConfig, resolve_target, targets

NOT_IDENTITY = frozenset(
    {
        "seed",
        "device",
        "threads",
        "run_dir",
        "rerun",
        "progress",
        "track",
        "checkpoint_seconds",
        "trusted_targets",
    }
)

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

# What decides a number although no setting names it.
_ALWAYS = ("gnnzoo.assemble", "gnnzoo.fitting")
# What only configures, shows, stores or looks up: a change there leaves every number as it is.
_LEFT_OUT = (
    "gnnzoo.cli",
    "gnnzoo.config",
    "gnnzoo.files",
    "gnnzoo.parts",
    "gnnzoo.paths",
    "gnnzoo.results",
    "gnnzoo.train.progress",
)


@dataclass(frozen=True)
class Identity:
    """What a run is: settings, sources and seed."""

    cell_hash: str
    code_hash: str
    seed: int

    @classmethod
    def of(cls, composed: Composed) -> "Identity":
        """Identity of composed settings."""
        return cls(cell_hash(composed), code_hash(composed), composed.settings.seed)

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is of this very run."""
        return all(record.get(key) == value for key, value in vars(self).items())


def cell_hash(composed: Composed) -> str:
    """sha256 of what the settings change from their defaults, without seed, device and paths.

    A default is left out whether it is written down or not, so that a setting which is added later
    leaves the runs that do not use it what they were. A default that changes is seen by
    :func:`code_hash`.
    """
    settings = OmegaConf.to_container(composed.settings, resolve=True)
    kept = {key: value for key, value in settings.items() if key not in NOT_IDENTITY}
    own = _beyond(_canonical(kept, composed.trusted()), asdict(RunConfig()))
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def _canonical(value: Any, trusted: Iterable[str]) -> Any:
    if isinstance(value, Mapping):
        own = {key: _canonical(entry, trusted) for key, entry in value.items()}
        if "_target_" in own:
            own = _beyond(own, _defaults(own["_target_"], trusted))
            if isinstance(own.get("path"), str):  # a file is what it holds, not where it lies
                own["path"] = _content_hash(Path(own["path"]))
        return own
    if isinstance(value, list | tuple):
        return [_canonical(entry, trusted) for entry in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # lr=1 and lr=1.0 are the same setting
    return value


def _beyond(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from their defaults."""
    own = {}
    for key, value in settings.items():
        default = defaults.get(key)
        if (
            isinstance(value, Mapping)
            and isinstance(default, Mapping)
            and value.keys() >= default.keys()
        ):
            value, default = _beyond(value, default), {}
        if key not in defaults or json.dumps(value) != json.dumps(default):  # 1 is not True
            own[key] = value
    return own


def _defaults(target: str, trusted: Iterable[str]) -> dict[str, Any]:
    parameters = inspect.signature(resolve_target(target, trusted)).parameters.values()
    plain = (bool, int, float, str, list, tuple, dict, type(None))
    return {
        parameter.name: _canonical(parameter.default, trusted)
        for parameter in parameters
        if parameter.default is not parameter.empty and isinstance(parameter.default, plain)
    }


def _content_hash(path: Path) -> str:
    if not path.is_file():
        return f"missing:{path}"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def code_hash(composed: Composed) -> str:
    """sha256 over the sources of the parts used and of every module they import.

    Followed are gnnzoo's modules and those of the trusted packages. Comments, docstrings and blank
    lines do not count. Defaults that stand elsewhere, of run settings and of parts of other
    packages, are added.
    """
    trusted = composed.trusted()
    packages, names = ("gnnzoo", *trusted), sorted(set(targets(composed.settings)))
    parts = [resolve_target(target, trusted).__module__ for target in names]
    digests = _source_digests([*parts, *_ALWAYS], packages)
    unseen = {name: _defaults(name, trusted) for name in names if not _inside(name, packages)}
    unseen[""] = {k: v for k, v in asdict(RunConfig()).items() if k not in NOT_IDENTITY}
    return hashlib.sha256(f"{digests}\n{json.dumps(unseen, sort_keys=True)}".encode()).hexdigest()


def _source_digests(start: Iterable[str], packages: Iterable[str]) -> str:
    """A line per module reached from ``start`` inside ``packages``."""
    waiting, packages = list(start), tuple(packages)
    modules: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module not in modules and _inside(module, packages) and not _inside(module, _LEFT_OUT):
            modules.add(module)
            waiting.extend(_imports(module))
    return "\n".join(f"{module}:{_source_digest(module)}" for module in sorted(modules))


def _inside(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@lru_cache
def _spec(module: str) -> ModuleSpec | None:
    try:
        return find_spec(module)
    except (ImportError, ValueError):
        return None


@lru_cache
def _source(module: str) -> str:
    spec = _spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    return Path(spec.origin).read_text(encoding="utf-8")


@lru_cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules that a module imports, each where the imported name really stands."""
    found: list[str] = []
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            found += [_home_of(base, alias.name) for alias in node.names]
    return tuple(found)


def _absolute(module: str, node: ast.ImportFrom) -> str:
    """The module after ``from``; a relative one is counted from ``module``."""
    if node.level == 0:
        return node.module or ""
    package = module if _is_package(module) else module.rpartition(".")[0]
    return resolve_name("." * node.level + (node.module or ""), package)


def _home_of(module: str, name: str) -> str:
    """The module where ``from module import name`` really finds ``name``."""
    if not _is_package(module):
        return module
    if _spec(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    if not _inside(module, ("gnnzoo",)):
        return module
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.ImportFrom) and name in [a.asname or a.name for a in node.names]:
            return _home_of(_absolute(module, node), name)
    return module


@lru_cache
def _is_package(module: str) -> bool:
    spec = _spec(module)
    return spec is not None and spec.submodule_search_locations is not None


@lru_cache
def _source_digest(module: str) -> str:
    return hashlib.sha256(_bare(_source(module)).encode()).hexdigest()


def _bare(source: str) -> str:
    """A source without comments, docstrings, blank lines and blanks at line ends.

    The text is cut, not written anew, since every Python version would write it otherwise.
    """
    lines = source.splitlines()
    spans = [
        (token.start, token.end)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            last_line = lines[text.end_lineno - 1].encode()  # ast counts bytes, tokenize characters
            end = len(last_line[: text.end_col_offset].decode())
            spans.append(((text.lineno, text.col_offset), (text.end_lineno, end)))
    for (first, start), (last, end) in sorted(spans, reverse=True):
        lines[first - 1 : last] = [lines[first - 1][:start] + lines[last - 1][end:]]
    return "\n".join(line.rstrip() for line in lines if line.strip())
