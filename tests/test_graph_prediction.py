"""Tasks on whole graphs from end to end: what is learnt, what is refused, what a run leaves."""

import pytest
import torch

from gnnzoo import run
from gnnzoo.config import ConfigError
from gnnzoo.data import CSRGraph, NamedGraphs
from gnnzoo.heads import GraphHead
from gnnzoo.models import GIN, MLP
from gnnzoo.train import Backprop
from gnnzoo.train.backprop import TrainingInterrupted
from gnnzoo.train.checkpoint import Checkpoint
from gnnzoo.train.stopping import Patience
from tests.reference.graph_sets import small_set


def fit(checkpoint=None, epochs=6, **settings):
    task = NamedGraphs("thirds")(small_set(num_graphs=60), seed=0)
    CSRGraph()(task.data)
    torch.manual_seed(0)
    head = GraphHead(task.without_test(), 16, pooling="sum", dropout=0.2, batch_size=8)
    encoder = GIN(3, 16, 16, dropout=0.2, **settings)
    fitted = Backprop(epochs=epochs, lr=0.01, weight_decay=0.0).fit(encoder, head, checkpoint)
    return fitted, head, encoder, task


def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path):
    whole, path = fit()[0].curve, tmp_path / "checkpoint.pt"
    asked = iter([False, False, True])
    with pytest.raises(TrainingInterrupted):
        fit(Checkpoint(path, 0.0, lambda: next(asked)))
    torch.manual_seed(99)
    assert fit(Checkpoint(path))[0].curve == whole


def test_what_the_nodes_say_of_a_graph_is_learnt():
    fitted, head, encoder, task = fit(epochs=60)
    best = fitted.selection.best["accuracy"]
    torch.nn.ModuleDict({"encoder": encoder, "head": head}).load_state_dict(best.state)
    assert head.test(encoder, task.test)["accuracy"] > 0.7


def test_training_stops_when_an_error_no_longer_falls():
    """The rule waits for a lower error, not for a higher one."""
    task = NamedGraphs("thirds", metric="rmse")(small_set("values", num_graphs=60), seed=0)
    torch.manual_seed(0)
    head, encoder = GraphHead(task.without_test(), 16, pooling="sum"), MLP(3, 16, 16, dropout=0.0)
    rule = Patience(3, monitor="metric")
    recipe = Backprop(epochs=40, lr=0.005, weight_decay=0.0, stopping=rule)
    fitted = recipe.fit(encoder, head)
    errors = [row["val_rmse"] for row in fitted.curve]
    assert fitted.selection.best["rmse"].val == min(errors)
    assert len(errors) > 10
    assert min(errors) < 0.8 * errors[0]


def test_digits_are_told_by_their_pixels_and_the_run_is_recorded(workspace, monkeypatch):
    monkeypatch.setenv("GNNZOO_DATA", str(workspace / "datasets"))
    record = run(
        dataset="digits_grid",
        model="gin",
        features={"random_walk_steps": 2},
        **{
            "model.dropout": 0.0,
            "model.norm": "batch_norm",
            "model.hidden_channels": 32,
            "model.num_layers": 3,
            "head.pooling": "max",
            "head.hidden_channels": 32,
            "trainer.epochs": 3,
        },
    )
    assert record["test"] > 0.2
    assert (record["metric"], record["split"]["number"]) == ("accuracy", 0)
    assert record["threads"] == 1
    assert list((workspace / "datasets/cache/encodings").glob("*.npy"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "linkx"}, "LINKX has weights for each node of one graph"),
        ({"features.kind": "embedding"}, "would learn a vector for each node"),
        ({"features.kind": "onehot"}, "onehot is for categories; these features are numbers"),
        (
            {"model": "sgc", "features.laplacian_vectors": 2},
            "SGC reads features that are computed once",
        ),
        ({"protocol": "fixed"}, "digits_grid has no split named 'fixed'"),
        ({"dataset": "digits", "head": "graph", "protocol": "digits/node"}, "predicts of whole"),
        (
            {"dataset": "digits", "head": "node", "model": "fingerprint"},
            "Fingerprint embeds whole graphs, not nodes",
        ),
        ({"batching": "neighbors"}, "takes no argument 'batching'"),
    ],
)
def test_settings_that_do_not_fit_say_what_does(workspace, settings, message):
    known = {"dataset": "digits_grid", "model": "gcn", "trainer.epochs": 1}
    with pytest.raises((ConfigError, ValueError), match=message):
        run(**{**known, **settings})
