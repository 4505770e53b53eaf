"""The command line as a user runs it, from an empty folder."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gnnzoo.cli import main
from gnnzoo.results import RunStore

FAST = ("trainer.epochs=5", "trainer.stopping=null", "device=cpu")


def gnnzoo(*arguments: str, **options) -> subprocess.CompletedProcess:
    code = "import sys; sys.argv[0] = 'gnnzoo'; from gnnzoo.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def test_train_prints_the_score_and_the_folder_and_says_which_recipe(workspace):
    done = gnnzoo("train", "model=mlp", *FAST)
    assert done.returncode == 0, done.stderr
    score, folder = done.stdout.splitlines()
    record = json.loads((Path(folder) / "run.json").read_text())
    assert score.startswith(f"test accuracy {record['test']:.4f}")
    assert "untuned defaults" in done.stderr
    assert "Traceback" not in done.stderr
    again = gnnzoo("train", "model=mlp", *FAST)
    assert again.stdout == done.stdout
    assert f"was finished before on {record['device']}" in again.stderr


def test_hydras_own_flags_pass_through(workspace):
    done = gnnzoo("train", "--cfg", "job", "model=gcn")
    assert done.returncode == 0
    assert "_target_: gnnzoo.models.GCN" in done.stdout
    assert not (workspace / "runs").exists()


def test_a_sweep_skips_what_is_finished_and_outlives_a_failing_job(workspace, toy_graph):
    sweep = (
        "train", "-m", "model=mlp,gcn", "dataset=file", f"dataset.path={toy_graph}", *FAST,
        "launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1",
    )  # fmt: skip
    done = gnnzoo(*sweep)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(2 seeds)") == 2, done.stdout
    records = RunStore(workspace / "runs").records()
    assert len(records) == 4
    assert {record["threads"] for record in records} == {1}
    assert done.stderr.count("finished: ") == 4
    assert "launcher=" not in done.stderr + done.stdout

    wider = gnnzoo(*sweep[:-1], "seed=0,1,2", "model.dropout=0.5,3")
    assert wider.returncode == 1
    assert wider.stderr.count("failed: ") == 6
    assert "dropout" in wider.stderr
    assert "4 of 12 runs were finished before" in wider.stdout
    assert wider.stdout.count("(3 seeds)") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "model=dagn"), "no model named 'dagn'; did you mean dagnn or dirgnn?"),
        (("train", "model=dagnn,gcn"), "add -m to sweep"),
        (("train", "lr=0.1"), "no setting 'lr'; did you mean trainer.lr?"),
        (("train", "+lr=0.1"), "no setting 'lr'; did you mean trainer.lr?"),
        (("train", "seed=one"), "seed must be a whole number, got 'one'"),
        (("train", "-m", "seed=one,2"), "seed must be a whole number, got 'one'"),
        (("train", "-m", "model=dagn,gcn"), "no model named 'dagn'; did you mean dagnn or dirgnn?"),
        (("train", "-m", "model.hop=1,2"), "no setting 'model.hop'"),
        (
            ("train", "-m", "launcher=slurm", "seed=0,1"),
            "no launcher named 'slurm'; there is: jobl",
        ),
        (("train", "-m", "seed=0,1", "model"), "cannot read 'model'; write model=..."),
        (("train", "model"), "cannot read 'model'; write model=..."),
        (("train", "model=gcn,"), "cannot read 'model=gcn,'; write lists like"),
        (("train", "--model", "dagnn"), "arguments: --model; settings are written without dashes"),
        (("train", "--config-dir", ".", "model=dagn"), "no model named 'dagn'"),
        (("train", "--cfg", "job", "model=dagn"), "no model named 'dagn'"),
        (("train", "model=gat", "model.head=3"), "did you mean model.heads"),
        (("train", "model.targe=3"), "no setting 'model.targe'"),
        (("train", "dataset=file"), "dataset.path is needed; give it as dataset.path=..."),
        (("train", "tuned=nix/node/dagnn"), "no recipe named 'nix/node/dagnn'"),
        (("train", "tuned=foo"), "no recipe named 'foo'; gnnzoo list recipes shows all"),
        (("train", "tuned=photo/gcn"), "close matches: luo2024/photo/gat, luo2024/photo/gcn,"),
        (
            ("train", "tuned=luo2024/cora/gcn", "model=dagnn"),
            "recipe luo2024/cora/gcn is not for model=dagnn: gnnzoo.models.DAGNN takes no argument",
        ),
        (("train", "seed=-1"), "seed must be a whole number from 0, got -1"),
        (("train", "trainer.epochs=1.5"), "epochs"),
        (("train", "dataset=file", "dataset.path=nowhere.npz"), "nowhere.npz"),
        (("table", "planetoit"), "planetoid"),
        (("list", "layers"), "no list of 'layers'; there are: models, datasets, heads, protocols"),
        (("list", "model"), "no list of 'model'; did you mean models?"),
        (("list", "models", "ga"), "no models match 'ga'; '*ga*' gives gat, gatedgcn"),
        (("bench", "speed"), "speed"),
    ],
)
def test_bad_input_gets_one_sentence(workspace, arguments, words, monkeypatch, capfd):
    monkeypatch.setattr("sys.argv", ["gnnzoo", *arguments])
    monkeypatch.setattr("sys.path", list(sys.path))
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code != 0
    complaints = capfd.readouterr().err
    assert words in complaints
    assert "Traceback" not in complaints
    assert "_target_" not in complaints
    assert complaints.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench", "nope"),
        ("bench", "--device", "tpu"),
        ("table", "nope"),
        ("tune", "model=mlp", "--space", "nope"),
        ("tune", "model=mlp", "--space", "mlp", "--seeds", "a"),
    ],
)
def test_a_mistake_in_a_name_is_told_before_anything_heavy_is_imported(workspace, arguments):
    code = (
        "import sys\nfrom gnnzoo.cli import main\ntry: main()\n"
        "finally: assert not {'torch', 'gnnzoo.executor'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "AssertionError" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("train", "model=mlp"), ("train", "-m", "seed=0,1"), ("table", "demo"),
     ("tune", "model=mlp", "--space", "mlp")],
)  # fmt: skip
def test_a_runs_folder_that_cannot_be_is_named_with_its_setting(workspace, monkeypatch, arguments):
    (workspace / "taken").touch()
    monkeypatch.setenv("GNNZOO_RUNS", "taken")
    done = gnnzoo(*arguments)
    assert done.returncode == 1
    assert "GNNZOO_RUNS names" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_folder_that_cannot_be_is_named_with_its_setting(workspace):
    (workspace / "taken").touch()
    done = gnnzoo("train", "model=mlp", "run_dir=taken")
    assert done.returncode == 1
    assert "run_dir names" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_data_are_explained_without_a_traceback(workspace, monkeypatch):
    monkeypatch.setenv("GNNZOO_MIRROR", "")
    monkeypatch.setenv("GNNZOO_DATA", str(workspace / "data"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    done = gnnzoo("train", "dataset=cora")
    assert done.returncode == 1
    assert "ind.cora" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_doubt_about_a_file_is_one_plain_line(workspace, toy_graph):
    arrays = dict(np.load(toy_graph))
    arrays["y"] *= 2
    np.savez(toy_graph, **arrays)
    done = gnnzoo("train", "model=mlp", "dataset=file", f"dataset.path={toy_graph}", *FAST)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "no node has" in line]
    assert [line.startswith(f"warning: {toy_graph}: ") for line in lines] == [True]


def test_list_and_doctor(workspace):
    models = gnnzoo("list", "models", "d*")
    assert models.stdout.split()[0] == "dagnn"
    kinds = gnnzoo("list").stdout
    for word in ("gnnzoo list recipes", "tuned=NAME", "gnnzoo bench NAME", "--space NAME"):
        assert word in kinds
    report = gnnzoo("doctor").stdout
    for word in ("torch-geometric", "back-ends", "torch_scatter", "GNNZOO_MIRROR"):
        assert word in report


LAYERS = '''
from torch import nn
from torch_geometric.nn import SAGEConv

class MeanEncoder(nn.Module):
    """A model of somebody else."""

    def __init__(self, in_channels, out_channels, hidden_channels=8):
        super().__init__()
        self.first = SAGEConv(in_channels, hidden_channels)
        self.second = SAGEConv(hidden_channels, out_channels)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)
'''


@pytest.fixture
def foreign_package(workspace):
    (workspace / "mylab").mkdir()
    (workspace / "mylab" / "layers.py").write_text(LAYERS)
    (workspace / "myconf" / "model").mkdir(parents=True)
    (workspace / "myconf" / "model" / "mean.yaml").write_text(
        "_target_: mylab.layers.MeanEncoder\nhidden_channels: 16\n"
    )


def test_a_model_outside_the_tree_joins_a_sweep(foreign_package, workspace):
    sweep = ("train", "--config-dir", "myconf", "model=mean,dagnn", "-m", *FAST)
    done = gnnzoo(*sweep, "trusted_targets=[mylab]")
    assert done.returncode == 0, done.stderr
    assert "model=mean" in done.stdout
    assert "model=dagnn" in done.stdout
    before = {r["cell_hash"]: r["code_hash"] for r in RunStore(workspace / "runs").records()}
    layers = workspace / "mylab" / "layers.py"
    layers.write_text(layers.read_text().replace(".relu()", ".tanh()"))
    again = gnnzoo(*sweep, "trusted_targets=[mylab]")
    assert "1 of 2 runs were finished before" in again.stdout, "its sources are part of a run"
    records = RunStore(workspace / "runs").records()
    assert sum(before[record["cell_hash"]] != record["code_hash"] for record in records) == 1


def test_a_model_outside_the_tree_must_be_trusted(foreign_package):
    done = gnnzoo("train", "--config-dir", "myconf", "model=mean", *FAST)
    assert done.returncode == 1
    assert "add trusted_targets=[mylab]" in done.stderr


def test_a_table_is_filled_from_an_empty_folder(workspace):
    assert "not run" in gnnzoo("table", "demo").stdout
    done = gnnzoo("table", "demo", "--fill", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(3)") == 3, done.stdout
    plot = Path(done.stdout.split()[-1])
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "every cell is filled" in gnnzoo("table", "demo", "--fill").stderr


def test_a_file_that_cannot_be_used_is_one_sentence_from_every_command(workspace, monkeypatch):
    (workspace / "afile").touch()
    monkeypatch.setenv("GNNZOO_RUNS", str(workspace / "afile"))
    for command in (
        ("table", "demo"),
        ("tune", "dataset=digits", "model=sgc", "--space", "sgc", "--trials", "1"),
    ):
        done = gnnzoo(*command)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert "afile" in done.stderr


@pytest.mark.parametrize(("number", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupt_while_nothing_is_saved_promises_nothing(workspace, number, status):
    code = (
        "import signal, gnnzoo.executor\nfrom gnnzoo import cli\n"
        f"gnnzoo.executor.folder_of = lambda *_: signal.raise_signal(signal.{number})\n"
        "cli.main()"
    )
    command = [sys.executable, "-c", code, "train", "model=mlp"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert "the same command keeps what is finished or saved" in done.stderr
    assert "goes on from here" not in done.stderr
    assert "Traceback" not in done.stderr
