"""Slow classics on dense matrices, written from the equations."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.reference.dense import adjacency, gcn_norm


def with_loops(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Adjacency, rows as targets, with exactly one self-loop of weight 1 per node."""
    a = adjacency(edge_index, num_nodes)
    return a - torch.diag(a.diagonal()) + torch.eye(num_nodes, dtype=a.dtype)


def mean(a: Tensor) -> Tensor:
    degree = a.sum(1, keepdim=True)
    return torch.where(degree > 0, a / degree.clamp(min=1e-300), 0.0)


def gcn(conv, x: Tensor, edge_index: Tensor) -> Tensor:
    """D^-1/2 (A + I) D^-1/2 x W + b; repeated self-loops count as one."""
    loops = edge_index[0] == edge_index[1]
    a = gcn_norm(edge_index[:, ~loops], x.size(0))
    return a @ x @ conv.lin.weight.T + conv.bias


def sage(conv, x: Tensor, edge_index: Tensor) -> Tensor:
    if conv.add_self_loops:
        a = with_loops(edge_index, x.size(0))
    else:
        a = adjacency(edge_index, x.size(0))
    return mean(a) @ x @ conv.lin_l.weight.T + conv.lin_l.bias + x @ conv.lin_r.weight.T


def gat(conv, x: Tensor, edge_index: Tensor) -> Tensor:
    """Heads side by side; attention over in-neighbours and the node itself."""
    a = with_loops(edge_index, x.size(0))
    outs = []
    for k in range(conv.heads):
        rows = slice(k * conv.out_channels, (k + 1) * conv.out_channels)
        h = x @ conv.lin.weight[rows].T
        source, target = h @ conv.att_src[0, k], h @ conv.att_dst[0, k]
        logits = F.leaky_relu(target[:, None] + source[None, :], conv.negative_slope)
        share = a * logits.exp()
        outs.append(share / share.sum(1, keepdim=True) @ h)
    out = torch.cat(outs, 1) if conv.concat else sum(outs) / conv.heads
    return out if conv.bias is None else out + conv.bias


def gin(conv, x: Tensor, edge_index: Tensor) -> Tensor:
    return conv.nn(adjacency(edge_index, x.size(0)) @ x + (1 + conv.eps) * x)


def appnp(a: Tensor, x: Tensor, num_hops: int, alpha: float) -> Tensor:
    h = x
    for _ in range(num_hops):
        h = (1 - alpha) * a @ h + alpha * x
    return h


def gcnii_layer(conv, a: Tensor, x: Tensor, x_0: Tensor) -> Tensor:
    s = (1 - conv.alpha) * a @ x + conv.alpha * x_0
    return (1 - conv.beta) * s + conv.beta * s @ conv.weight1


def gated(conv, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> tuple[Tensor, Tensor]:
    """One edge after the other."""
    q, z = [], conv.lin_self(x)
    top, bottom = torch.zeros_like(z), torch.zeros_like(z)
    for (j, i), e in zip(edge_index.t().tolist(), edge_attr, strict=True):
        q.append(conv.lin_target(x[i]) + conv.lin_source(x[j]) + conv.lin_edge(e))
        gate = q[-1].sigmoid()
        top = top.index_add(0, torch.tensor([i]), (gate * conv.lin_value(x[j]))[None])
        bottom = bottom.index_add(0, torch.tensor([i]), gate[None])
    return z + top / (bottom + 1e-6), torch.stack(q) if q else z.new_zeros(0, z.size(1))


CONVS = {"GCN": gcn, "SAGE": sage, "GAT": gat, "GIN": gin}


def conv_net(model, x: Tensor, edge_index: Tensor) -> Tensor:
    """A `ConvNet` without dropout, virtual node and edge weights, one layer after the other."""
    conv = CONVS[type(model).__name__]
    h, states = x, []
    if model.input_linear is not None:
        h = model.input_linear.linear(h)
    for layer in model.layers:
        z = conv(layer.conv, h, edge_index)
        if layer.residual is not None:
            z = z + layer.residual(h)
        h = layer.act(layer.norm(z))
        states.append(h)
    h = sum(states) if model.jumping else h
    return h if model.classifier is None else model.classifier.linear(h)
