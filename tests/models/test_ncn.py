"""Encoder and predictor of neural common neighbour together."""

import pytest
import torch

from gnnzoo.models import NCNMPNN
from gnnzoo.models.ncn_mpnn import AGGREGATIONS, PURE
from gnnzoo.nn import NCNCPredictor, NCNPredictor
from gnnzoo.ops import Graph, SparseFeatures, drop_links
from tests.reference.graphs import random_edges

F64 = torch.float64

# Encoder settings, those of the predictor beside layer norm, and the published number of weights.
PUBLISHED = {
    "ppa": (
        (58, 64, {"num_layers": 3, "conv": "gcn", "residual": True, "num_embeddings": 58}),
        {"tail_act": True},
        33_538,
        None,
    ),
    "ddi": (
        (0, 224, {"conv": "puresum", "residual": True, "num_embeddings": 4268}),
        {"node_mlp": True, "two_layer": True},
        1_412_098,
        None,
    ),
    "collab": (
        (128, 64, {"conv": "gcn", "residual": True}),
        {"node_mlp": True, "tail_act": True},
        33_922,
        38_147,
    ),
    "cora": ((1433, 256, {"jk": True}), {"node_mlp": True, "tail_act": True}, 764_163, 830_212),
    "citeseer": (
        (3703, 256, {"jk": True}),
        {"node_mlp": True, "tail_act": True, "two_layer": True},
        1_411_587,
        1_477_636,
    ),
    "pubmed": ((500, 256, {"jk": True}), {"node_mlp": True, "tail_act": True}, 525_315, 591_364),
    "citation2": (
        (128, 64, {"num_layers": 3, "residual": True}),
        {"node_mlp": True, "tail_act": True},
        33_794,
        None,
    ),
}


def count(*modules: torch.nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_the_published_number_of_weights(name):
    (in_channels, width, settings), predictor, ncn, ncnc = PUBLISHED[name]
    encoder = NCNMPNN(in_channels, width, layer_norm=True, **settings)
    assert count(encoder, NCNPredictor(width, layer_norm=True, **predictor)) == ncn
    if ncnc is not None:  # the published ones always have a learned prior, used or not
        model = NCNCPredictor(width, layer_norm=True, learn_pt=True, **predictor)
        assert count(encoder, model) == ncnc
        model = NCNCPredictor(width, layer_norm=True, **predictor)
        assert count(encoder, model) == ncn


@pytest.mark.parametrize("conv", [*AGGREGATIONS, *PURE])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_removed_links_are_as_if_they_had_never_been(conv, num_layers):
    torch.manual_seed(0)
    n, width = 20, 16
    edges = random_edges(n, 40, undirected=True, loops=False)
    graph = Graph.from_edge_index(edges, n)
    links = edges[:, edges[0] < edges[1]][:, :7]
    gone = {tuple(pair) for pair in torch.cat([links, links.flip(0)], dim=1).T.tolist()}
    rest = torch.tensor([pair for pair in edges.T.tolist() if tuple(pair) not in gone]).T
    x = SparseFeatures.from_dense(torch.randn(n, 6, dtype=F64).relu())
    encoder = NCNMPNN(6, width, num_layers, conv, residual=True, layer_norm=True).double()
    seen, anew = drop_links(graph, links), Graph.from_edge_index(rest, n)
    for predictor in (
        NCNPredictor(width, node_mlp=True),
        NCNCPredictor(width, node_mlp=True, offset=0.0),
    ):
        predictor = predictor.double()
        outs, grads = [], []
        for part in (seen, anew):
            out = predictor(encoder(x, part), part, links)
            outs.append(out)
            weights = [*encoder.parameters(), *predictor.parameters()]
            grads.append(torch.autograd.grad(out.sum(), weights))
        torch.testing.assert_close(outs[0], outs[1])
        torch.testing.assert_close(grads[0], grads[1])
        full = predictor(encoder(x, graph), graph, links)
        assert not torch.allclose(full, outs[0])
