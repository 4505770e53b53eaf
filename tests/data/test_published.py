"""Every published node set: stand-ins in its raw layout anywhere, the real files where they are."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml
from torch_geometric.datasets import Actor, HeterophilousGraphDataset, WebKB, WikiCS
from torch_geometric.utils import is_undirected

import gnnzoo.data
from gnnzoo.data import GraphDataset, load_card
from gnnzoo.data.ogb import safe_globals
from gnnzoo.data.pyg import parse_raw
from gnnzoo.data.splits import check_masks
from gnnzoo.paths import conf_root
from tests.reference.raw_files import NUM_CLASSES, WRITERS, StandIn

CONFIGURED = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((conf_root() / "dataset").glob("*.yaml"))
}
BUILDERS = {name: node["_target_"].rpartition(".")[2] for name, node in CONFIGURED.items()}
PARSED = [name for name, builder in BUILDERS.items() if builder in WRITERS]
WITHOUT_SELF_LOOPS = {"attributed", "planetoid"}
ROC_AUC = {"minesweeper", "tolokers", "questions"}
# Nodes, edges as loaded, features, classes, as their publications or loaders state them.
STATED = {
    "pubmed": (19717, 88648, 500, 3),
    "cornell_directed": (183, 298, 1703, 5),
    "texas_directed": (183, 325, 1703, 5),
    "wisconsin_directed": (251, 515, 1703, 5),
    "actor_directed": (7600, 30019, 932, 5),
    "chameleon_directed": (2277, 36101, 2325, 5),
    "squirrel_directed": (5201, 217073, 2089, 5),
    "chameleon_filtered": (890, 2 * 8854, 2325, 5),
    "squirrel_filtered": (2223, 2 * 46998, 2089, 5),
    "roman_empire": (22662, 2 * 32927, 300, 18),
    "amazon_ratings": (24492, 2 * 93050, 300, 5),
    "minesweeper": (10000, 2 * 39402, 7, 2),
    "tolokers": (11758, 2 * 519000, 10, 2),
    "questions": (48921, 2 * 153540, 301, 2),
    "computers": (13752, 491722, 767, 10),
    "photo": (7650, 238162, 745, 8),
    "cs": (18333, 163788, 6805, 15),
    "physics": (34493, 495924, 8415, 5),
    "cora_ml": (2995, 16316, 2879, 7),
    "citeseer_full": (4230, 10674, 602, 6),
    "dblp": (17716, 105734, 1639, 4),
    "cora_ml_directed": (2995, 8416, 2879, 7),
    "citeseer_full_directed": (3312, 4591, 3703, 6),
}


def build(name: str, **changes: Any) -> GraphDataset:
    settings = {**CONFIGURED[name], **changes}
    return getattr(gnnzoo.data, settings.pop("_target_").rpartition(".")[2])(**settings)


@pytest.fixture
def stand_in(cards_without_checksums, tmp_path, monkeypatch) -> Callable[..., GraphDataset]:
    """Load a data set from a small graph in the layout of its raw files."""
    monkeypatch.setenv("GNNZOO_MIRROR", str(tmp_path / "mirror"))

    def stand_in(name: str, **changes: Any) -> GraphDataset:
        WRITERS[BUILDERS[name]](name, tmp_path / "mirror")
        return build(name, check_sizes=False, **changes)

    return stand_in


def edges(dataset: GraphDataset) -> list[tuple[int, int]]:
    return [tuple(edge) for edge in dataset.data.edge_index.t().tolist()]


@pytest.mark.parametrize("name", PARSED)
def test_a_stand_in_is_loaded_as_its_files_say(name, stand_in, root):
    dataset = stand_in(name)
    graph = StandIn.of(BUILDERS[name])
    directed = name.endswith("_directed") or name == "telegram"
    expected = graph.edges(directed, self_loops=BUILDERS[name] not in WITHOUT_SELF_LOOPS)
    assert dataset.name == name
    assert sorted(edges(dataset)) == sorted(expected)
    assert dataset.num_classes == NUM_CLASSES
    assert dataset.data.y.tolist() == graph.y.tolist()
    if name != "telegram":
        assert dataset.data.x.dtype == torch.float32
        assert dataset.data.x.tolist() == graph.x.tolist()
    for make in dataset.masks.values():
        check_every_split(make(), dataset)
    assert not list(root.rglob("processed"))
    assert stand_in(name).sha256 == dataset.sha256


@pytest.mark.parametrize("name", PARSED)
def test_the_default_protocol_splits_a_stand_in(name, stand_in, default_protocol):
    protocol = default_protocol(name)
    tasks = [protocol(stand_in(name), seed) for seed in (0, 1)]
    assert {task.metric for task in tasks} == {"roc_auc" if name in ROC_AUC else "accuracy"}
    for task in tasks:
        parts = torch.stack([task.data.train_mask, task.data.val_mask, task.data.test_mask])
        assert parts.any(dim=1).all()
        assert (parts.sum(dim=0) <= 1).all()


def check_every_split(masks: tuple, dataset: GraphDataset) -> None:
    columns = [mask.reshape(len(mask), -1) for mask in masks]
    assert len({column.size(1) for column in columns}) == 1
    for split in range(columns[0].size(1)):
        check_masks(tuple(column[:, split] for column in columns), dataset.data.y)


def test_sizes_of_a_stand_in_are_refused_when_checked(stand_in):
    stand_in("cornell")
    with pytest.raises(ValueError, match="num_nodes=60, its card says 183"):
        build("cornell")


@pytest.mark.parametrize(
    ("dataset_class", "name", "settings"),
    [
        (WebKB, "cornell", {"name": "cornell"}),
        (Actor, "actor", {}),
        (HeterophilousGraphDataset, "roman_empire", {"name": "roman_empire"}),
        (WikiCS, "wikics", {"is_undirected": True}),
    ],
)
def test_parsing_gives_what_the_class_of_pyg_gives(
    dataset_class, name, settings, stand_in, tmp_path
):
    stand_in(name)
    folder = tmp_path / "mirror" / load_card(name).files["graph"].folder
    parsed = parse_raw(dataset_class.__name__, folder, **settings)
    place = folder.parent.parent if "name" in settings else folder.parent
    with safe_globals():
        loaded = dataset_class(str(place), **settings)[0]
    assert parsed.to_dict().keys() == loaded.to_dict().keys()
    assert all(torch.equal(parsed[key], loaded[key]) for key in loaded.to_dict())


def test_wikics_validates_on_one_set_or_on_both(stand_in):
    dataset = stand_in("wikics")
    alone, both = dataset.masks["wikics"](), dataset.masks["luo2024"]()
    assert [mask.size(1) for mask in alone] == [20, 20, 20]
    assert torch.equal(alone[0], both[0])
    assert torch.equal(alone[2], both[2])
    assert (both[1].sum(dim=0) > alone[1].sum(dim=0)).all()
    assert (both[1] | ~alone[1]).all()


def test_telegram_has_the_features_that_were_asked_for(stand_in):
    assert torch.equal(stand_in("telegram").data.x, torch.eye(StandIn.of("telegram").num_nodes))
    degrees = stand_in("telegram", features="degree").data.x.expm1().round()
    assert degrees[:2].tolist() == [[1, 1], [1, 2]]  # in, out
    with pytest.raises(ValueError, match="features must be identity or degree, got 'random'"):
        build("telegram", features="random")


def test_an_unknown_geom_gcn_graph_lists_the_known_ones():
    with pytest.raises(ValueError, match="one of texas, wisconsin, cornell, actor, got 'film'"):
        gnnzoo.data.geom_gcn("film")


@pytest.mark.parametrize("name", STATED)
def test_cards_state_the_published_sizes(name):
    sizes = load_card(name).sizes
    keys = ("num_nodes", "num_edges", "num_features", "num_classes")
    assert tuple(sizes[key] for key in keys) == STATED[name]


@pytest.mark.real_data
@pytest.mark.parametrize("name", PARSED)
def test_the_published_files_agree_with_the_card(name, use_real):
    use_real(name)
    dataset = build(name)  # sizes are checked on loading
    directed = name.endswith("_directed") or name == "telegram"
    x = dataset.data.x
    assert is_undirected(dataset.data.edge_index) != directed
    assert x.dtype == torch.float32
    if "0/1" in dataset.card.notes:
        assert x.sum().item() == x.count_nonzero().item()
        assert x.max() == 1
        assert x.min() == 0
    assert len(dataset.data.y.unique()) == dataset.num_classes
    for make in dataset.masks.values():
        check_every_split(make(), dataset)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "masks", "sizes"),
    [
        ("texas", "geom-gcn", (87, 59, 37)),
        ("wisconsin", "geom-gcn", (120, 80, 51)),
        ("actor", "geom-gcn", (3648, 2432, 1520)),
        ("chameleon", "geom-gcn", (1092, 729, 456)),
        ("squirrel", "geom-gcn", (2496, 1664, 1041)),
        ("chameleon_filtered", "heterophilous", (409, 287, 194)),
        ("squirrel_filtered_directed", "heterophilous", (1053, 718, 452)),
        ("minesweeper", "heterophilous", (5000, 2500, 2500)),
        ("computers", "luo2024", (8251, 2750, 2751)),
        ("photo", "luo2024", (4590, 1530, 1530)),
    ],
)
def test_published_splits_have_their_sizes(name, masks, sizes, use_real):
    use_real(name)
    found = build(name).masks[masks]()
    assert tuple(int(mask.view(len(mask), -1)[:, 0].sum()) for mask in found) == sizes


@pytest.mark.real_data
def test_chameleon_is_the_graph_of_geom_gcn(use_real, real_places):
    use_real("chameleon_directed")
    name = "chameleon/geom_gcn/raw/out1_graph_edges.txt"
    found = [place / name for place in real_places if (place / name).is_file()]
    if not found:
        pytest.skip(f"{name} is in no data root or mirror")
    published = {tuple(map(int, line.split())) for line in found[0].read_text().splitlines()[1:]}
    assert set(edges(build("chameleon_directed"))) == published
