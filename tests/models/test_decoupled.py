"""DGMLP, and training on gathered rows. See test_encoders.py too."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnnzoo.data import (
    CombinedHops,
    CSRGraph,
    DirectedPatterns,
    NodeTask,
    RowBatches,
    SparsifyFeatures,
)
from gnnzoo.heads import NodeHead
from gnnzoo.models import ADPA, DGMLP, GCN, MLP, SGC, encode_layerwise
from gnnzoo.ops.adaptive_hops import COMBINATIONS
from tests.reference.graphs import random_edges

NODES = 40


def toy(undirected=True) -> Data:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(NODES) % 3
    edges = random_edges(NODES, 120)
    x = torch.randn(NODES, 6, generator=generator)
    x[:, 0] += 3 * y
    part = torch.arange(NODES) % 4
    return Data(
        x=x,
        edge_index=to_undirected(edges) if undirected else edges,
        y=y,
        train_mask=part < 2,
        val_mask=part == 2,
        test_mask=part == 3,
        num_nodes=NODES,
    )


def task(data, transforms):
    for transform in transforms:
        data = transform(data)
    return NodeTask(data, data.y[data.test_mask], 3, 0, "", "accuracy", tuple(transforms))


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_field_and_graph_give_the_same(combine):
    data = CombinedHops(3, combine=combine)(toy())
    torch.manual_seed(0)
    model = DGMLP(6, 8, 3, num_hops=3, combine=combine, num_layers=3, norm="layer_norm").eval()
    want = model(data.x, data.edge_index)
    torch.testing.assert_close(model(data.x, patterns=data.patterns), want)
    rows = torch.tensor([5, 0, 31])
    torch.testing.assert_close(model(data.x[rows], patterns=data.patterns[rows]), want[rows])
    assert torch.equal(
        CombinedHops(3, combine=combine, cache="memory")(toy()).patterns, data.patterns
    )


def test_the_last_hop_makes_sgc():
    model, sgc, data = DGMLP(6, 8, 3, num_hops=2, combine="last").eval(), SGC(6, 3).eval(), toy()
    lin = model.layers[0].linear
    sgc.layers[0].lin.weight.data, sgc.layers[0].lin.bias.data = lin.weight.data, lin.bias.data
    torch.testing.assert_close(model(data.x, data.edge_index), sgc(data.x, data.edge_index))


def test_hidden_layers_of_equal_width_add_their_input():
    model = DGMLP(6, 6, 3, num_layers=3, num_hops=0).eval()
    data = toy()
    h = data.x
    for layer in model.layers[:2]:
        h = layer.linear(h).relu() + h
    torch.testing.assert_close(model(data.x, data.edge_index), model.layers[2].linear(h))
    narrow = DGMLP(6, 8, 3, num_layers=2, num_hops=0).eval()
    want = narrow.layers[1].linear(narrow.layers[0].linear(data.x).relu())
    torch.testing.assert_close(narrow(data.x, data.edge_index), want)


def test_the_transform_is_cached_on_disk_and_told_apart(tmp_path):
    first = CombinedHops(3, cache="disk", cache_dir=tmp_path)(toy()).patterns
    again = CombinedHops(3, cache="disk", cache_dir=tmp_path)(toy()).patterns
    assert torch.equal(first, again)
    assert torch.equal(first, CombinedHops(3)(SparsifyFeatures(1.0)(toy())).patterns)
    assert len(list(tmp_path.iterdir())) == 1
    CombinedHops(3, stationary="random_walk", cache="disk", cache_dir=tmp_path)(toy())
    weighted = toy()
    weighted.edge_weight = torch.ones(weighted.num_edges)
    CombinedHops(3, cache="disk", cache_dir=tmp_path)(weighted)
    assert len(list(tmp_path.iterdir())) == 3


def test_directed_graphs_and_wrong_shapes_are_refused():
    data = toy(undirected=False)
    with pytest.raises(ValueError, match="needs an undirected graph; to_undirected=true"):
        CombinedHops(2)(data)
    both = CombinedHops(2, to_undirected=True)(data).patterns
    torch.testing.assert_close(both, CombinedHops(2)(toy()).patterns)
    with pytest.raises(ValueError, match="the graph is directed"):
        DGMLP(6, 8, 3)(data.x, data.edge_index)
    with pytest.raises(ValueError, match="DGMLP needs edge_index, or the field patterns"):
        DGMLP(6, 8, 3)(data.x)
    with pytest.raises(ValueError, match=r"shape \[num_rows, 6\], got \[40, 5\]"):
        DGMLP(6, 8, 3)(data.x, patterns=torch.zeros(40, 5))
    for settings in ({"cache": "gpu"}, {"combine": "x"}, {"r": 2.0}, {"temperature": 0.0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            CombinedHops(2, **settings)
    with pytest.raises(ValueError, match="num_hops must be at least 0, got -1"):
        CombinedHops(-1)


ROWS = {
    "adpa": (lambda: ADPA(6, 8, 3, num_layers=2), [CSRGraph(), DirectedPatterns()]),
    "dgmlp": (lambda: DGMLP(6, 8, 3, num_hops=3), [CombinedHops(3)]),
    "mlp": (lambda: MLP(6, 8, 3), []),
}


@pytest.mark.parametrize("name", ROWS)
def test_training_on_rows_sees_every_node_once_and_evaluates_as_the_whole_graph(name):
    make, transforms = ROWS[name]
    problem = task(toy(), transforms)
    head = NodeHead(problem, batching=RowBatches(batch_size=7))
    torch.manual_seed(0)
    model = make().eval()
    whole = NodeHead(problem)
    found, want = (h.evaluate(model, ("train", "val")) for h in (head, whole))
    assert found.keys() == want.keys()
    assert all(found[split] == pytest.approx(want[split], rel=1e-5) for split in want)
    h = model(**{k: problem.data[k] for k in ("x", "edge_index")})
    seen = []
    for batch in head.batches("train"):
        assert batch.data.num_nodes <= 7
        assert "edge_index" not in batch.data
        assert not {"y", "train_mask"} & set(batch.data.keys())
        fields = {k: v for k, v in batch.data if k in ("x", "patterns")}
        rows = model(**fields)
        match = torch.cdist(batch.data.x, problem.data.x).argmin(1)
        torch.testing.assert_close(rows, h[match], rtol=1e-4, atol=1e-5)
        assert torch.equal(batch.labels, problem.data.y[match])
        seen += match.tolist()
    assert sorted(seen) == problem.data.train_mask.nonzero().squeeze(1).tolist()


def test_only_rows_that_are_scored_are_encoded_some_at_a_time():
    problem = task(toy(), [])
    model, sizes = MLP(6, 8, 3), []
    model.register_forward_pre_hook(lambda *call: sizes.append(len(call[2]["x"])), with_kwargs=True)
    head = NodeHead(problem, batching=RowBatches(eval_batch_size=5))
    num_val = int(problem.data.val_mask.sum())
    found = head.evaluate(model)["val"]
    assert sum(sizes) == num_val
    assert max(sizes) == 5
    assert found == pytest.approx(NodeHead(problem).evaluate(model)["val"], rel=1e-5)
    sizes.clear()
    head.test(model, problem.test_labels)
    assert sum(sizes) == len(problem.test_labels)


@pytest.mark.parametrize("name", ["adpa", "dgmlp"])
def test_training_on_rows_learns(name):
    make, transforms = ROWS[name]
    head = NodeHead(task(toy(), transforms), batching=RowBatches(batch_size=8))
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        for batch in head.batches("train"):
            optimizer.zero_grad()
            h = model(batch.data.x, patterns=batch.data.patterns)
            cross_entropy(h[batch.nodes], batch.labels).backward()
            optimizer.step()
    assert head.evaluate(model, ("train",))["train"]["accuracy"] > 0.8


@pytest.mark.parametrize("name", ["adpa", "dgmlp"])
def test_evaluation_in_little_memory_is_the_same(name):
    make, transforms = ROWS[name]
    data = task(toy(), transforms).data
    torch.manual_seed(0)
    model = make().eval()
    with torch.inference_mode():
        want = model(data.x, patterns=data.patterns)
        torch.testing.assert_close(encode_layerwise(model, data, 1e-3), want)


def test_models_that_need_edges_say_so():
    head = NodeHead(task(toy(), []), batching=RowBatches(8))
    batch = next(iter(head.batches("train")))
    from gnnzoo.models import inputs

    with pytest.raises(ValueError, match="GCN needs the field 'edge_index'"):
        inputs(GCN(6, 8, 3), batch.data)
    model = ADPA(6, 8, 3)
    with pytest.raises(ValueError, match="ADPA needs edge_index, or the field patterns"):
        model(**inputs(model, batch.data))


def test_bad_batches_are_named():
    with pytest.raises(ValueError, match="batch_size must be a whole number from 1, got 0"):
        RowBatches(0)
    with pytest.raises(ValueError, match="eval_batch_size must be a whole number from 1, got 0"):
        RowBatches(eval_batch_size=0)
