"""Sampled subgraphs: what is in them, what never is, and where the random numbers come from."""

from types import SimpleNamespace

import pytest
import torch
import torch_geometric.typing
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.data import CSRGraph, NeighborBatches, RowNormalizeFeatures, SmoothFeatures
from gnnzoo.data.neighbors import SubgraphSampler
from gnnzoo.ops import Graph, SparseFeatures, backends
from gnnzoo.ops.csr import row_entries
from tests.reference.graphs import kinds, random_edges


def whole_graph(edge_index=None, num_nodes=30) -> Data:
    """Features that name their node; a repeated edge."""
    if edge_index is None:
        edge_index = random_edges(num_nodes, 90)
        edge_index = torch.cat([edge_index, edge_index[:, :3]], dim=1)
    data = Data(x=torch.arange(num_nodes)[:, None].float(), edge_index=edge_index)
    data.num_nodes, data.y = num_nodes, torch.arange(num_nodes) % 3
    data.train_mask = data.val_mask = data.test_mask = torch.ones(num_nodes, dtype=torch.bool)
    data.edge_attr = torch.arange(edge_index.size(1)).float()
    return data


def names(part: Data) -> torch.Tensor:
    """The edges of a subgraph with the names of the whole graph's nodes."""
    return part.x[:, 0].long()[part.edge_index]


def reached(edge_index: torch.Tensor, seeds: list[int], num_hops: int) -> tuple[set, list]:
    """Slow: nodes within so many hops, and the edges into those that are one hop nearer."""
    nodes, frontier, edges = set(seeds), set(seeds), []
    for _ in range(num_hops):
        into = [(s, t) for s, t in edge_index.t().tolist() if t in frontier]
        edges += into
        frontier = {s for s, _ in into} - nodes
        nodes |= frontier
    return nodes, sorted(edges)


@pytest.mark.parametrize("num_hops", [1, 2, 3])
@pytest.mark.parametrize("kind", [None, *kinds()])
def test_all_neighbours_are_the_nodes_and_edges_within_reach(kind, num_hops):
    data = whole_graph(*kinds()[kind]) if kind else whole_graph()
    sampler = SubgraphSampler(data, [-1] * num_hops)
    seeds = list({0, data.num_nodes - 1, data.num_nodes // 2})
    for _ in range(2):  # the table of places is clean again
        part = sampler.subgraph(torch.tensor(seeds))
        nodes, edges = reached(data.edge_index, seeds, num_hops)
        assert part.x[: len(seeds), 0].tolist() == seeds
        assert sorted(part.x[:, 0].tolist()) == sorted(nodes)
        assert part.num_nodes == len(nodes)
        assert sorted(map(tuple, names(part).t().tolist())) == edges
        assert torch.equal(names(part), data.edge_index[:, part.edge_attr.long()])


@pytest.mark.parametrize("fan_out", [[1, 1], [2, 3], [4, -1, 1]])
def test_a_sample_keeps_to_the_fan_out_and_to_the_edges_there_are(fan_out):
    data = whole_graph()
    sampler = SubgraphSampler(data, fan_out)
    for seed in range(5):
        torch.manual_seed(seed)
        part = sampler.subgraph(torch.tensor([3, 17]))
        drawn = part.edge_attr.long()
        assert drawn.unique().numel() == drawn.numel()
        assert torch.equal(names(part), data.edge_index[:, drawn])
        heard = names(part)[1].bincount(minlength=30)
        degree = data.edge_index[1].bincount(minlength=30)
        assert torch.equal(heard[[3, 17]], degree[[3, 17]].clamp(max=fan_out[0]))
        assert heard.max() <= max(k if k > 0 else 99 for k in fan_out)


def test_samples_repeat_with_the_generator():
    sampler = SubgraphSampler(whole_graph(), [2, 2])
    torch.manual_seed(1)
    first, second = (sampler.subgraph(torch.tensor([0, 9])) for _ in range(2))
    torch.manual_seed(1)
    again = sampler.subgraph(torch.tensor([0, 9]))
    assert torch.equal(first.edge_attr, again.edge_attr)
    assert not torch.equal(first.edge_attr, second.edge_attr)


@pytest.mark.parametrize("batch_size", [1, 7, 10, 29, 1000])
def test_an_epoch_begins_batches_of_nearly_equal_size_with_every_node_once(batch_size):
    data, nodes = whole_graph(), torch.arange(1, 30)
    batching = NeighborBatches([2], batch_size)
    found = list(batching.epoch(SubgraphSampler(data, [2]), nodes))
    sizes = [seeds.numel() for _, seeds in found]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-29 // batch_size)
    assert sorted(torch.cat([seeds for _, seeds in found]).tolist()) == nodes.tolist()
    for part, seeds in found:
        assert torch.equal(part.x[: seeds.numel(), 0].long(), seeds)


def test_a_subgraph_carries_neither_labels_nor_masks():
    part = SubgraphSampler(whole_graph(), [-1, -1]).subgraph(torch.tensor([0]))
    assert set(part.keys()) == {"x", "edge_index", "edge_attr", "num_nodes"}


class InDegree(BaseTransform):
    """Some other field made of the edges."""

    reads_edges = True

    def forward(self, data: Data) -> Data:
        data.degree = data.edge_index[1].bincount(minlength=data.num_nodes)
        return data


def test_what_reads_edges_is_made_anew_of_the_sampled_ones():
    class Counted(RowNormalizeFeatures):
        calls = 0

        def forward(self, data):
            type(self).calls += 1
            return super().forward(data)

    transforms = [Counted(), CSRGraph(), InDegree()]
    data = whole_graph()
    for transform in transforms:
        data = transform(data)
    part = SubgraphSampler(data, [1], transforms).subgraph(torch.tensor([4, 8]))
    assert Counted.calls == 1
    assert part.graph.num_nodes == part.num_nodes
    assert part.graph.num_input_edges == part.edge_index.size(1) <= 2
    assert torch.equal(part.degree, part.edge_index[1].bincount(minlength=part.num_nodes))


def test_features_smoothed_over_all_edges_go_along_as_rows():
    transforms = [CSRGraph(), SmoothFeatures(2)]
    data = whole_graph()
    for transform in transforms:
        data = transform(data)
    seeds = torch.tensor([4, 8])
    part = SubgraphSampler(data, [1], transforms).subgraph(seeds)
    torch.testing.assert_close(part.smoothed[:2], data.smoothed[seeds])


def test_sparse_features_stay_sparse():
    data = whole_graph()
    data.x = SparseFeatures.from_dense(torch.eye(30))
    part = SubgraphSampler(data, [-1]).subgraph(torch.tensor([5]))
    assert part.x.to_dense()[0, 5] == 1
    assert part.x.shape == (part.num_nodes, 30)


def pyg_lib_sample(colptr, row, seed, num_neighbors, *_):
    """Stands in for ``torch.ops.pyg.neighbor_sample``, with every neighbour."""
    nodes, frontier, edges, targets = seed.tolist(), seed, [], []
    assert set(num_neighbors) == {-1}
    for _ in num_neighbors:
        entries, owner = row_entries(colptr, frontier)
        edges.append(entries)
        targets.append(frontier[owner])
        new = [node for node in dict.fromkeys(row[entries].tolist()) if node not in nodes]
        nodes += new
        frontier = torch.tensor(new, dtype=torch.long)
    edges, place = torch.cat(edges), {node: at for at, node in enumerate(nodes)}
    local = [[place[n] for n in ends.tolist()] for ends in (row[edges], torch.cat(targets))]
    source, target = torch.tensor(local)
    return source, target, torch.tensor(nodes), edges, [], []


def test_with_pyg_lib_its_sampler_draws_behind_the_same_call(monkeypatch):
    data, seeds = whole_graph(), torch.tensor([3, 17])
    ours = SubgraphSampler(data, [-1, -1], [CSRGraph()]).subgraph(seeds)
    monkeypatch.setattr(torch_geometric.typing, "WITH_PYG_LIB", True)
    stand_in = SimpleNamespace(neighbor_sample=pyg_lib_sample)
    monkeypatch.setattr(torch.ops, "pyg", stand_in, raising=False)
    assert backends.report()["sample/cpu"] == "pyg_lib"
    theirs = SubgraphSampler(data, [-1, -1], [CSRGraph()]).subgraph(seeds)
    assert torch.equal(theirs.x[:2, 0].long(), seeds)
    assert sorted(names(theirs).t().tolist()) == sorted(names(ours).t().tolist())
    assert torch.equal(names(theirs), data.edge_index[:, theirs.edge_attr.long()])
    assert isinstance(theirs.graph, Graph)


@pytest.mark.skipif(torch_geometric.typing.WITH_PYG_LIB, reason="pyg-lib is installed")
def test_without_pyg_lib_ours_draws():
    assert backends.report()["sample/cpu"] == "torch"
    with pytest.raises(ValueError, match="needs pyg-lib"), backends.use("pyg_lib"):
        pass


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_neighbors": []}, r"for each hop, got \[\]"),
        ({"num_neighbors": 10}, "got 10"),
        ({"num_neighbors": [5, 0]}, r"got \[5, 0\]"),
        ({"num_neighbors": [-2]}, r"got \[-2\]"),
        ({"num_neighbors": [2.5]}, r"got \[2.5\]"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1, got 0"),
        ({"memory_mib": 0}, "memory_mib must be positive, got 0"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        NeighborBatches(**settings)
