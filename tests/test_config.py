"""Every YAML file composes and builds; whatever cannot work is refused in one sentence."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from torch import nn

from gnnzoo.config import ConfigError, build, compose, resolve_target
from gnnzoo.executor import run
from gnnzoo.paths import conf_root
from gnnzoo.registry import (
    UnknownName,
    create_model,
    list_models,
    list_names,
    load_dataset,
)


def options(group: str) -> list[str]:
    root = conf_root() / group
    return sorted(str(path.relative_to(root).with_suffix("")) for path in root.rglob("*.yaml"))


GROUPS = ("batching", "dataset", "experiment", "head", "launcher", "model", "protocol", "trainer")


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in GROUPS for name in options(group)]
)
def test_every_option_composes(group, name):
    composed = compose([f"{group}={name}"])
    assert composed.choices[group] == name


NEEDS = {"num_nodes": 7, "num_edge_features": 2}  # what a model may ask of the data


def build_model(settings) -> nn.Module:
    settings = dict(settings)
    settings.pop("transform")
    needs = getattr(resolve_target(settings["_target_"]), "needs", ())
    known = {name: NEEDS[name] for name in needs}
    return build(settings, in_channels=4, out_channels=3, **known)


ASKED_FOR = [name for name in options("tuned") if name.startswith(("luo2024/", "searched/"))]
OF_GRAPHS = [
    name for name in options("dataset") if (conf_root() / f"protocol/{name}/graph.yaml").exists()
]
FOR_LINKS = [name for name in options("tuned") if name.startswith("heart/")]


def check_recipe(name: str, composed) -> None:
    assert composed.tuned == name
    build(composed.settings.trainer)
    if composed.settings.model.get("path") is not None:  # of a run that is not here
        composed.settings.model.path = None
    assert isinstance(build_model(composed.settings.model), nn.Module)
    first_line = (conf_root() / "tuned" / f"{name}.yaml").read_text().splitlines()[1]
    assert first_line.startswith("# "), "a recipe says where it is from"


@pytest.mark.parametrize("name", sorted({*options("tuned")} - {*ASKED_FOR, *FOR_LINKS}))
def test_every_recipe_composes_builds_and_is_found_by_itself(name):
    dataset, head, pair = name.split("/")
    model, trainer = (
        pair.rsplit("_", 1) if not pair.endswith("forward_only") else (pair[:-13], pair[-12:])
    )
    parts = [f"dataset={dataset}", f"head={head}", f"model={model}", f"trainer={trainer}"]
    check_recipe(name, compose(parts))


def of_recipe(name: str) -> tuple[str, str]:
    """Data set and model of a recipe; one of a variant is named like the model and more."""
    _, dataset, last = name.split("/")
    models = [model for model in options("model") if f"{last}_".startswith(f"{model}_")]
    return dataset if dataset in options("dataset") else "digits", max(models, key=len)


@pytest.mark.parametrize("name", options("start"))
def test_other_defaults_under_a_head_apply_before_recipes(name):
    head, pair = name.split("/")
    model, trainer = pair.rsplit("_", 1)
    if model not in options("model"):
        pytest.skip(f"there is no model {model}")
    parts = [f"model={model}", f"trainer={trainer}"]
    settings = compose(["dataset=digits_grid", f"head={head}", *parts]).settings
    own = OmegaConf.load(conf_root() / "start" / f"{name}.yaml")
    assert OmegaConf.merge(settings, own) == settings
    build_model(settings.model)
    elsewhere = compose(["dataset=digits", *parts]).settings
    assert elsewhere.trainer.lr != settings.trainer.lr


def test_a_published_recipe_wins_over_other_defaults_under_a_head():
    model = compose(["dataset=ogbg_molesol", "model=gine"]).settings.model
    assert (model.hidden_channels, model.dropout) == (300, 0.5)


@pytest.mark.parametrize("name", ASKED_FOR)
def test_recipes_beside_the_default_one_apply_when_asked_for_by_name(name):
    dataset, model = of_recipe(name)
    composed = compose([f"dataset={dataset}", f"model={model}", f"tuned={name}"])
    check_recipe(name, composed)
    assert compose([f"dataset={dataset}", f"model={model}"]).tuned != name
    if name.startswith("luo2024/"):
        assert composed.settings.trainer.stopping is None
        assert composed.settings.model.classifier == "linear"


@pytest.mark.parametrize(
    "name", [name for name in ASKED_FOR if of_recipe(name)[0] not in OF_GRAPHS]
)
def test_recipes_beside_the_default_one_run_an_epoch(name, workspace, toy_graph):
    model = of_recipe(name)[1]
    width = {} if model == "sgc" else {"model.hidden_channels": 8}
    settings = {"dataset.path": str(toy_graph), "trainer.epochs": 1, **width}
    record = run(model=model, dataset="file", tuned=name, **settings)
    assert (record["status"], record["tuned"]) == ("finished", name)


@pytest.mark.parametrize("name", FOR_LINKS)
def test_recipes_of_a_protocol_for_links_apply_when_asked_for_by_name(name):
    protocol, dataset, head = name.split("/")
    parts = [f"dataset={dataset}", f"head={head}", "model=ncn_mpnn", f"protocol={protocol}"]
    check_recipe(name, compose([*parts, f"tuned={name}"]))
    assert compose(parts).tuned != name


def test_precedence_is_part_then_recipe_then_command_line():
    plain = compose(["dataset=digits"]).settings.trainer.weight_decay
    recipe = compose(["dataset=cora"]).settings.trainer.weight_decay
    given = compose(["dataset=cora", "trainer.weight_decay=0.25"]).settings.trainer.weight_decay
    assert (plain, recipe, given) == (5e-4, 5e-3, 0.25)


def test_a_recipe_can_be_switched_off():
    composed = compose(["dataset=cora", "tuned=none"])
    assert composed.tuned is None
    assert composed.settings.trainer.weight_decay == 5e-4


def test_a_missing_recipe_is_an_error_when_asked_for_by_name():
    with pytest.raises(ConfigError, match=r"no recipe named 'cora/node/nix'.*cora/node/dagnn_"):
        compose(["tuned=cora/node/nix"])


def test_no_recipe_is_reported_where_there_is_none():
    assert compose(["dataset=digits"]).tuned is None


@pytest.mark.parametrize("override", ["sed=1", "model=dagn", "trainer.lrr=1", "seed=zero"])
def test_misspelt_and_mistyped_settings_are_refused(override):
    with pytest.raises(ConfigError, match=override.split("=")[-1] if "model" in override else None):
        compose([override])


def test_build_refuses_targets_outside_the_known_packages():
    with pytest.raises(ConfigError, match=r"'os.system' is outside .*trusted_targets=\[os\]"):
        build({"_target_": "os.system", "command": "true"})


def test_build_refuses_a_foreign_function_reached_through_a_known_package():
    with pytest.raises(ConfigError, match="is not a class or function of"):
        resolve_target("gnnzoo.registry.fnmatch")


def test_build_refuses_nested_foreign_targets():
    node = {"_target_": "torch.nn.Sequential", "args": [{"_target_": "os.getcwd"}]}
    with pytest.raises(ConfigError, match=r"os\.getcwd"):
        build(node)


def test_a_whole_float_may_stand_for_a_count():
    assert build(compose(["trainer.epochs=1e2"]).settings.trainer).epochs == 100
    with pytest.raises(ValueError, match="epochs"):
        build(compose(["trainer.epochs=1.5"]).settings.trainer)


def test_build_names_the_closest_argument():
    with pytest.raises(ConfigError, match="no argument 'hiden_channels'; did you mean hidden_"):
        create_model("dagnn", 4, 3, hiden_channels=2)


def test_errors_of_the_target_itself_come_through_unchanged():
    with pytest.raises(ValueError, match="dropout"):
        create_model("dagnn", 4, 3, dropout=7)


def test_trusted_packages_may_not_come_from_a_file(tmp_path: Path):
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "sly.yaml").write_text("# @package _global_\ntrusted_targets: [os]\n")
    with pytest.raises(ConfigError, match="command line"):
        compose(["experiment=sly"], config_dirs=[tmp_path])


def test_trusted_packages_come_from_the_command_line_and_the_environment(monkeypatch):
    monkeypatch.setenv("GNNZOO_TRUSTED_TARGETS", "one, two")
    assert compose(["trusted_targets=[three]"]).trusted() == ("one", "two", "three")


def test_lists_take_wildcards():
    classics = {"gcn", "sage", "gat", "gin", "appnp", "gcnii", "sgc", "gatedgcn", "linkx"}
    assert set(list_models()) >= {"dagnn", "mlp", *classics}
    assert list_models("da*") == ["dagnn"]
    assert "planetoid" in list_names("tables")
    assert list_names("recipes", "luo2024/cora/*") == [
        f"luo2024/cora/{name}" for name in ("gat", "gcn", "sage")
    ]


def test_unknown_names_are_answered_with_close_ones():
    with pytest.raises(UnknownName, match="no model named 'dagn'; close matches: dagnn"):
        create_model("dagn", 4, 3)
    with pytest.raises(UnknownName, match="no dataset named 'digit'; close matches: digits"):
        load_dataset("digit")


def test_load_dataset_returns_a_pyg_graph_with_masks():
    data = load_dataset("digits")
    assert (data.num_nodes, data.num_features) == (1797, 64)
    assert not (data.train_mask & data.test_mask).any()


def test_the_published_dagnn_for_ogbn_arxiv_has_43857_parameters():
    composed = compose(["dataset=ogbn_arxiv", "model=dagnn"])
    assert composed.tuned == "ogbn_arxiv/node/dagnn_backprop"
    settings = dict(composed.settings.model)
    settings.pop("transform")
    encoder = build(settings, in_channels=128, out_channels=40)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 43_857
