"""The reference that sheaf layers are raced against computes what they compute."""

import pytest
import torch
from torch import nn

from gnnzoo.bench.sheaf import edges_and_reverse
from gnnzoo.bench.stock_sheaf import StockNSD, StockSheafConv
from gnnzoo.models import NSD
from gnnzoo.nn import SheafConv
from gnnzoo.ops import as_sheaf_graph
from tests.reference.graphs import random_edges

F64 = torch.float64
GRAPH = as_sheaf_graph(random_edges(9, 14, undirected=True), 9)


def copy_layer(theirs, ours):
    with torch.no_grad():
        for linear, learner in (
            (theirs.learner, ours.learner),
            (theirs.weight_learner, ours.weight_learner),
        ):
            if linear is not None:
                linear.weight.copy_(torch.cat([*learner.weight], dim=1))
        theirs.left.weight.copy_(ours.left)
        theirs.right.weight.copy_(ours.right)
        theirs.epsilon.copy_(ours.epsilon.unsqueeze(1))


@pytest.mark.parametrize("maps", ["diag", "bundle", "general"])
def test_layers_give_the_same(maps):
    ours = SheafConv(4, 4, 3, maps, edge_weights=maps == "bundle").double()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.5)
    theirs = StockSheafConv(4, 3, maps).double().eval()  # no noise on degrees
    copy_layer(theirs, ours)
    x = torch.randn(9, 12, dtype=F64)
    torch.testing.assert_close(theirs(x, **edges_and_reverse(GRAPH)), ours(x, GRAPH))


@pytest.mark.parametrize("maps", ["diag", "bundle", "general"])
def test_models_give_the_same(maps):
    ours = NSD(6, 4, 3, 2, 3, maps).double().eval()
    theirs = StockNSD(6, 4, 3, 2, 3, maps, dropout=0.5).double().eval()
    theirs.first.load_state_dict(ours.embedding.linear.state_dict())
    theirs.last.load_state_dict(ours.classifier.state_dict())
    for conv, layer in zip(theirs.convs, ours.layers, strict=True):
        copy_layer(conv, layer.conv)
    x = torch.randn(9, 6, dtype=F64)
    torch.testing.assert_close(theirs(x, **edges_and_reverse(GRAPH)), ours(x, GRAPH))
