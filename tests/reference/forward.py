"""Small graphs for the tests of forward-only training, and SF written with dense matrices."""

import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnnzoo.data import NodeTask
from gnnzoo.train import ForwardOnly
from gnnzoo.train.forward.layer_list import LayerChain
from gnnzoo.train.forward.plans import AllTogether, LayerByLayer


def communities(num_nodes=60, channels=6, num_classes=3, seed=0, noise=1.0):
    """Classes that both edges and features tell; a third of the nodes each to train, val, test."""
    random = torch.Generator().manual_seed(seed)
    y = torch.arange(num_nodes) % num_classes
    x = noise * torch.randn(num_nodes, channels, generator=random)
    x[torch.arange(num_nodes), y] += 2
    pairs = torch.randint(num_nodes, (2, 8 * num_nodes), generator=random)
    keep = (y[pairs[0]] == y[pairs[1]]) | (torch.rand(pairs.size(1), generator=random) < 0.1)
    part = torch.randperm(num_nodes, generator=random) % 3
    return Data(
        x=x,
        edge_index=to_undirected(pairs[:, keep], num_nodes=num_nodes),
        y=y,
        train_mask=part == 0,
        val_mask=part == 1,
        test_mask=part == 2,
    )


def hidden_test(data, num_classes=3):
    """The task, with labels of test nodes taken away."""
    own = data.clone()
    own.y = torch.where(data.test_mask, -1, data.y)
    return NodeTask(own, data.y[data.test_mask], num_classes, 0, "", "accuracy")


def cut(layers, task, method="sf", seed=0, **settings):
    """A `ForwardModel` of a list of layers."""
    torch.manual_seed(seed)
    return ForwardOnly(method, **settings).cut(LayerChain(layers()), task)


def fields(data):
    return {"x": data.x, "edge_index": data.edge_index}


def schedule(model, data, lr=0.01):
    """The phases of a model on a graph."""
    trainer = ForwardOnly(lr=lr, weight_decay=0.0)
    if model.method.joint:
        return AllTogether(model, fields(data), trainer.make_optimizer, model.method.clip_norm)
    nodes = data.val_mask.nonzero().squeeze(1)
    return LayerByLayer(model, fields(data), nodes, trainer.make_optimizer, None)


def dense_sf(data, weights, biases, virtual, temperature=1.0):
    """Losses and mean probabilities of SF on GCN layers, with dense matrices and loops.

    Returns:
        A loss for each layer, and ``[num_nodes, num_classes]``.
    """
    n, k = data.num_nodes, virtual.size(0)
    adjacency = torch.eye(n + k, dtype=virtual.dtype)
    for source, target in data.edge_index.t().tolist():
        adjacency[target, source] = 1
    nodes = data.train_mask.nonzero().flatten().tolist()
    for node in nodes:
        c = n + int(data.y[node])
        adjacency[node, c] = adjacency[c, node] = 1
    degree = adjacency.sum(1)
    norm = adjacency / degree.sqrt().unsqueeze(1) / degree.sqrt().unsqueeze(0)
    h, losses, total = torch.cat([data.x.to(virtual.dtype), virtual]), [], 0
    for weight, bias in zip(weights, biases, strict=True):
        h = h.detach()
        unit = torch.stack([row / (row.norm() + 1e-8) for row in h])
        h = (norm @ unit @ weight.t() + bias).relu()
        logits = h[:n] @ h[n:].t() / temperature
        losses.append(-torch.stack([logits[i].log_softmax(0)[data.y[i]] for i in nodes]).mean())
        total = total + logits.softmax(1)
    return losses, total / len(losses)
