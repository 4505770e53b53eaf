from importlib import import_module

import pytest
import torch

from gnnzoo.ops import Graph, gated_hops, spare
from tests.reference.graphs import random_edges

SOURCE = import_module("gnnzoo.ops.gated_hops")  # the function of that name hides the module
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _small_buffers_count(monkeypatch):
    monkeypatch.setattr(spare, "MIN_BYTES", 16)
    spare.release()
    yield
    spare.release()


def test_the_memory_is_used_again_once_no_tensor_refers_to_it():
    first = spare.large_empty((4, 5), torch.float32, CPU)
    where = first.data_ptr()
    view = first[1:]
    del first
    assert spare.large_empty((4, 5), torch.float32, CPU).data_ptr() != where
    spare.release()
    del view
    second = spare.large_empty((4, 5), torch.float32, CPU)
    where = second.data_ptr()
    del second
    assert spare.large_empty((2, 5), torch.float64, CPU).data_ptr() == where


def test_another_size_gets_memory_of_its_own():
    first = spare.large_empty((4, 5), torch.float32, CPU)
    second = spare.large_empty((4, 6), torch.float32, CPU)
    first.fill_(1.0)
    second.fill_(2.0)
    assert first.shape == (4, 5)
    assert bool((first == 1.0).all())
    del first, second
    assert spare.large_empty((4, 5), torch.float32, CPU).shape == (4, 5)
    assert spare.large_empty((2, 5), torch.float32, CPU).shape == (2, 5)


def test_two_graphs_of_autograd_alive_at_once_do_not_share_hops():
    graph, matrix = _graph()
    z = torch.randn(graph.num_nodes, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, dtype=torch.float64)
    alone = [_gradient(matrix, scale * z, z, weight) for scale in (1.0, 2.0)]
    outs = [gated_hops(matrix, scale * z, weight, None, 4)[0] for scale in (1.0, 2.0)]
    for out, expected in zip(outs, alone, strict=True):
        for _ in range(2):  # the hops are still there for a second walk
            (found,) = torch.autograd.grad(out.square().sum(), z, retain_graph=True)
            torch.testing.assert_close(found, expected)


def test_rows_in_chunks_give_the_same_gradients(monkeypatch):
    graph, matrix = _graph()
    z = torch.randn(graph.num_nodes, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, dtype=torch.float64)
    expected = _gradient(matrix, z, z, weight)
    monkeypatch.setattr(SOURCE, "GROUP_ELEMENTS", 1)
    monkeypatch.setattr(SOURCE, "CHUNK_ELEMENTS", 7)
    for memory in ("store", "recompute"):
        torch.testing.assert_close(_gradient(matrix, z, z, weight, memory), expected)


def _graph():
    graph = Graph.from_edge_index(random_edges(11, 30), 11)
    return graph, graph.gcn_norm(dtype=torch.float64)


def _gradient(matrix, z, leaf, weight, memory="store"):
    out, _ = gated_hops(matrix, z, weight, None, 4, memory)
    return torch.autograd.grad(out.square().sum(), leaf)[0]
