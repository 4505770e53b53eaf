"""Advice follows the measures, and says nothing where nothing can be said."""

import copy
from types import SimpleNamespace

import pytest

from gnnzoo.data import suitability as rules
from gnnzoo.data.suitability import advise

MEASURES = {
    "num_nodes": 1000,
    "edges": {
        "num_edges": 4000,
        "directed": False,
        "node_order": False,
        "closing_triangles": 0.6,
    },
    "labels": {"homophily": {"adjusted": 0.7}, "informativeness": 0.5},
    "features": {"num_features": 500},
}
FAVOURS = SimpleNamespace(directed=True, why="they differ")
DECLINES = SimpleNamespace(directed=False, why="they do not")


def measures(**changes):
    """The measures of a homophilous graph, with some changed: ``edges__directed=True``."""
    made = copy.deepcopy(MEASURES)
    for path, value in changes.items():
        *groups, key = path.split("__")
        node = made
        for group in groups:
            node = node[group]
        node[key] = value
    return made


def suited(found, *args):
    advice = advise(found, *args)
    assert len({entry.method for entry in advice}) == len(advice)
    assert all(entry.reason for entry in advice)
    return {entry.method for entry in advice if entry.suits}


def test_smoothing_suits_where_neighbours_agree():
    assert suited(measures()) == {*rules.SMOOTHERS, *rules.LINKS}
    few = {entry.method: entry.reason for entry in advise(measures(), None, 0.05)}
    many = {entry.method: entry.reason for entry in advise(measures(), None, 0.5)}
    assert "5.0 % of the nodes" in few["dagnn"]
    assert "reach matters less" in many["dagnn"]
    assert few["gcn"] == many["gcn"]


def test_keeping_apart_suits_where_neighbours_differ():
    found = measures(
        labels__homophily={"adjusted": 0.0},
        labels__informativeness=0.01,
        edges__closing_triangles=0.1,
    )
    assert suited(found) == {"mlp", *rules.APART, *rules.SHEAVES}
    found["edges"]["num_edges"] = 20_000
    assert suited(found) == {"mlp", "linkx", *rules.APART, *rules.SHEAVES}
    found["edges"]["num_edges"] = rules.LARGE
    assert suited(found) == {"mlp", "linkx", *rules.APART}
    found["features"]["num_features"] = 7
    assert "gin" in suited(found)


def test_neighbours_of_opposite_classes_are_worth_more_than_none():
    opposite = measures(labels__homophily={"adjusted": -0.8}, labels__informativeness=0.7)
    assert "mlp" not in suited(opposite)


@pytest.mark.parametrize(
    ("directed", "node_order", "amud", "suits"),
    [
        (True, False, FAVOURS, True),
        (True, False, DECLINES, False),
        (True, True, FAVOURS, False),
        (False, False, None, False),
    ],
)
def test_direction_suits_where_it_is_real_and_tells_of_labels(directed, node_order, amud, suits):
    found = measures(edges__directed=directed, edges__node_order=node_order)
    assert (set(rules.ALONG_ARCS) <= suited(found, amud)) == suits
    advice = [entry for entry in advise(found, amud) if entry.method in rules.ALONG_ARCS]
    assert len(advice) == len(rules.ALONG_ARCS)


def test_nothing_is_said_of_direction_that_nobody_asked_about():
    found = advise(measures(edges__directed=True))
    assert not {entry.method for entry in found} & set(rules.ALONG_ARCS)


def test_without_labels_or_features_only_links_are_left():
    for missing in ("labels", "features"):
        found = measures()
        del found[missing]
        assert {entry.method for entry in advise(found)} == set(rules.LINKS)
    edgeless = measures()
    del edgeless["labels"]["homophily"]
    del edgeless["edges"]["closing_triangles"]
    assert suited(edgeless) == {"mlp"}
    one_class = measures(labels__homophily={"adjusted": None}, labels__informativeness=None)
    assert {entry.method for entry in advise(one_class)} == set(rules.LINKS)
