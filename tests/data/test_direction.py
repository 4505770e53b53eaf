"""Arcs kept or made undirected: as asked for, or as the training labels say."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import gnnzoo
from gnnzoo.data import AMUDTransform, choose_direction
from tests.data.test_amud import hubs_and_leaves


@pytest.fixture
def data():
    edge_index, y = hubs_and_leaves()
    data = Data(edge_index=edge_index, y=y, num_nodes=len(y))
    data.train_mask = torch.arange(len(y)) % 2 == 0
    data.edge_weight = torch.arange(edge_index.size(1)).float()
    return data


def test_arcs_are_kept_or_reversed_as_asked_for(data):
    kept, choice = choose_direction(data, "directed")
    assert kept is data
    assert choice.record() == {
        "asked": "directed",
        "kept": True,
        "why": "arcs kept, as asked for",
    }
    made, choice = choose_direction(data, "undirected")
    assert made.is_undirected()
    assert made.edge_weight.sum() == 2 * data.edge_weight.sum()
    assert not choice.kept
    assert choice.amud is None
    assert not data.is_undirected(), "the given graph is left as it is"
    data.edge_weight = None
    assert choose_direction(data, "undirected")[0].num_edges == made.num_edges


def test_training_labels_decide_and_the_reason_is_said(data):
    kept, choice = choose_direction(data, "auto", data.train_mask)
    assert kept is data
    assert choice.kept
    assert choice.why.startswith("AMUD (reconstructed): keep the arcs; ")
    assert choice.why.endswith("(33 training labels)")
    assert choice.record()["amud_score"] == choice.amud.score
    hidden = data.clone()
    hidden.y[~data.train_mask] = 0
    assert choose_direction(hidden, "auto", data.train_mask)[1] == choice

    made, choice = choose_direction(data, "auto", data.train_mask, threshold=0.99)
    assert made.is_undirected()
    assert not choice.kept
    assert "make the graph undirected" in choice.why


def test_an_undirected_graph_needs_no_labels(data):
    made = choose_direction(data, "undirected")[0]
    made.y = None
    same, choice = choose_direction(made, "auto")
    assert same is made
    assert "nothing to decide" in choice.why
    assert choice.amud is None


def test_the_transform_decides_alike_and_keeps_what_it_found(data):
    seen = AMUDTransform()(data)
    assert torch.equal(seen.edge_index, data.edge_index)
    assert seen.amud.directed
    other = AMUDTransform(threshold=0.99)(data)
    assert other.is_undirected()
    assert not other.amud.directed
    assert "amud" not in data
    assert repr(AMUDTransform()) == "AMUDTransform(threshold=0.5)"
    assert other.to("cpu").amud == other.amud


def test_what_cannot_be_decided_is_said(data):
    with pytest.raises(ValueError, match="auto, directed or undirected, got 'both'"):
        choose_direction(data, "both")
    with pytest.raises(ValueError, match="there is no train_mask; give direction=directed"):
        choose_direction(data, "auto")
    del data.y
    with pytest.raises(ValueError, match="there is no y; give direction=directed"):
        choose_direction(data, "auto", data.train_mask)
    with pytest.raises(ValueError, match=r"threshold must be in \[0, 1\], got 2"):
        AMUDTransform(2)


def test_a_run_says_and_records_what_was_decided(workspace, capfd):
    edge_index, y = hubs_and_leaves()
    x = np.eye(len(y), dtype=np.float32)
    labels = {"edge_index": edge_index.numpy(), "y": (y % 6).numpy()}
    np.savez("hubs.npz", x=x, **labels)
    asked = {"dataset.path": "hubs.npz", "dataset.directed": True, "protocol.direction": "auto"}
    settings = {"dataset": "file", "protocol": "random_shares", "trainer.epochs": 1, **asked}
    record = gnnzoo.run(model="dirgnn", device="cpu", **settings)
    decided = record["protocol"]["direction"]
    assert (decided["asked"], decided["kept"]) == ("auto", True)
    assert decided["why"].startswith("AMUD (reconstructed): keep the arcs; ")
    assert f"direction: {decided['why']}\n" in capfd.readouterr().err
