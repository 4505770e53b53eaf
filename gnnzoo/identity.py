"""What makes two runs the same: the settings (``cell_hash``) and the sources (``code_hash``)."""

import ast
import hashlib
import inspect
import io
import json
import tokenize
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gnnzoo.config import Composed, resolve_target, targets

NOT_IDENTITY = frozenset(
    {
        "seed",
        "device",
        "threads",
        "run_dir",
        "rerun",
        "progress",
        "checkpoint_seconds",
        "trusted_targets",
    }
)

# Modules that decide how a number comes to be although no setting names them.
_ALWAYS = ("gnnzoo.executor",)
# Modules that only show, store or look up: a change there leaves every number as it is.
_SHOWS_ONLY = (
    "gnnzoo.results",
    "gnnzoo.train.progress",
    "gnnzoo.cli",
    "gnnzoo.paths",
    "gnnzoo.files",
)


def cell_hash(composed: Composed) -> str:
    """sha256 of the settings with constructor defaults, without seed, device and paths."""
    settings = OmegaConf.to_container(composed.settings, resolve=True)
    kept = {key: value for key, value in settings.items() if key not in NOT_IDENTITY}
    filled = _canonical(kept, composed.trusted())
    return hashlib.sha256(json.dumps(filled, sort_keys=True).encode()).hexdigest()


def _canonical(value: Any, trusted: Iterable[str]) -> Any:
    if isinstance(value, Mapping):
        filled = {key: _canonical(entry, trusted) for key, entry in value.items()}
        if "_target_" in filled:
            filled = _defaults(filled["_target_"], trusted) | filled
            if isinstance(filled.get("path"), str):  # a file is what it holds, not where it lies
                filled["path"] = _content_hash(Path(filled["path"]))
        return filled
    if isinstance(value, list | tuple):
        return [_canonical(entry, trusted) for entry in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # lr=1 and lr=1.0 are the same setting
    return value


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
    """sha256 over the sources of the parts used and of every module they import from their package.

    Comments, docstrings and layout do not count.
    """
    trusted = composed.trusted()
    parts = [resolve_target(target, trusted).__module__ for target in targets(composed.settings)]
    packages = ("gnnzoo", *trusted)
    modules: set[str] = set()
    waiting = [*_ALWAYS, *parts]
    while waiting:
        module = waiting.pop()
        if module in modules or module.startswith(_SHOWS_ONLY) or not _belongs(module, packages):
            continue
        modules.add(module)
        waiting.extend(_imports(module))
    digests = [f"{module}:{_source_digest(module)}" for module in sorted(modules)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _belongs(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@lru_cache
def _source(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    return Path(spec.origin).read_text(encoding="utf-8")


@lru_cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules that a module imports; a package's re-exports are followed only by what is named."""
    found: list[str] = []
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found += [_home_of(node.module, alias.name) for alias in node.names]
    return tuple(found)


def _home_of(module: str, name: str) -> str:
    """The module where ``from module import name`` really finds ``name``."""
    if not _belongs(module, ("gnnzoo",)) or not _is_package(module):
        return module
    if find_spec(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.ImportFrom) and name in [a.asname or a.name for a in node.names]:
            return _home_of(node.module, name)
    return module


def _is_package(module: str) -> bool:
    spec = find_spec(module)
    return spec is not None and spec.submodule_search_locations is not None


@lru_cache
def _source_digest(module: str) -> str:
    """Digest of the tokens of a module, without comments and docstrings."""
    kept: list[str] = []
    at_start_of_statement = True
    for token in tokenize.generate_tokens(io.StringIO(_source(module)).readline):
        if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER):
            continue
        is_docstring = at_start_of_statement and token.type == tokenize.STRING
        if token.type in (tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE):
            kept.append(tokenize.tok_name[token.type])
            at_start_of_statement = True
        else:
            at_start_of_statement = False
            if not is_docstring:
                kept.append(token.string)
    return hashlib.sha256(" ".join(kept).encode()).hexdigest()
