"""DAGNN's layer and encoder in the training loop that PyG's own examples use."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnnzoo.models import DAGNN
from gnnzoo.nn import DAGNNProp
from gnnzoo.ops import Graph

NODES, CLASSES = 40, 3


class Net(nn.Module):
    """Somebody's own model with one of our layers in it."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, CLASSES)
        self.propagate = DAGNNProp(CLASSES, num_hops=4)

    def forward(self, x, edge_index):
        return self.propagate(self.linear(x), edge_index)


def make_data() -> Data:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(NODES) % CLASSES
    edges = torch.randint(NODES, (2, 300), generator=generator)
    edges = to_undirected(edges[:, y[edges[0]] == y[edges[1]]], num_nodes=NODES)
    x = torch.randn(NODES, 8, generator=generator)
    return Data(x=x, edge_index=edges, y=y, train_mask=torch.arange(NODES) < 20)


FORMS = {
    "tensor": lambda data: data.edge_index,
    "edge_index": lambda data: EdgeIndex(data.edge_index.contiguous(), sparse_size=(NODES, NODES)),
    "graph": lambda data: Graph.from_edge_index(data.edge_index, NODES),
}


def train(model: nn.Module, form: str, epochs: int = 30) -> list[float]:
    data = make_data()
    edge_index = FORMS[form](data)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        out = model(data.x, edge_index)
        loss = cross_entropy(out[data.train_mask], data.y[data.train_mask])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def make(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return Net() if kind == "layer" else DAGNN(8, 16, CLASSES, num_hops=4, dropout=0.0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["layer", "encoder"])
def test_it_learns_from_every_form_of_the_edges(kind, form):
    losses = train(make(kind), form)
    assert losses[-1] < 0.7 * losses[0]
    assert losses == pytest.approx(train(make(kind), "tensor"), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["tensor", "edge_index"])
@pytest.mark.parametrize("kind", ["layer", "encoder"])
def test_a_compiled_loop_learns_the_same(kind, form):
    model = make(kind)
    compiled = torch.compile(model, backend="aot_eager")
    assert train(compiled, form, epochs=5) == pytest.approx(
        train(make(kind), form, epochs=5), rel=1e-4
    )
