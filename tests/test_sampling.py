"""Training on sampled mini-batches, from the settings to the record."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import gnnzoo
from gnnzoo.assemble import build_parts
from gnnzoo.config import ConfigError, compose
from gnnzoo.data import CSRGraph, NeighborBatches, NodeTask
from gnnzoo.executor import execute
from gnnzoo.heads import NodeHead
from gnnzoo.models import encode_layerwise, inputs
from gnnzoo.registry import create_model
from gnnzoo.results import RunStore
from gnnzoo.train import Backprop
from tests.reference.graphs import random_edges
from tests.test_cli import gnnzoo as shell
from tests.test_executor import assert_same, command, final, start

SAMPLED = ("batching=neighbors", "head.batching.num_neighbors=[3,2]", "head.batching.batch_size=6")
FAST = ("trainer.epochs=4", "progress=none", "device=cpu")


def toy_run(path, *overrides):
    return execute(compose(["dataset=file", f"dataset.path={path}", *FAST, *SAMPLED, *overrides]))


def toy_task() -> NodeTask:
    torch.manual_seed(0)
    data = Data(x=torch.randn(40, 5), edge_index=random_edges(40, 160), num_nodes=40)
    part = torch.arange(40) % 3
    data.train_mask, data.val_mask, data.test_mask = part == 0, part == 1, part == 2
    data.y = torch.where(part < 2, torch.arange(40) % 4 // 2, -1)
    labels = (torch.arange(40) % 4 // 2)[data.test_mask]
    transforms = (CSRGraph(),)
    return NodeTask(CSRGraph()(data), labels, 2, 0, "0" * 64, "accuracy", transforms)


@pytest.mark.parametrize("name", ["sage", "gat", "gin"])
def test_batches_with_all_neighbours_add_up_to_the_gradient_of_the_whole_graph(name):
    """Those whose weights depend on the target alone; GCN's know the degrees of sources too."""
    task, encoder = toy_task(), create_model(name, 5, 2)
    encoder.eval()  # no dropout
    gradients = []
    for batching in (None, NeighborBatches([-1, -1], batch_size=7)):
        head = NodeHead(task, batching=batching)
        batches = list(head.batches("train"))
        losses = [
            head.loss(encoder(**inputs(encoder, batch.data)), batch) * batch.labels.numel()
            for batch in batches
        ]
        encoder.zero_grad()
        (sum(losses) / 14).backward()
        gradients.append([p.grad.clone() for p in encoder.parameters()])
    assert len(batches) == 2
    for whole, sampled in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, sampled, rtol=1e-4, atol=1e-6)


def test_one_more_hop_gives_gcn_the_degrees_that_its_weights_read():
    task, encoder = toy_task(), create_model("gcn", 5, 2).eval()
    whole = encoder(**inputs(encoder, task.data))
    for batch in NodeHead(task, batching=NeighborBatches([-1] * 3, 5)).batches("train"):
        h = encoder(**inputs(encoder, batch.data))[batch.nodes]
        seeds = [int((task.data.x == x).all(1).nonzero()) for x in batch.data.x[batch.nodes]]
        torch.testing.assert_close(h, whole[seeds])


def test_relabelled_nodes_give_the_same_gradient():
    task, encoder = toy_task(), create_model("sage", 5, 2).eval()
    order = torch.randperm(40)
    moved = Data(num_nodes=40)
    for key in ("x", "y", "train_mask", "val_mask", "test_mask"):
        moved[key] = task.data[key][order]
    moved.edge_index = order.argsort()[task.data.edge_index]
    gradients = []
    for data in (task.data, CSRGraph()(moved)):
        head = NodeHead(replace(task, data=data), batching=NeighborBatches([-1, -1], 100))
        (batch,) = head.batches("train")
        encoder.zero_grad()
        head.loss(encoder(**inputs(encoder, batch.data)), batch).backward()
        gradients.append([p.grad.clone() for p in encoder.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)


def test_batches_hold_labels_of_their_training_nodes_only():
    task = toy_task()
    seen = 0
    for batch in NodeHead(task, batching=NeighborBatches([5, 5], 4)).batches("train"):
        assert set(batch.data.keys()) == {"x", "edge_index", "num_nodes", "graph"}
        rows = [int((task.data.x == x).all(1).nonzero()) for x in batch.data.x[batch.nodes]]
        assert task.data.train_mask[rows].all()
        assert torch.equal(batch.labels, task.data.y[rows])
        seen += len(rows)
    assert seen == int(task.data.train_mask.sum())


def test_scoring_takes_no_random_numbers_and_sees_the_whole_graph():
    task, encoder = toy_task(), create_model("gcn", 5, 2)
    whole = NodeHead(task).evaluate(encoder, ("train", "val"))
    before = torch.get_rng_state()
    head = NodeHead(task, batching=NeighborBatches([1, 1], 4, memory_mib=1e-3))
    found = head.evaluate(encoder, ("train", "val"))
    assert all(found[split] == pytest.approx(whole[split]) for split in whole)
    assert torch.equal(torch.get_rng_state(), before)
    tested = head.test(encoder, task.test_labels)
    assert tested == pytest.approx(NodeHead(task).test(encoder, task.test_labels))


def test_labels_outside_training_change_no_weight():
    found = []
    for poison in (False, True):
        task = toy_task()
        if poison:
            task.data.y[task.data.val_mask] = 1 - task.data.y[task.data.val_mask]
            task.data.y[task.data.test_mask] = 0
        torch.manual_seed(5)
        encoder = create_model("sage", 5, 2)
        head = NodeHead(task, batching=NeighborBatches([2, 2], 4))
        Backprop(epochs=3).fit(encoder, head)
        found.append([p.detach().clone() for p in encoder.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_an_epoch_reports_the_mean_loss_of_its_batches():
    task, encoder = toy_task(), create_model("sage", 5, 2, dropout=0.0)
    head = NodeHead(task, batching=NeighborBatches([-1, -1], 1))
    fit = Backprop(epochs=1, lr=0.0, weight_decay=0.0).fit(encoder, head)
    assert fit.curve[0]["loss"] == pytest.approx(fit.curve[0]["train_loss"], rel=1e-5)


@pytest.mark.parametrize("model", ["sage", "gcn", "dagnn"])
def test_runs_from_its_settings_file_and_repeats_exactly(model, workspace, toy_graph):
    overrides = (f"model={model}", "trainer.epochs=2")
    first = toy_run(toy_graph, *overrides, "run_dir=first")
    second = toy_run(toy_graph, *overrides, "run_dir=second")
    assert_same(final(first.run_dir), final(second.run_dir))


@pytest.mark.parametrize("batch_size", [1, 1000])
def test_degenerate_batch_sizes_train(batch_size, workspace, toy_graph):
    outcome = toy_run(toy_graph, "model=sage", f"head.batching.batch_size={batch_size}")
    assert outcome.record["epochs"] == 4


@pytest.mark.parametrize("model", ["sage", "gin"])
def test_a_graph_without_edges_trains(model, workspace, toy_graph, tmp_path):
    arrays = dict(np.load(toy_graph)) | {"edge_index": np.empty((2, 0), dtype=np.int64)}
    np.savez(tmp_path / "lonely.npz", **arrays)
    assert toy_run(tmp_path / "lonely.npz", f"model={model}").record["status"] == "finished"


def test_an_encoder_that_fits_one_graph_refuses_by_name(workspace, toy_graph):
    words = "LINKX has weights for each node of one graph .* batching=full"
    with pytest.raises(ConfigError, match=words):
        toy_run(toy_graph, "model=linkx")


def test_a_killed_run_ends_bit_identical(workspace, toy_graph):
    extra = ["model=sage", *SAMPLED, "head.batching.batch_size=10"]
    whole, broken = workspace / "whole", workspace / "broken"
    process = start(toy_graph, broken, 150, extra)
    process.kill()
    process.wait()
    assert json.loads((broken / "run.json").read_text())["status"] == "running"
    for run_dir in (whole, broken):
        settings = command(toy_graph, run_dir, 150)
        execute(compose([*settings[settings.index("train") + 1 :], *extra]))
    assert_same(final(whole), final(broken))


def test_from_the_shell_and_from_python(workspace):
    done = shell("train", "-m", "model=sage", "batching=full,neighbors", "trainer.epochs=2")
    assert done.returncode == 0, done.stderr
    assert "batching=neighbors" in done.stdout
    record = gnnzoo.run(model="sage", batching="neighbors", trainer={"epochs": 2})
    assert record["config"]["head"]["batching"]["num_neighbors"] == [10, 10]
    assert len(RunStore(workspace / "runs").records()) == 2, "both name the same run"


def test_bad_settings_get_one_sentence(workspace):
    with pytest.raises(ValueError, match=r"for each hop, got \[0\]"):
        gnnzoo.run(model="sage", batching="neighbors", head={"batching": {"num_neighbors": [0]}})
    with pytest.raises(ConfigError, match="no batching named 'neighbours'; did you mean neighbors"):
        compose(["batching=neighbours"])
    with pytest.raises(ValueError, match=r"does not say what makes .* batching=neighbors does"):
        gnnzoo.run(model="sage", head={"batching": {"batch_size": 64}})


def test_the_recipe_for_a_large_graph_runs_on_a_small_one(workspace, toy_graph):
    small = ("dataset=file", f"dataset.path={toy_graph}", "trainer.epochs=2", "device=cpu")
    composed = compose(["experiment=ogbn_products_sampled", *small])
    parts = build_parts(composed, torch.device("cpu"))
    assert parts.head.batching.num_neighbors == [15, 10, 5]
    assert execute(composed).record["status"] == "finished"
    h = encode_layerwise(parts.encoder.eval(), parts.task.data, 1.0)
    assert h.shape == (60, 2)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (("model=sage", "head.batching.num_neighbors=[3]"), "samples 1 hops, but SAGE looks 2"),
        (("model=dagnn",), "samples 2 hops, but DAGNN looks 10"),
        (("model=gatedgcn", "model.edge_features=ones", "model.num_layers=2"), None),
        (("model=sgc",), None),
        (("model=sage",), None),
        (("model=mlp", "head.batching.num_neighbors=[3]"), None),
    ],
)
def test_samples_shorter_than_the_encoder_looks_are_told(settings, complaint):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build_parts(compose(["batching=neighbors", *settings]), torch.device("cpu"))
    told = [str(entry.message) for entry in caught if "num_neighbors" in str(entry.message)]
    assert [complaint in text for text in told] == ([True] if complaint else [])
