"""Every command and every piece of Python in the README works as it stands there."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gnnzoo.config import compose
from gnnzoo.identity import Identity
from gnnzoo.results import load_table, published_records
from gnnzoo.tables import markdown

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
INSTALLS = ("make ", "pip install")  # tried by continuous integration itself and the wheel's test
LONG = ("gnnzoo table planetoid --fill --keep",)  # its numbers are checked below


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith(INSTALLS) and line not in LONG]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder as a reader of the README would have it after its Python examples."""
    folder = tmp_path_factory.mktemp("desk")
    for code in blocks("python"):
        subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=120)
    (folder / "mylab").mkdir()
    (layers,) = [code for code in blocks("python") if "class MeanEncoder" in code]
    (folder / "mylab" / "layers.py").write_text(layers)
    (folder / "myconf" / "model").mkdir(parents=True)
    (settings,) = blocks("yaml")
    (folder / "myconf" / "model" / "mean.yaml").write_text(settings)
    return folder


def test_there_are_commands_to_try():
    assert len(commands()) >= 5


@pytest.mark.parametrize("command", commands())
def test_every_command_runs(desk, command, monkeypatch):
    monkeypatch.delenv("GNNZOO_RUNS", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    if command.startswith("gnnzoo train") and "trainer=none" not in command:
        command += " trainer.epochs=3"
    done = subprocess.run(
        ["bash", "-c", command], cwd=desk, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


SPEED_ROWS = [
    ("Cora, step", "Cora", "training step"),
    ("Cora, evaluation", "Cora", "evaluation"),
    ("CiteSeer, step", "CiteSeer", "training step"),
    ("CiteSeer, evaluation", "CiteSeer", "evaluation"),
    ("100k nodes, 1.2 M edges, step", "100k nodes, 1200k edges", "training step"),
]


@pytest.mark.parametrize(("title", "case", "what"), SPEED_ROWS)
def test_the_speed_ratios_shown_are_the_measured_ones(title, case, what):
    with (Path(__file__).parents[1] / "experiments/bench/dagnn.csv").open() as stream:
        measured = {
            row["contestant"]: row["ratio"]
            for row in csv.DictReader(stream)
            if (row["case"], row["what"]) == (case, what)
        }
    (line,) = [line for line in README.splitlines() if line.startswith(f"| {title} |")]
    shown = line.split("|")[3:6]
    wanted = ("DAGNN, gather-scatter", "DAGNN, torch CSR", "DAGNN, gnnzoo")
    for cell, contestant in zip(shown, wanted, strict=True):
        number = re.search(r"[\d.]+", cell)[0]
        assert float(number) == pytest.approx(float(measured[contestant]), abs=6e-4)


def test_the_table_shown_is_the_one_of_the_committed_records():
    blocks = load_table("planetoid")

    def identify(overrides):
        identity = Identity.of(compose(overrides))
        return identity.cell_hash, identity.code_hash

    rendered = markdown(blocks, identify, published_records(blocks))
    assert rendered.strip() in README
    assert "stale" not in rendered
    assert "| not run" not in rendered
