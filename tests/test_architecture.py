"""The house stays easy to see: imports run one way, layers stay light, every file composes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gnnzoo

PACKAGE = Path(gnnzoo.__file__).parent
ROOT = PACKAGE.parent
MAY_IMPORT = {
    "ops": set(),
    "nn": {"ops"},
    "models": {"ops", "nn"},
    "data": {"ops", "paths", "files"},
    "heads": {"ops", "nn", "models", "data"},
    "train": {"ops", "nn", "models", "data", "heads", "files", "results"},
    "results": {"paths", "files"},
}
NOT_IN_LAYERS = {"hydra", "omegaconf", "pandas", "rich", "ogb", "typer", "sklearn", "scipy"}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
            if node.module == "gnnzoo":
                names |= {f"gnnzoo.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_run_one_way(room):
    files = list((PACKAGE / room).glob("**/*.py"))
    assert files
    for path in files:
        parts = [name.split(".") for name in imported(path) if name.startswith("gnnzoo.")]
        others = {part[1] for part in parts} - {room}
        assert others <= MAY_IMPORT[room], f"{path.name} imports {others - MAY_IMPORT[room]}"


@pytest.mark.parametrize("room", ["ops", "nn"])
def test_layers_need_torch_and_pyg_only(room):
    for path in (PACKAGE / room).glob("**/*.py"):
        tops = {name.split(".")[0] for name in imported(path)}
        allowed = {"scipy"} if path.stem.endswith("_scipy") else set()  # a back-end beside others
        assert not tops & NOT_IN_LAYERS - allowed, path


def test_back_ends_on_scipy_are_imported_when_they_run():
    loaded = modules_after("from gnnzoo.ops import neighbor_overlap")
    assert not [name for name in loaded if name.startswith("gnnzoo") and name.endswith("_scipy")]


def modules_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    assert not modules_after("import gnnzoo") & {"torch", "hydra", "torch_geometric"}


def test_importing_layers_brings_no_configuration_or_terminal_library():
    loaded = modules_after("from gnnzoo.nn import DAGNNProp")
    assert not loaded & {"hydra", "omegaconf", "typer", "ogb", "gnnzoo.config"}


def test_no_file_holds_too_many_ideas():
    long = {
        path.name: count
        for path in PACKAGE.glob("**/*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 350
    }
    assert not long
