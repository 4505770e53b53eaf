"""Operations, layers and encoders give on CUDA what they give on the CPU, gradients included."""

import pytest
import torch

from gnnzoo.nn import DAGNNProp, FeatureLinear, GCNConv
from gnnzoo.ops import Graph, SparseFeatures, backends, segment_softmax, segment_sum, spmm
from gnnzoo.registry import create_model, list_models

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
NODES, CHANNELS = 200, 12
SETTINGS = {
    "gatedgcn": {"edge_features": "ones"},
    "linkx": {"num_nodes": NODES},
    "nsd": {"undirected": "symmetrize"},
    "cnsd": {"undirected": "symmetrize"},
    "nsd_connection": {"undirected": "symmetrize"},
}
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture
def graph():
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(NODES, (2, 1500), generator=generator)
    return Graph.from_edge_index(edges, NODES)


@pytest.fixture
def x():
    return torch.randn(NODES, CHANNELS, generator=torch.Generator().manual_seed(1))


def both(function, module, *tensors):
    """Results and gradients of ``function(module, device, *tensors)`` on both devices."""
    found = []
    for device in ("cpu", "cuda"):
        placed = module.to(device) if module is not None else None
        leaves = [tensor.detach().to(device).requires_grad_() for tensor in tensors]
        out = function(placed, device, *leaves)
        out.square().sum().backward()
        grads = [leaf.grad for leaf in leaves]
        if placed is not None:
            grads += [parameter.grad.clone() for parameter in placed.parameters()]
            placed.zero_grad()
        found.append([value.detach().cpu() for value in (out, *grads)])
    for on_cpu, on_cuda in zip(*found, strict=True):
        torch.testing.assert_close(on_cuda, on_cpu, **CLOSE)


@pytest.mark.parametrize("backend", ["csr", "torch"])
def test_spmm_and_its_gradients(graph, x, backend):
    def product(_, device, values):
        moved = graph.to(device)
        with backends.use(backend):
            return spmm(moved.matrix(values), x.to(device))

    both(product, None, torch.rand(graph.slot.numel()) + 0.1)


@pytest.mark.parametrize("reduce", [segment_sum, segment_softmax])
def test_segment_reductions(x, reduce):
    rowptr = torch.tensor([0, 3, 3, 50, NODES])
    both(lambda _, device, values: reduce(values, rowptr.to(device)), None, x)


@pytest.mark.parametrize("memory", ["store", "recompute"])
def test_dagnn_propagation(graph, x, memory):
    layer = DAGNNProp(CHANNELS, num_hops=5, memory=memory)
    both(lambda module, device, values: module(values, graph.to(device)), layer, x)


def test_gcn_layer(graph, x):
    both(lambda module, device, values: module(values, graph.to(device)), GCNConv(CHANNELS, 5), x)


def test_sparse_features(x):
    sparse = SparseFeatures.from_dense(x.relu())
    layer = FeatureLinear(CHANNELS, 4)
    both(lambda module, device: module(sparse.to(device)), layer)


@pytest.mark.parametrize("name", list_models())
def test_every_encoder(graph, x, name):
    encoder = create_model(name, CHANNELS, 4, **SETTINGS.get(name, {})).eval()
    both(lambda module, device, values: module(values, graph.to(device)), encoder, x)
