"""Beside the checks that all transforms pass in test_transforms.py."""

import multiprocessing
import warnings

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from gnnzoo.data import CSRGraph, DirectedPatterns, NeighborBatches, SparsifyFeatures, pattern_cache
from gnnzoo.data import patterns as module
from gnnzoo.data.neighbors import SubgraphSampler
from tests.reference import patterns as reference
from tests.reference.graphs import random_edges


def toy(density: float = 0.6) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(9, 7, generator=generator)
    x = x * (torch.rand(9, 7, generator=generator) < density)
    return Data(x=x, edge_index=random_edges(9, 24), num_nodes=9)


@pytest.fixture
def count(monkeypatch):
    """How often something was propagated."""
    pattern_cache.forget()
    calls = []

    def counted(*args):
        calls.append(args)
        return original(*args)

    original = module.fill_patterns
    monkeypatch.setattr(module, "fill_patterns", counted)
    yield lambda: len(calls)
    pattern_cache.forget()


@pytest.fixture(params=["memory", "disk"])
def cached(request, tmp_path):
    folder = tmp_path / "cache" if request.param == "disk" else None

    def make(**settings):
        return DirectedPatterns(**settings, cache=request.param, cache_dir=folder)

    return make


@pytest.mark.parametrize("density", [0.6, 0.05])
def test_the_field_holds_features_and_hops(density):
    data = toy(density)
    transform = DirectedPatterns(num_hops=3, r=0.25, hop_decay="gcnii")
    found = transform(data).patterns
    want = reference.stacks(data.x, data.edge_index, transform.settings.patterns, 3, 0.25, "gcnii")
    torch.testing.assert_close(found, want.float())
    sparse = SparsifyFeatures(max_density=1.0)(data)
    torch.testing.assert_close(transform(sparse).patterns, want.float())
    assert torch.equal(transform(CSRGraph()(data)).patterns, found)


def test_a_graph_of_other_edges_is_not_believed():
    data = CSRGraph()(toy())
    data.edge_index = data.edge_index.flip(0)
    fresh = toy()
    fresh.edge_index = fresh.edge_index.flip(0)
    assert torch.equal(DirectedPatterns()(data).patterns, DirectedPatterns()(fresh).patterns)


def test_mostly_zero_features_can_be_left_alone_and_nothing_old_is_left():
    transform = DirectedPatterns(skip_mostly_zero=True)
    data = transform(toy())
    assert "patterns" in data
    data.x = toy(0.05).x
    assert "patterns" not in transform(data)
    assert "patterns" in data
    assert "patterns" in DirectedPatterns()(data)


def test_the_second_call_computes_nothing(cached, count):
    first = cached()(toy()).patterns
    again = cached()(toy()).patterns
    assert count() == 1
    assert torch.equal(first, again)
    assert torch.equal(first, DirectedPatterns()(toy()).patterns)


CHANGES = [
    {"num_hops": 1},
    {"order": 1},
    {"patterns": ["predecessors", "successors"]},
    {"r": 0.25},
    {"norm": "dir"},
    {"self_loops": False},
    {"hop_decay": "gcnii"},
    {"dtype": "float64"},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_every_setting_is_part_of_the_key(cached, count, change):
    cached(order=1)(toy()) if "patterns" in change else cached()(toy())
    found = cached(**change)(toy()).patterns
    assert count() == 2
    assert torch.equal(found, DirectedPatterns(**change)(toy()).patterns)


def test_other_contents_compute_anew_and_order_of_edges_does_not_count(cached, count):
    data = toy()
    cached()(data)
    data.x[0, 0] += 1
    changed = cached()(data).patterns
    assert count() == 2
    assert changed[0, 0, 0] == data.x[0, 0]
    data.edge_index = data.edge_index[:, 3:]
    cached()(data)
    assert count() == 3
    data.edge_index = data.edge_index.flip(1)
    cached()(data)
    assert count() == 3
    module_version = module.FORMAT
    try:
        module.FORMAT = -1
        cached()(data)
    finally:
        module.FORMAT = module_version
    assert count() == 4


def test_what_somebody_wrote_to_is_not_handed_out_again(cached, count):
    want = cached()(toy()).patterns.clone()
    cached()(toy()).patterns.zero_()
    assert torch.equal(cached()(toy()).patterns, want)


def test_memory_keeps_the_last_few_only(count):
    for hops in range(pattern_cache.MAX_KEPT + 1):
        DirectedPatterns(num_hops=hops, cache="memory")(toy())
    DirectedPatterns(num_hops=1, cache="memory")(toy())
    assert count() == pattern_cache.MAX_KEPT + 1
    DirectedPatterns(num_hops=0, cache="memory")(toy())
    assert count() == pattern_cache.MAX_KEPT + 2


def spoil_middle(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "one bit": spoil_middle,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "empty": lambda path: path.write_bytes(b""),
    "no checksum": lambda path: np.save(path, np.zeros((9, 13, 7), np.float32)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_rejected_and_made_anew(damage, count, tmp_path):
    transform = DirectedPatterns(cache="disk", cache_dir=tmp_path)
    want = transform(toy()).patterns.clone()
    (path,) = tmp_path.glob("*.npy")
    DAMAGE[damage](path)
    with pytest.warns(UserWarning, match="damaged or of another form"):
        found = transform(toy()).patterns
    assert torch.equal(found, want)
    assert count() == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        transform(toy())
    assert count() == 2
    assert list(tmp_path.iterdir()) == [path]  # no temporary file is left


def test_a_file_holds_no_pickle_and_any_numpy_reads_it(count, tmp_path):
    want = DirectedPatterns(cache="disk", cache_dir=tmp_path)(toy()).patterns
    (path,) = tmp_path.glob("*.npy")
    assert np.array_equal(np.load(path, allow_pickle=False), want.numpy())


def write(folder, start, results):
    torch.set_num_threads(1)
    start.wait()
    results.put(DirectedPatterns(cache="disk", cache_dir=folder)(toy()).patterns.sum().item())


def test_several_writers_at_once_do_no_harm(tmp_path):
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(4), context.Queue()
    workers = [context.Process(target=write, args=(tmp_path, start, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = {results.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join(timeout=60)
    assert found == {DirectedPatterns()(toy()).patterns.sum().item()}
    assert len(list(tmp_path.iterdir())) == 1


def test_files_go_to_the_data_root(workspace, monkeypatch):
    monkeypatch.setenv("GNNZOO_DATA", str(workspace / "data"))
    DirectedPatterns(cache="disk")(toy())
    assert len(list((workspace / "data" / "cache" / "patterns").glob("*.npy"))) == 1


def test_half_precision_and_degenerate_graphs():
    half = DirectedPatterns(dtype="float16")(toy()).patterns
    assert half.dtype == torch.float16
    torch.testing.assert_close(
        half.float(), DirectedPatterns()(toy()).patterns, rtol=1e-3, atol=1e-3
    )
    none = torch.empty(2, 0, dtype=torch.long)
    for nodes in (0, 1, 3):
        data = Data(x=torch.ones(nodes, 2), edge_index=none, num_nodes=nodes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found = DirectedPatterns(cache="memory")(data).patterns
        assert found.shape == (nodes, 13, 2)
        assert (found[:, 5:] == 0).all()  # no walk of two steps


def test_rows_go_along_in_samples():
    transforms = [CSRGraph(), DirectedPatterns()]
    data = toy()
    for transform in transforms:
        data = transform(data)
    seeds = torch.tensor([4, 7])
    part = SubgraphSampler(data, NeighborBatches().num_neighbors, transforms).subgraph(seeds)
    assert torch.equal(part.patterns[:2], data.patterns[seeds])


def test_an_undirected_graph_is_told_of():
    data = toy()
    data.edge_index = torch.cat([data.edge_index, data.edge_index.flip(0)], dim=1)
    with pytest.warns(
        UserWarning, match=r"coincide; patterns=\[successors,successors/successors\]"
    ):
        DirectedPatterns()(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        DirectedPatterns(patterns=["successors", "successors/successors"])(data)


def test_settings_are_checked_and_shown():
    assert repr(DirectedPatterns(1, order=1)) == (
        "DirectedPatterns(num_hops=1, patterns=['successors', 'predecessors'], r=0.5)"
    )
    with pytest.raises(ValueError, match="cache must be one of None, 'memory', 'disk', got 'gpu'"):
        DirectedPatterns(cache="gpu")
    with pytest.raises(ValueError, match=r"dtype must be null or one of float16.*got 'int8'"):
        DirectedPatterns(dtype="int8")
    with pytest.raises(ValueError, match=r"floating point node features x, got torch\.int64"):
        DirectedPatterns()(Data(x=torch.ones(9, 2).long(), edge_index=toy().edge_index))
    with pytest.raises(ValueError, match="features x, got none"):
        DirectedPatterns()(Data(edge_index=toy().edge_index, num_nodes=9))
