"""Links, layer by layer; and runs from settings."""

import csv

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from torch_geometric.data import Data

from gnnzoo import run
from gnnzoo.config import ConfigError
from gnnzoo.data import GraphDataset, PyGRandomLinks
from gnnzoo.heads import LinkHead
from gnnzoo.models import GCN
from gnnzoo.nn import DotPredictor, LayerwisePredictor
from gnnzoo.train import ForwardOnly
from gnnzoo.train.backprop import TrainingInterrupted
from gnnzoo.train.checkpoint import Checkpoint
from tests.reference.forward import communities


@pytest.fixture(scope="module")
def task():
    graph = communities(num_nodes=120, num_classes=3, noise=0.5)
    data = Data(x=graph.x, edge_index=graph.edge_index, num_nodes=120)
    protocol = PyGRandomLinks(val=0.16, test=0.2, metric="auc")
    return protocol(GraphDataset("communities", data, "0" * 64), seed=0)


def parts(task, method, **settings):
    torch.manual_seed(0)
    score = "dot" if method == "lp_ce" else "goodness"
    head = LinkHead(task.without_test(), LayerwisePredictor(16, score), batch_size=1)
    trainer = ForwardOnly(method, lr=0.02, **settings)
    own = {"hidden_channels": 16, "num_layers": 2, "dropout": 0.0}
    known = {"in_channels": 6, "out_channels": 16}
    make = lambda **known: GCN(**{**own, **known})  # noqa: E731
    return trainer, trainer.plan(GCN, own, make, known, task.without_test()), head


@pytest.mark.parametrize(("method", "least"), [("lp_ce", 0.75), ("lp_ff", 0.6)])
def test_links_are_learned(task, method, least):
    trainer, model, head = parts(task, method, epochs=40)
    fit = trainer.fit(model, head)
    assert len(fit.curve) == 80
    both = torch.nn.ModuleDict({"encoder": model, "head": head})
    both.load_state_dict(fit.selection.best["auc"].state)
    assert head.test(model, task.test)["auc"] >= least


@pytest.mark.parametrize("method", ["lp_ce", "lp_ff"])
def test_the_loss_is_that_of_each_pair(task, method):
    trainer, model, head = parts(task, method)
    plan = trainer.schedule(model, head)
    phase, terms = plan.phase(0), []
    z = model(x=task.data.x, edge_index=task.data.edge_index)[:, :16].detach()
    for place, (u, v) in enumerate(plan.pairs.t().tolist()):
        true = place < plan.num_positives
        if method == "lp_ce":
            score = (z[u] * z[v]).sum()
            terms.append(binary_cross_entropy_with_logits(score, torch.tensor(float(true))))
        else:
            good = (z[u] * z[v]).square().sum()
            terms.append(2 * softplus(2.0 - good if true else good - 2.0))
    torch.testing.assert_close(phase.step()[0], torch.stack(terms).mean())


@pytest.mark.parametrize("after", [2, 7])  # in the first layer, and in the second
def test_a_resumed_run_keeps_its_negatives(task, tmp_path, after):
    def fitted(checkpoint=None, seed=1):
        trainer, model, head = parts(task, "lp_ce", epochs=6)
        torch.manual_seed(seed)
        return model, trainer.fit(model, head, checkpoint)

    whole, fit = fitted()
    calls, path = iter(range(100)), tmp_path / "checkpoint.pt"
    with pytest.raises(TrainingInterrupted):
        fitted(Checkpoint(path, stop_requested=lambda: next(calls) == after))
    resumed, again = fitted(Checkpoint(path), seed=99)
    assert again.curve == fit.curve
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_predictor_without_layers_is_refused(task):
    trainer, model, _ = parts(task, "lp_ce")
    head = LinkHead(task.without_test(), DotPredictor(16), batch_size=1)
    with pytest.raises(ValueError, match="head=layerwise"):
        trainer.fit(model, head)


def test_a_run_leaves_a_record_and_a_curve_for_each_layer(workspace, toy_graph):
    settings = {"dataset.path": str(toy_graph), "trainer.epochs": 4, "model.dropout": 0.0}
    record = run(model="gcn", dataset="file", trainer="forward_only", progress="none", **settings)
    assert record["status"] == "finished"
    assert record["epochs"] == 8
    assert record["best_epoch"] > 4  # of the last layer
    (folder,) = workspace.glob("runs/*/*/seed_0")
    with (folder / "curve.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["layer"], row["layer_epoch"]) for row in rows[3:5]] == [("1", "4"), ("2", "1")]
    assert (folder / "curve.png").is_file()
    assert (folder / "weights.safetensors").is_file()


@pytest.mark.parametrize("trainer", ["backprop_matched", "backprop_deep"])
def test_matched_forms_are_chosen_in_settings(workspace, toy_graph, trainer):
    settings = {"dataset.path": str(toy_graph), "trainer.epochs": 2}
    record = run(model="gat", dataset="file", trainer=trainer, progress="none", **settings)
    assert record["status"] == "finished"


def test_heads_and_methods_that_do_not_fit_are_refused(workspace, toy_graph):
    settings = {"dataset.path": str(toy_graph), "trainer.method": "lp_ff"}
    with pytest.raises((ConfigError, ValueError), match="does not go with this head"):
        run(model="gcn", dataset="file", trainer="forward_only", progress="none", **settings)
