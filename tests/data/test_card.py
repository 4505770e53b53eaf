"""Cards are complete, and unknown names are answered with the known ones."""

import pytest
import yaml

from gnnzoo.data import UnknownDatasetError, load_card
from gnnzoo.paths import cards_root, conf_root

CARDS = sorted(path.parent.name for path in cards_root().glob("*/card.yaml"))


@pytest.mark.parametrize("name", CARDS)
def test_every_card_bears_its_folders_name_and_all_sizes(name):
    card = load_card(name)
    assert card.name == name
    counted = {"num_features", "num_edges", "num_classes"}
    if name.startswith("ogbl_"):
        counted = {"num_features", "num_links"}
    elif "num_tasks" in card.sizes:
        counted = {"num_graphs", "num_edges", "num_tasks"}
    elif "num_graphs" in card.sizes:
        counted |= {"num_graphs"}
    published_so = name in ("zinc", "mnist", "cifar10")  # as means per graph
    unstated = {"num_nodes", "num_edges"} if published_so else set()
    assert set(card.sizes) == {"num_nodes", *counted} - unstated
    assert card.licence
    for group in card.files.values():
        assert group.url or group.archive
        assert all(value is None or len(value) == 64 for value in group.sha256.values())


def test_every_published_data_set_has_a_card():
    configured = {path.stem for path in (conf_root() / "dataset").glob("*.yaml")}
    assert configured - {"file"} <= set(CARDS)


def test_a_card_may_have_the_raw_files_of_another():
    card = load_card("texas_directed")
    assert card.files == load_card("texas").files
    assert card.sizes["num_edges"] == 325
    assert load_card("texas").sizes["num_edges"] == 574


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownDatasetError) as caught:
        load_card("coraa")
    assert str(caught.value) == f"no card for data set 'coraa'; there are: {', '.join(CARDS)}"


def test_sizes_that_differ_are_refused():
    with pytest.raises(ValueError, match="num_nodes=3, its card says 2708"):
        load_card("cora").check_sizes(num_nodes=3)


def test_cards_are_plain_yaml():
    for name in CARDS:
        text = (cards_root() / name / "card.yaml").read_text(encoding="utf-8")
        assert isinstance(yaml.safe_load(text), dict)
