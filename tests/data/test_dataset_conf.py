"""Every data set and protocol file composes and builds."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from gnnzoo.data import (
    GraphDataset,
    GraphFolds,
    MissingDataError,
    NamedGraphs,
    NamedLinks,
    PyGRandomLinks,
    RandomLinks,
)
from gnnzoo.paths import conf_root

DATASETS = sorted(path.stem for path in (conf_root() / "dataset").glob("*.yaml"))
LINK_DATASETS = [name for name in DATASETS if name.startswith("ogbl_")]
GRAPH_DATASETS = sorted(
    path.parent.name for path in (conf_root() / "protocol").glob("*/graph.yaml")
)
NODE_DATASETS = [name for name in DATASETS if name not in {*LINK_DATASETS, *GRAPH_DATASETS}]
LINK_HEADS = ["dot", "inner_mlp", "ncn", "ncnc", "heuristic"]
PROTOCOLS = sorted(
    str(path.relative_to(conf_root() / "protocol").with_suffix(""))
    for path in (conf_root() / "protocol").rglob("*.yaml")
)


@pytest.fixture
def settings(tmp_path: Path):
    """Compose as the program does: the protocol follows the data set and the head."""
    (tmp_path / "conf/head").mkdir(parents=True)
    (tmp_path / "conf/head/node.yaml").write_text("{}\n")
    (tmp_path / "conf/head/graph.yaml").write_text("{}\n")
    for head in LINK_HEADS:
        (tmp_path / f"conf/head/{head}.yaml").write_text(
            "defaults:\n  - override /protocol@_global_.protocol: planetoid_links\n"
        )
    (tmp_path / "conf/main.yaml").write_text(
        "defaults:\n"
        "  - _self_\n"
        "  - protocol: ${dataset}/${head}\n"
        "  - head: node\n"
        "  - dataset: digits\n"
        "hydra:\n"
        f"  searchpath: ['file://{conf_root()}']\n"
    )

    def settings(*overrides: str) -> dict[str, Any]:
        with initialize_config_dir(str(tmp_path / "conf"), version_base=None):
            return OmegaConf.to_container(compose("main", list(overrides)))

    return settings


def build(node: dict[str, Any]) -> Any:
    module, name = node.pop("_target_").rsplit(".", 1)
    return getattr(import_module(module), name)(**node)


@pytest.mark.parametrize("name", NODE_DATASETS)
def test_every_data_set_with_labels_has_a_default_node_protocol(name, settings):
    composed = settings(f"dataset={name}")
    assert callable(build(composed["protocol"]))


LINK_METRICS = {
    "ogbl_collab/link": "hits@50",
    "ogbl_ppa/link": "hits@100",
    "ogbl_ddi/link": "hits@20",
    "ogbl_citation2/link": "mrr",
    "planetoid_links": "hits@100",
    "random_link_split": "hits@100",
    "official_links": "hits@50",
    "heart": "mrr",
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_builds(name, settings):
    protocol = build(settings(f"protocol={name}")["protocol"])
    binary = name in ("minesweeper/node", "tolokers/node", "questions/node")
    known = LINK_METRICS | GRAPH_METRICS
    assert protocol.metric == known.get(name, "roc_auc" if binary else "accuracy")


GRAPH_METRICS = {
    "official_graphs": "roc_auc",
    **{"peptides_func/graph": "ap", "peptides_struct/graph": "mae", "zinc/graph": "mae"},
    **{f"ogbg_{name}/graph": "roc_auc" for name in ("molhiv", "molbace", "molbbbp")},
    **{f"ogbg_{name}/graph": "rmse" for name in ("molesol", "molfreesolv")},
}


@pytest.mark.parametrize("name", GRAPH_DATASETS)
def test_sets_of_graphs_bring_their_head_and_protocol(name, settings):
    protocol = build(settings(f"dataset={name}")["protocol"])
    assert isinstance(protocol, NamedGraphs | GraphFolds)
    folds = isinstance(protocol, GraphFolds) or protocol.parts == "fair"
    assert protocol.split == ("by_seed" if folds else "fixed")


@pytest.mark.parametrize(
    ("name", "head"),
    [(name, "ncn") for name in NODE_DATASETS] + [("cora", head) for head in LINK_HEADS],
)
def test_heads_for_links_take_the_planetoid_protocol(name, head, settings):
    assert build(settings(f"dataset={name}", f"head={head}")["protocol"]) == RandomLinks()


@pytest.mark.parametrize("name", LINK_DATASETS)
@pytest.mark.parametrize("overrides", [[], ["head=ncn"]], ids=str)
def test_link_sets_bring_their_own_protocol_and_a_head_for_links(name, overrides, settings):
    protocol = build(settings(f"dataset={name}", *overrides)["protocol"])
    assert protocol == NamedLinks(
        "official", name == "ogbl_collab", metric=LINK_METRICS[f"{name}/link"]
    )


def test_a_protocol_of_links_can_be_asked_for(settings):
    asked = settings("dataset=ogbl_ddi", "protocol=planetoid_links", "protocol.val=0.05")
    assert asked["protocol"]["val"] == 0.05
    asked = settings("dataset=cora", "head=ncn", "protocol=random_link_split")
    assert build(asked["protocol"]) == PyGRandomLinks()


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_builds_or_says_what_is_missing(name, settings, tmp_path):
    path = tmp_path / "graph.npz"
    x = np.ones((2, 1))
    np.savez(path, x=x, y=np.array([0, 1]), edge_index=np.array([[0], [1]]))
    overrides = [f"dataset.path={path}"] if name == "file" else []
    node = settings(f"dataset={name}", *overrides)["dataset"]
    if name in ("digits", "digits_grid", "copy_path", "file"):
        assert isinstance(build(node), GraphDataset)
    else:
        with pytest.raises(MissingDataError, match="looked in"):
            build(node)


def test_the_default_protocol_can_be_changed_from_the_command_line(settings):
    assert settings("protocol.split=by_seed")["protocol"]["split"] == "by_seed"
    assert settings("dataset=cora", "protocol=geom_gcn")["protocol"]["masks"] == "geom-gcn"


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["cora", "citeseer"])
@pytest.mark.parametrize("protocol", ["public", "geom_gcn", "random_per_class"])
def test_citation_graphs_go_through_every_protocol(name, protocol, settings, real_mirror):
    composed = settings(f"dataset={name}", f"protocol={protocol}")
    task = build(composed["protocol"])(build(composed["dataset"]), seed=4)
    assert task.test_labels.min() >= 0
    assert int(task.data.test_mask.sum()) == len(task.test_labels)
