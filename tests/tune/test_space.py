"""Spaces: what fits a model, what is drawn, and what is refused."""

import csv
import dataclasses
from pathlib import Path

import pytest

from gnnzoo.config import ConfigError, compose
from gnnzoo.paths import conf_root
from gnnzoo.results import list_tables, load_table
from tests.tune.conftest import SPACE

pytest.importorskip("optuna", reason="the search needs the extra tune")

from gnnzoo import tune
from gnnzoo.tune.fit import check_fit
from gnnzoo.tune.trials import shown

LOGS = Path(__file__).parents[2] / "experiments" / "planetoid" / "search"


GRAPHS = ["dataset=digits_grid", "experiment=tud_fair"]
STARTS = {
    "classic": ["model=gcn"],
    "tud_deepsets": ["model=deepsets", *GRAPHS],
    "tud_fingerprint": ["model=fingerprint", *GRAPHS],
    "tud_gin": ["model=gin", *GRAPHS],
}  # of spaces that no table names, where the model is not called as the space


def starts(space: str) -> list[list[str]]:
    """What the searches in a space start from: the first column of each row that names it."""
    rows = [
        block.columns[0].overrides + [o for o in row.overrides if not o.startswith("tuned=")]
        for table in list_tables()
        for block in load_table(table)
        for row in block.rows
        if row.space == space
    ]
    return rows or [STARTS.get(space, [f"model={space}"])]


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (conf_root() / "search").glob("*.yaml"))
)
def test_every_space_fits_its_models(name):
    for start in starts(name):
        check_fit(tune.load_space(name), compose(start))


@pytest.mark.parametrize(
    ("key", "owner", "closest"),
    [
        ("model.num_hop", "model sgc does not take", "model.num_hops"),
        ("model.lr", "model sgc does not take", "trainer.lr"),
        ("trainer.stopping.patient", "trainer backprop does not take", "trainer.stopping.patience"),
        ("trainer.lr.x", "trainer backprop does not take", "trainer.lr"),
        ("features.normalise", "no part of a run takes", "features.normalize"),
    ],
)
def test_a_space_that_does_not_fit_is_told_before_anything_is_made(search, key, owner, closest):
    sgc = ("model=sgc", *search.overrides[1:])
    wrong = dataclasses.replace(search, overrides=sgc, space={"trainer.lr": [0.1], key: [1, 2]})
    message = f"the search space sets {key}, which {owner}; the closest setting is {closest}"
    with pytest.raises(ConfigError) as told:
        tune.tune(wrong)
    assert str(told.value) == message
    assert not wrong.folder.exists()


def test_settings_that_yaml_leaves_out_fit_where_a_constructor_takes_them():
    short = "trainer.stopping={_target_:gnnzoo.train.Patience,patience:9}"
    composed = compose(["model=gcn", "tuned=luo2024/cora/gcn", short])
    assert "start" not in composed.settings.trainer.stopping
    check_fit(["trainer.stopping.start", "trainer.groups.first_layer.lr", "tuned"], composed)
    with pytest.raises(ConfigError, match="out_channels, which model gcn does not take"):
        check_fit(["model.out_channels"], composed)  # known from data alone


def test_draws_depend_on_the_place_alone():
    space = tune.load_space("classic")
    first = [tune.draw(space, place) for place in range(4)]
    assert first[2] == tune.draw(space, 2)
    assert len({str(params) for params in first}) == 4


@pytest.mark.parametrize("log", sorted(path.name for path in LOGS.glob("*.csv")))
def test_the_committed_logs_are_what_a_search_draws(log):
    model = Path(log).stem.split("_")[1]
    space = tune.load_space("classic_small" if model == "gcn" else model)
    with (LOGS / log).open() as stream:
        found = list(csv.DictReader(stream))
    assert list(found[0])[1 : 1 + len(space)] == list(space)
    for row in found[1:]:
        drawn = tune.draw(space, int(row["trial"]) - 2)
        assert {key: row[key] for key in space} == {k: str(shown(v)) for k, v in drawn.items()}
    assert len(found) == 15


def test_bad_spaces_and_budgets_are_named(tmp_path, search):
    with pytest.raises(ConfigError, match=r"no search space 'clasic'; .*appnp, classic,"):
        tune.load_space("clasic")
    path = tmp_path / "space.yaml"
    path.write_text("trainer.lr: {low: 1}\n")
    with pytest.raises(ConfigError, match=r"trainer\.lr must be a list of choices"):
        tune.load_space(str(path))
    path.write_text("trainer.lr: [0.1\n")
    with pytest.raises(ConfigError, match=r"space\.yaml is not YAML"):
        tune.load_space(str(path))
    path.write_text("trainer.lr: {low: 1e-4, high: 1e-1, log: true}\n")
    assert tune.load_space(str(path)) == {"trainer.lr": {"low": 1e-4, "high": 0.1, "log": True}}
    empty = dataclasses.replace(search, space={"trainer.lr": {"low": 2, "high": 1}})
    with pytest.raises(ConfigError, match=r"trainer\.lr cannot range over .*low.*high"):
        tune.tune(empty)
    with pytest.raises(ConfigError, match="at least one trial"):
        tune.Search(search.overrides, SPACE, 0)
    with pytest.raises(ConfigError, match="takes 0 to 4 trials, got 5"):
        dataclasses.replace(search, num_finalists=5)


def test_another_space_or_other_seeds_are_another_search(search):
    folders = {search.folder}
    folders.add(dataclasses.replace(search, seeds=(7, 8)).folder)
    folders.add(dataclasses.replace(search, space=SPACE | {"trainer.lr": [0.2, 0.3]}).folder)
    folders.add(
        dataclasses.replace(search, overrides=(*search.overrides, "model.dropout=0.3")).folder
    )
    turned = dict(reversed(SPACE.items()))  # draws otherwise
    folders.add(dataclasses.replace(search, space=turned).folder)
    assert len(folders) == 5
