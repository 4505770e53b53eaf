"""Operations, layers and encoders give on CUDA what they give on the CPU, gradients included."""

from dataclasses import replace

import pytest
import torch
from torch_geometric.data import Data

from gnnzoo.data import GraphDataset, RandomLinks
from gnnzoo.heads import LinkHead
from gnnzoo.models import inputs
from gnnzoo.nn import (
    BidirectionalMamba,
    DAGNNProp,
    DotPredictor,
    FeatureLinear,
    GCNConv,
    NCNCPredictor,
    NCNPredictor,
)
from gnnzoo.nn.ncn_predictor import VARIANTS
from gnnzoo.ops import (
    Bags,
    Graph,
    SparseFeatures,
    backends,
    drop_links,
    neighbor_overlap,
    pool_bags,
    sample_bags,
    segment_softmax,
    segment_sum,
    spmm,
)
from gnnzoo.registry import create_model, list_models
from tests.reference.graphs import random_edges

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
NODES, CHANNELS = 200, 12
SETTINGS = {
    "gatedgcn": {"edge_features": "ones"},
    "gine": {"edge_features": "ones"},
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


@pytest.mark.parametrize(
    "settings", [{"ssm": "ssd"}, {"ssm": "s6"}, {"ssm": "s6", "share_proj": False}]
)
def test_mamba_layers(settings):
    layer = BidirectionalMamba(CHANNELS, head_dim=4, **settings)
    ids = torch.tensor([0, 3]).repeat_interleave(torch.tensor([50, NODES - 50]))
    x = torch.randn(NODES, CHANNELS, generator=torch.Generator().manual_seed(1))
    both(lambda module, device, values: module(values, ids.to(device)), layer, x)


@pytest.mark.parametrize("name", sorted({*list_models()} - {"deepsets", "fingerprint"}))
def test_every_encoder(graph, x, name):
    encoder = create_model(name, CHANNELS, 4, **SETTINGS.get(name, {})).eval()
    both(lambda module, device, values: module(values, graph.to(device)), encoder, x)


@pytest.mark.parametrize("backend", ["triton", "torch", "dense"])
@pytest.mark.parametrize("max_items", [50, 2**24])
def test_overlaps_and_removed_links(graph, backend, max_items):
    pairs = torch.cat([torch.randint(NODES, (2, 300)), graph.edge_index[:, ::7]], dim=1)
    part = drop_links(graph, graph.edge_index[:, ::5])
    for whole in (graph, part):
        want = neighbor_overlap(whole, pairs, differences=True)
        with backends.use(backend):
            moved = neighbor_overlap(whole.to("cuda"), pairs.cuda(), True, max_items)
        for name in ("common", "first_only", "second_only"):
            ours, theirs = getattr(moved, name), getattr(want, name)
            assert torch.equal(ours.offsets.cpu(), theirs.offsets)
            assert torch.equal(ours.node.cpu(), theirs.node)
    on_cuda = drop_links(graph.to("cuda"), graph.edge_index[:, ::5].cuda())
    assert torch.equal(on_cuda.edge_index.cpu(), part.edge_index)
    assert torch.equal(on_cuda.gcn_norm().to_dense().cpu() > 0, part.gcn_norm().to_dense() > 0)


def test_sums_over_bags(x):
    bags = Bags(torch.tensor([0, 2, 2, 7]), torch.tensor([0, 3, 0, 1, 2, 3, 4]))

    def pooled(_, device, x, weight):
        return pool_bags(x, Bags(bags.offsets.to(device), bags.node.to(device)), weight)

    both(pooled, None, x, torch.rand(7))
    sampled, weight = sample_bags(
        Bags(bags.offsets.cuda(), bags.node.cuda()), 2, torch.Generator("cuda").manual_seed(0)
    )
    assert sampled.counts().tolist() == [2, 0, 2]
    assert weight.tolist() == [1.0, 1.0, 2.5, 2.5]


PREDICTORS = {
    "dot": lambda: DotPredictor(CHANNELS),
    **{f"{variant}": lambda v=variant: NCNPredictor(CHANNELS, v) for variant in VARIANTS},
    "ncnc": lambda: NCNCPredictor(CHANNELS, node_mlp=True, table=False),
    "ncnc, by a table": lambda: NCNCPredictor(CHANNELS, node_mlp=True, table=True),
    "ncnc2": lambda: NCNCPredictor(CHANNELS, depth=2, table=False),
}


@pytest.mark.parametrize("name", PREDICTORS)
def test_predictors_of_links(graph, x, name):
    pairs = torch.randint(NODES, (2, 300), generator=torch.Generator().manual_seed(2))
    torch.manual_seed(0)
    predictor = PREDICTORS[name]()

    def scores(module, device, values):
        return module(values, graph.to(device), pairs.to(device))

    def scored(module, device, values):
        return module.scorer(values, graph.to(device))(pairs.to(device))

    both(scores, predictor, x)
    both(scored, predictor, x)


@pytest.mark.parametrize("copies", [True, "copies"])
def test_link_head(x, copies):
    edges = random_edges(NODES, 900, undirected=True)
    data = Data(x=x, edge_index=edges, edge_weight=edges.sum(0).float(), num_nodes=NODES)
    dataset = GraphDataset("toy", data, "0" * 64)
    task = RandomLinks(metric="auc", val_edges_at_test=True)(dataset, seed=0)
    torch.manual_seed(0)
    encoder, predictor = create_model("gcn", CHANNELS, 8).eval(), NCNPredictor(8)
    found = []
    for device in ("cpu", "cuda"):
        moved = replace(task, data=task.data.clone().to(device))
        head = LinkHead(moved, predictor, 50, copies, metrics=["mrr", "ap"]).to(device)
        encoder.to(device)
        found.append((head.evaluate(encoder)["val"], head.test(encoder, task.test)))
        for batch in head.batches("train"):
            h = encoder(**inputs(encoder, batch.data))
            head.loss(h, batch).backward()
            assert not has_any(batch.graph, batch.pairs[:, : batch.num_positives])
    for on_cpu, on_cuda in zip(*found, strict=True):
        assert on_cuda == pytest.approx(on_cpu, rel=1e-2)


def has_any(graph, pairs):
    there = {tuple(edge) for edge in graph.edge_index.t().tolist()}
    return any(tuple(pair) in there for pair in pairs.t().tolist())
