"""Link prediction from end to end: what is learnt, what is hidden, what a run leaves."""

import copy

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from gnnzoo import run
from gnnzoo.config import ConfigError
from gnnzoo.data import GraphDataset, RandomLinks
from gnnzoo.heads import LinkHead
from gnnzoo.models import NCNMPNN
from gnnzoo.nn import NCNCPredictor, NCNPredictor
from gnnzoo.train import Backprop
from gnnzoo.train.backprop import TrainingInterrupted
from gnnzoo.train.checkpoint import Checkpoint


def closed_triads(num_nodes: int = 300, num_steps: int = 900, seed: int = 0) -> torch.Tensor:
    """A random tree in which then neighbours of a node get linked, again and again."""
    random = np.random.default_rng(seed)
    friends: list[set[int]] = [set() for _ in range(num_nodes)]

    def link(a: int, b: int) -> None:
        if a != b:
            friends[a].add(b)
            friends[b].add(a)

    for node in range(1, num_nodes):
        link(node, int(random.integers(max(0, node - 20), node)))
    for _ in range(num_steps):
        middle = int(random.integers(num_nodes))
        if len(friends[middle]) > 1:
            link(*(int(n) for n in random.choice(sorted(friends[middle]), 2, replace=False)))
    return torch.tensor([[a, b] for a in range(num_nodes) for b in sorted(friends[a])]).t()


@pytest.fixture(scope="module")
def triads():
    edges = closed_triads()
    torch.manual_seed(0)
    data = Data(x=torch.randn(300, 4), edge_index=edges, num_nodes=300)
    return RandomLinks(metric="auc")(GraphDataset("triads", data, "0" * 64), seed=0)


def auc_of(task, predictor, epochs=40):
    torch.manual_seed(0)
    predictor = copy.deepcopy(predictor)
    head = LinkHead(task.without_test(), predictor, batch_size=128)
    encoder = NCNMPNN(4, 16)
    fit = Backprop(epochs=epochs, lr=0.01, weight_decay=0.0).fit(encoder, head)
    best = fit.selection.best["auc"]
    torch.nn.ModuleDict({"encoder": encoder, "head": head}).load_state_dict(best.state)
    return head.test(encoder, task.test)["auc"]


def test_common_neighbours_decide_where_triads_close(triads):
    torch.manual_seed(0)
    gae, ncn, ncnc = (
        auc_of(triads, predictor)
        for predictor in (NCNPredictor(16, "gae"), NCNPredictor(16), NCNCPredictor(16))
    )
    assert ncn > gae + 0.05
    assert ncnc > ncn


def test_an_interrupted_training_goes_on_bit_for_bit(triads, tmp_path):
    def fit(checkpoint=None):
        torch.manual_seed(0)
        head = LinkHead(triads.without_test(), NCNPredictor(16, dropout=0.2), batch_size=128)
        encoder = NCNMPNN(4, 16, dropout=0.2)
        trainer = Backprop(epochs=6, stopping=None)
        return trainer.fit(encoder, head, checkpoint).curve

    whole, path = fit(), tmp_path / "checkpoint.pt"
    asked = iter([False, False, True])
    with pytest.raises(TrainingInterrupted):
        fit(Checkpoint(path, 0.0, lambda: next(asked)))
    torch.manual_seed(99)
    assert fit(Checkpoint(path)) == whole


@pytest.fixture
def bare_graph(tmp_path):
    """A graph file that holds edges and nothing else."""
    path = tmp_path / "bare.npz"
    np.savez(path, edge_index=closed_triads(80, 200).numpy())
    return path


@pytest.mark.parametrize("kind", ["auto", "degree", "embedding"])
def test_edges_alone_are_enough(workspace, bare_graph, kind):
    record = run(
        dataset="file",
        head="ncn",
        model="gcn",
        features={"kind": kind, "embedding_channels": 8},
        protocol={"metric": "auc"},
        **{"dataset.path": str(bare_graph), "trainer.epochs": 2, "head.batch_size": 32},
    )
    assert record["metric"] == "auc"
    assert set(record["metrics"]) == {"auc", "mrr", "ap"}


def test_heuristics_need_neither_features_nor_training(workspace, bare_graph):
    record = run(
        dataset="file",
        head="heuristic",
        model="none",
        trainer="none",
        **{"dataset.path": str(bare_graph), "protocol.metric": "auc"},
    )
    assert record["num_parameters"] == 0
    assert record["test"] > 0.6


def test_a_default_metric_that_needs_more_negatives_says_so(workspace, bare_graph):
    with pytest.raises(ValueError, match=r"hits@100 needs at least 100 negatives.*protocol.metric"):
        run(dataset="file", head="dot", **{"dataset.path": str(bare_graph), "head.batch_size": 32})


def test_a_head_for_links_refuses_a_protocol_of_nodes(workspace):
    with pytest.raises(ValueError, match="the protocol splits nodes"):
        run(dataset="digits", head="dot", model="gcn", protocol="digits/node")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features.kind": "ids", "model": "gcn"}, "features.kind=embedding works with all"),
        ({"features.kind": "embedding", "features.sparse": "always"}, "does not go with"),
        ({"head": "heuristic", "model": "gcn"}, "reads no embeddings; model=none"),
    ],
)
def test_settings_that_do_not_fit_say_what_does(workspace, bare_graph, settings, message):
    known = {"dataset": "file", "head": "dot", "dataset.path": str(bare_graph)}
    with pytest.raises(ConfigError, match=message):
        run(**{**known, "protocol.metric": "auc", "head.batch_size": 32, **settings})


def test_features_that_are_not_there_cannot_be_given(workspace, bare_graph):
    with pytest.raises(ConfigError, match=r"features.kind=embedding learns some"):
        run(
            dataset="file",
            head="dot",
            **{"dataset.path": str(bare_graph), "features.kind": "given", "head.batch_size": 32},
        )


def test_hard_negatives_run_from_edges_alone(workspace, bare_graph, monkeypatch):
    monkeypatch.setenv("GNNZOO_DATA", str(workspace / "data"))
    record = run(
        dataset="file",
        head="heuristic",
        model="none",
        trainer="none",
        protocol="heart",
        **{
            "dataset.path": str(bare_graph),
            "protocol.num_own": 10,
            "protocol.heuristics": ["ra", "ppr"],
            "head.metrics": ["hits@10"],
        },
    )
    assert record["protocol"]["heuristics"] == ["ra", "ppr"]
    assert set(record["metrics"]) == {"mrr", "hits@10"}
