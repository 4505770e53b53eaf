"""Pooling equals a loop over graphs, empty ones included."""

import pytest
import torch
from torch_geometric.nn.aggr import AttentionalAggregation

from gnnzoo.nn import GraphPooling

PTR = torch.tensor([0, 3, 3, 4, 9, 9])


def dense(pooling: GraphPooling, h):
    rows = []
    for start, stop in zip(PTR[:-1].tolist(), PTR[1:].tolist(), strict=True):
        part = h[start:stop]
        if start == stop:
            rows.append(torch.zeros_like(h[0]))
        elif pooling.pooling == "attention":
            rows.append((pooling.gate(part).softmax(dim=0) * part).sum(dim=0))
        elif pooling.pooling == "max":
            rows.append(part.max(dim=0).values)
        else:
            rows.append(getattr(part, pooling.pooling)(dim=0))
    return torch.stack(rows)


@pytest.mark.parametrize("kind", ["sum", "mean", "max", "attention"])
def test_it_equals_a_loop_over_graphs(kind):
    torch.manual_seed(0)
    pooling = GraphPooling(kind, 4).double()
    h = (torch.randn(9, 4).double() - 3).requires_grad_()  # all negative: a maximum is not 0
    torch.testing.assert_close(pooling(h, PTR), dense(pooling, h))
    assert torch.autograd.gradcheck(lambda value: pooling(value, PTR), (h,))
    assert repr(pooling) == f"GraphPooling({kind!r})"


def test_attention_is_that_of_pyg():
    torch.manual_seed(0)
    pooling, h = GraphPooling("attention", 4), torch.randn(9, 4)
    theirs = AttentionalAggregation(pooling.gate)
    batch = torch.arange(5).repeat_interleave(PTR.diff())
    torch.testing.assert_close(pooling(h, PTR), theirs(h, batch, dim_size=5))


def test_attention_with_large_logits_stays_finite():
    pooling = GraphPooling("attention", 4)
    h = torch.randn(9, 4) * 1e4
    assert pooling(h, PTR).isfinite().all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"pooling must be one of.*got 'set2set'"):
        GraphPooling("set2set", 4)
    with pytest.raises(ValueError, match="channels must be an integer of at least 1, got 0"):
        GraphPooling("sum", 0)


def test_parameters_start_anew():
    pooling = GraphPooling("attention", 4)
    before = pooling.gate[0].weight.clone()
    pooling.reset_parameters()
    assert not torch.equal(pooling.gate[0].weight, before)
