"""One line about anything that can be listed, without importing what it is about."""

import ast
import inspect
import re
from pathlib import Path

import yaml

from gnnzoo.config import resolve_target
from gnnzoo.paths import cards_root, conf_root
from gnnzoo.registry import KINDS, entry

_SOURCES = Path(__file__).parents[1]


def describe(kind: str, name: str) -> str:
    """What a name of ``list_names(kind)`` stands for, in a line."""
    if kind == "tables":
        from gnnzoo.results import load_table

        return load_table(name)[0].title
    if kind == "benchmarks":
        return _first_sentence(_docstring(f"gnnzoo.bench.{name}.{name}"))
    card = cards_root() / name / "card.yaml"
    if kind == "datasets" and card.is_file():
        return _card_line(card)
    return _first_sentence("" if kind == "models" else _comment(kind, name)) or _first_sentence(
        _docstring(entry(kind, name).get("_target_", ""))
    )


def _card_line(card: Path) -> str:
    content = yaml.load(
        card.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    sizes = (f"{count:,} {key.removeprefix('num_')}" for key, count in content["sizes"].items())
    return f"{content['title']}: {', '.join(sizes)}"


def _comment(kind: str, name: str) -> str:
    """The comment at the head of a YAML file, without commands for Hydra or the shell."""
    group, _ = KINDS[kind]
    lines = (conf_root() / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    words = []
    for line in lines:
        if not line.startswith("#"):
            break
        if not line.startswith(("# @", "# gnnzoo ")):
            words.append(line.removeprefix("#").strip())
    return " ".join(words)


def _docstring(target: str) -> str:
    """The docstring of a class or function, read from its source where that lies here."""
    module, _, name = target.rpartition(".")
    path = _SOURCES.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not module.startswith("gnnzoo.") or not path.is_file():
        return inspect.getdoc(resolve_target(target)) or "" if target else ""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return ast.get_docstring(node) or ""
        if isinstance(node, ast.ImportFrom) and name in [
            alias.asname or alias.name for alias in node.names
        ]:
            return _docstring(f"{node.module}.{name}")
    return ""


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[0].split()).replace("``", "")
    return re.split(r"(?<!al)\.\s+(?=[A-Z])", paragraph)[0]
