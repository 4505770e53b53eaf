"""A wheel built from the tree works in an empty environment, from an empty folder."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIP = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_configuration_cards_and_tables_and_no_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for part in (
        "gnnzoo/py.typed",
        "gnnzoo/_share/CITATION.cff",
        "gnnzoo/_share/conf/config.yaml",
        "gnnzoo/_share/datasets/cora/card.yaml",
        "gnnzoo/_share/experiments/planetoid/table.yaml",
    ):
        assert part in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    cards = [name for name in names if name.startswith("gnnzoo/_share/datasets")]
    assert all(name.endswith("card.yaml") for name in cards)
    assert not any(name.startswith("tests") for name in names)


@pytest.mark.slow
def test_an_empty_environment_trains_and_renders_a_table(wheel, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    environment, desk = tmp_path / "environment", tmp_path / "desk"
    desk.mkdir()
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    pins = ("-c", str(ROOT / "constraints.txt"))
    subprocess.run([python, *PIP, *pins, "torch"], check=True)
    subprocess.run([python, *PIP, *pins, wheel], check=True)

    def gnnzoo(*arguments: str) -> str:
        command = [environment / "bin" / "gnnzoo", *arguments]
        done = subprocess.run(command, cwd=desk, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "test accuracy" in gnnzoo("train", "trainer.epochs=3")
    assert "DAGNN" in gnnzoo("table", "planetoid")
    assert sorted(path.name for path in desk.iterdir()) == ["runs"]
