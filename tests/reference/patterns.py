"""Directed patterns on dense matrices: every word's matrix is really made."""

import math

import torch
from torch import Tensor


def word_matrix(edge_index: Tensor, num_nodes: int, pattern: str, loops: bool = True) -> Tensor:
    """Rows are sources, as in the paper; repeated edges count once, self-loops not at all."""
    a = torch.zeros(num_nodes, num_nodes, dtype=torch.float64)
    a[edge_index[0], edge_index[1]] = 1.0
    a.fill_diagonal_(0.0)
    m = torch.eye(num_nodes, dtype=torch.float64)
    for letter in pattern.split("/"):
        m = m @ (a if letter == "successors" else a.t())
    return m + torch.eye(num_nodes) if loops and "/" not in pattern else m


def normalized(m: Tensor, r: float, norm: str = "row") -> Tensor:
    rows = m.sum(1)
    columns = rows if norm == "row" else m.sum(0)
    return power(rows, r - 1)[:, None] * m * power(columns, -r)[None, :]


def power(d: Tensor, exponent: float) -> Tensor:
    out = torch.ones_like(d)
    for i, value in enumerate(d.tolist()):
        if exponent:
            out[i] = value**exponent if value else 0.0
    return out


def hop_factor(hop: int, decay: str | None) -> float:
    if decay == "official":
        return math.log(1 / hop) + 1 + 1e-6
    return math.log(1 / hop + 1) if decay == "gcnii" else 1.0


def stacks(
    x: Tensor,
    edge_index: Tensor,
    patterns: tuple[str, ...],
    num_hops: int,
    r: float,
    decay: str | None = None,
    norm: str = "row",
    loops: bool = True,
) -> Tensor:
    """``[num_nodes, 1 + num_patterns * num_hops, channels]``."""
    x = x.double()
    rows = [x]
    for pattern in patterns:
        s = normalized(word_matrix(edge_index, x.size(0), pattern, loops), r, norm)
        h = x
        for hop in range(1, num_hops + 1):
            h = s @ (hop_factor(hop, decay) * h)
            rows.append(h)
    return torch.stack(rows, dim=1)


def squash(e: Tensor, sharp: bool = False) -> Tensor:
    e = e if sharp else torch.sigmoid(e)
    return torch.exp(e) / torch.exp(e).sum()


def hop_weights(hops: Tensor, kind: str, w: Tensor, b: float, sharp: bool = False) -> Tensor:
    """Weights of one node's hops ``[num_hops + 1, channels]``, vectors really concatenated."""
    count, before = len(hops), []
    for l in range(count):  # noqa: E741
        if kind == "original":
            v = torch.cat([*hops, hops[l]])
        elif kind == "gate":
            v = hops[l]
        elif kind == "ori_ref":
            v = torch.cat([hops[0], hops[l]])
        else:
            past = torch.zeros_like(hops[0])
            if l:
                past = squash(torch.stack(before), sharp) @ hops[:l]
            v = torch.cat([hops[l], past])
        before.append(w @ v + b)
    return squash(torch.stack(before), sharp)


def adpa_node(model, rows: Tensor) -> Tensor:
    """One node through ADPA with one linear map per stream, from its row of the stack."""
    s, first, last = model.settings, model.layers[0], model.layers[-1]
    count, hops = s.num_hops, [rows[0].expand(s.num_hops + 1, -1)]
    for i in range(len(s.words)):
        hops.append(torch.cat([rows[:1], rows[1 + i * count : 1 + (i + 1) * count]]))
    weight, bias = first.linear.weight, first.linear.bias
    if first.attention is not None:
        streams = [weight[0] @ rows[0] + bias[0]]
        for i in range(len(s.words)):
            a = stream_weights(first.attention, i, hops[i + 1])
            streams.append(weight[i + 1] @ (a @ hops[i + 1]) + bias[i + 1])
        return last.linear(fused(last.attention, torch.stack(streams).relu()))
    levels = []
    for hop in range(count + 1):
        streams = [weight[g] @ hops[g][hop] + bias[g] for g in range(s.num_streams)]
        levels.append(fused(last.attention, torch.stack(streams).relu()))
    levels = torch.stack(levels)
    return last.linear(stream_weights(last.hops, 0, levels) @ levels)


def stream_weights(layer, stream: int, hops: Tensor) -> Tensor:
    if layer.kind == "none":
        return torch.ones(len(hops), dtype=hops.dtype)
    if layer.kind == "simple":
        return squash(layer.hop_logits[stream], layer.sharp)
    w = layer.local[stream]
    if layer.reference is not None:
        parts = (w, *layer.reference[stream])
        w = torch.cat(parts if layer.kind == "recursive" else (*parts[1:], w))
    return hop_weights(hops, layer.kind, w, layer.bias[stream], layer.sharp)


def fused(layer, streams: Tensor) -> Tensor:
    if layer.kind == "original":
        return torch.cat([layer.scale[g] * streams[g] for g in range(len(streams))])
    if layer.kind == "none":
        return streams.sum(0)
    if layer.kind == "jk":
        return squash(layer.lin.weight @ streams.flatten() + layer.lin.bias, layer.sharp) @ streams
    w, b = layer.lin.weight[0], layer.lin.bias[0]
    return hop_weights(streams, layer.kind, w, b, layer.sharp) @ streams
