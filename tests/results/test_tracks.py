"""Mirrors of a run: they show what the record says, once, and never cost the run."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from gnnzoo.config import compose
from gnnzoo.executor import execute
from gnnzoo.identity import Identity
from gnnzoo.results import Tracks, read_curve_csv, tracks

EPOCHS = 6


def composed(toy_graph, *overrides):
    fixed = ("model=mlp", "dataset=file", f"dataset.path={toy_graph}", "progress=none")
    return compose([*fixed, f"trainer.epochs={EPOCHS}", "run_dir=here", *overrides])


class Notebook:
    """A mirror that only writes down what it is told; ``fails`` is raised by its methods."""

    def __init__(self, run_dir, name, record, note):
        self.rows, self.closed, self.fails = [], None, None

    def log(self, rows):
        if self.fails:
            raise self.fails
        self.rows += rows

    def close(self, record):
        self.closed = record["status"]


@pytest.fixture
def notebooks(monkeypatch):
    """The notebooks that ``track=tensorboard`` opens, in their order."""
    opened = []
    make = lambda *arguments: opened.append(Notebook(*arguments)) or opened[-1]  # noqa: E731
    monkeypatch.setitem(tracks.MIRRORS, "tensorboard", make)
    monkeypatch.setitem(sys.modules, "tensorboard", tracks)  # any module: it is not called
    return opened


def test_a_mirror_is_no_part_of_a_runs_identity(toy_graph):
    plain = Identity.of(composed(toy_graph))
    assert Identity.of(composed(toy_graph, "track=[tensorboard,wandb]")) == plain
    assert Identity.of(composed(toy_graph, "model.dropout=0.1")) != plain


def test_nothing_is_mirrored_unless_asked_for(workspace, toy_graph):
    execute(composed(toy_graph))
    names = {path.name for path in (workspace / "here").iterdir()}
    assert not names & {"tensorboard", "wandb", "tracked.json"}
    assert tracks.mirror_names(["none", "wandb", "wandb"]) == ["wandb"]
    assert tracks.mirror_names(None) == []


def test_every_epoch_is_mirrored_as_soon_as_a_checkpoint_holds_it(workspace, toy_graph, notebooks):
    seen = []
    notebook_log = Notebook.log

    def log(self, rows):
        seen.append((len(rows), (workspace / "here" / "checkpoint.pt").is_file()))
        notebook_log(self, rows)

    Notebook.log, before = log, notebook_log
    try:
        execute(composed(toy_graph, "track=tensorboard", "checkpoint_seconds=0"))
    finally:
        Notebook.log = before
    assert seen == [(1, True)] * EPOCHS
    (notebook,) = notebooks
    assert notebook.rows == read_curve_csv(workspace / "here" / "curve.csv")
    assert notebook.closed == "finished"


def test_a_resumed_run_goes_on_where_its_mirror_was(workspace, notebooks):
    rows = [{"epoch": epoch, "loss": 1.0} for epoch in range(1, 6)]
    record = {"status": "running", "cell_hash": "a"}
    Tracks("tensorboard", workspace, "run", record, resumed=False).log(rows[:3])
    Tracks("tensorboard", workspace, "run", record, resumed=True).log(rows)
    Tracks("tensorboard", workspace, "run", record, resumed=False).log(rows[:1])
    shown = [[row["epoch"] for row in notebook.rows] for notebook in notebooks]
    assert shown == [[1, 2, 3], [4, 5], [1]]


def test_a_mirror_in_trouble_warns_once_and_catches_up(workspace, toy_graph, notebooks, capfd):
    mirrored = Tracks("tensorboard", workspace, "run", {}, resumed=False)
    rows = [{"epoch": epoch, "loss": 1.0} for epoch in range(1, 5)]
    notebooks[0].fails = ConnectionError("no route")
    mirrored.log(rows[:1])
    mirrored.log(rows[:2])
    assert capfd.readouterr().err.count("tensorboard may lack a part of this run") == 1
    notebooks[0].fails = None
    mirrored.log(rows)
    assert notebooks[0].rows == rows


def test_a_mirror_that_cannot_open_does_not_cost_the_run(workspace, toy_graph, monkeypatch, capfd):
    def broken(*arguments):
        raise OSError("not logged in")

    monkeypatch.setitem(tracks.MIRRORS, "wandb", broken)
    monkeypatch.setitem(sys.modules, "wandb", tracks)  # any module: it is not called
    outcome = execute(composed(toy_graph, "track=wandb"))
    assert outcome.record["status"] == "finished"
    assert "wandb may lack a part of this run, which goes on: not logged in" in (
        capfd.readouterr().err
    )


def test_a_missing_package_ends_the_run_before_it_begins(workspace, toy_graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match=r'track=wandb needs .* pip install "gnnzoo\[track\]"'):
        execute(composed(toy_graph, "track=wandb"))
    assert not (workspace / "here").exists()


def test_a_folder_named_like_a_package_is_none(workspace, toy_graph, monkeypatch):
    (workspace / "wandb").mkdir()
    monkeypatch.syspath_prepend(workspace)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(workspace)])
    with pytest.raises(ImportError, match="a folder of that name is no package"):
        execute(composed(toy_graph, "track=wandb"))
    sys.modules.pop("wandb", None)


def test_an_unknown_mirror_is_named(workspace, toy_graph):
    with pytest.raises(ValueError, match="none, tensorboard, wandb or a list of them, got 'mlflow"):
        execute(composed(toy_graph, "track=mlflow"))


def scalars(folder):
    """Tag to {step: [values]} of all event files in a folder, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    found = {}
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            found.setdefault(tag, {}).setdefault(event.step, []).append(event.value)
    return found, events.Tags()["tensors"]


def assert_shows(folder, curve, record):
    found, texts = scalars(folder)
    expected = {
        column: {row["epoch"]: [pytest.approx(row[column], rel=1e-6)] for row in curve}
        for column in curve[0]
        if column != "epoch"
    }
    assert {tag: steps for tag, steps in found.items() if not tag.startswith("final/")} == expected
    assert found["final/test"] == {len(curve): [pytest.approx(record["test"], rel=1e-6)]}
    assert set(texts) == {"settings/text_summary", "record/text_summary"}


def test_tensorboard_reads_back_the_curve(workspace, toy_graph):
    pytest.importorskip("tensorboard", reason="needs the extra track")
    record = execute(composed(toy_graph, "track=tensorboard")).record
    curve = read_curve_csv(workspace / "here" / "curve.csv")
    assert len(curve) == EPOCHS
    assert_shows(workspace / "here" / "tensorboard", curve, record)
    execute(composed(toy_graph, "track=tensorboard", "rerun=true"))
    assert_shows(workspace / "here" / "tensorboard", curve, record)


def test_tensorboard_shows_every_epoch_of_a_killed_run_once(workspace, toy_graph):
    """Killed with event files ahead of the note of how much they hold."""
    pytest.importorskip("tensorboard", reason="needs the extra track")
    code = (
        "import os, sys; from gnnzoo.config import compose; from gnnzoo.executor import execute\n"
        "from gnnzoo.results import tracks; real = tracks.write_json; left = [3]\n"
        "def die(path, note):\n"
        "    left[0] -= 1\n"
        "    os._exit(9) if left[0] == 0 else real(path, note)\n"
        "tracks.write_json = die\n"
        "execute(compose(sys.argv[1:]))"
    )
    arguments = composed(toy_graph, "track=tensorboard", "checkpoint_seconds=0").overrides
    done = subprocess.run([sys.executable, "-c", code, *arguments], timeout=120)
    assert done.returncode == 9
    here = workspace / "here"
    assert json.loads((here / "tracked.json").read_text())["tensorboard"]["epochs"] == 1
    assert sorted(scalars(here / "tensorboard")[0]["loss"]) == [1, 2]
    time.sleep(1.1)  # event files are read in the order of the seconds in their names
    record = execute(compose(arguments)).record
    assert_shows(here / "tensorboard", read_curve_csv(here / "curve.csv"), record)


def test_wandb_offline_holds_curve_settings_and_record(workspace, toy_graph, monkeypatch):
    pytest.importorskip("wandb", reason="needs the extra track")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    record = execute(composed(toy_graph, "track=wandb")).record
    here = workspace / "here"
    (path,) = here.glob("wandb/offline-run-*/*.wandb")
    end = time.monotonic() + 60  # a process of wandb's own writes, a little after the run has ended
    while record["code_hash"].encode() not in path.read_bytes() and time.monotonic() < end:
        time.sleep(0.05)
    stored = path.read_bytes()  # values stand there as JSON
    curve = read_curve_csv(here / "curve.csv")
    missing = [
        (row["epoch"], column)
        for row in curve
        for column, value in row.items()
        if column != "epoch" and json.dumps(value).encode() not in stored
    ]
    assert len(curve) == EPOCHS
    assert not missing
    assert b"gnnzoo.models.MLP" in stored
    assert record["code_hash"].encode() in stored
    assert json.loads((here / "tracked.json").read_text())["wandb"]["epochs"] == EPOCHS


def test_wandb_gets_every_epoch_under_its_number_and_a_resumed_run_keeps_its_id(
    workspace, toy_graph, monkeypatch
):
    opened = []

    class Run:
        def __init__(self, **options):
            self.options, self.rows, self.summary, self.code = options, {}, {}, None
            opened.append(self)

        def log(self, row, step):
            self.rows[step] = row

        def finish(self, exit_code):
            self.code = exit_code

    fake = SimpleNamespace(__file__="wandb.py", init=Run, Settings=lambda **options: options)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    settings = composed(toy_graph, "track=wandb", "checkpoint_seconds=0")
    with monkeypatch.context() as patch:
        patch.setattr("gnnzoo.recording.test_scores", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            execute(settings)
    record = execute(settings).record
    first, second = opened
    assert first.options["id"] == second.options["id"]
    assert first.options["dir"] == str(workspace / "here")
    assert (first.code, second.code) == (1, 0)
    assert (first.summary["status"], second.summary["status"]) == ("failed", "finished")
    curve = {row["epoch"]: row for row in read_curve_csv(workspace / "here" / "curve.csv")}
    assert first.rows == curve
    assert second.rows == {}  # all epochs were there before the failure
    assert second.summary["test"] == record["test"]
    execute(composed(toy_graph, "track=wandb", "rerun=true"))
    assert opened[2].options["id"] != first.options["id"]
    assert opened[2].rows == curve
