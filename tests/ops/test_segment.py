import pytest
import torch

from gnnzoo.ops import backends, segment_max, segment_mean, segment_softmax, segment_sum
from gnnzoo.ops.segment import segment_ids
from tests.ops.test_spmm import needs_scatter

ROWPTR = torch.tensor([0, 2, 2, 5, 6], dtype=torch.int32)  # the second segment is empty
BACKENDS = ["torch", pytest.param("scatter", marks=needs_scatter)]
REDUCE = {
    segment_sum: lambda rows: rows.sum(0),
    segment_mean: lambda rows: rows.mean(0),
    segment_max: lambda rows: rows.max(0).values,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 3)])
@pytest.mark.parametrize("reduce", REDUCE)
def test_reduction_equals_a_loop(backend, shape, reduce):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    parts = [x[ROWPTR[i] : ROWPTR[i + 1]] for i in range(4)]
    want = torch.stack([REDUCE[reduce](p) if len(p) else torch.zeros_like(x[0]) for p in parts])
    with backends.use(backend):
        torch.testing.assert_close(reduce(x, ROWPTR), want)
        assert torch.autograd.gradcheck(lambda x: reduce(x, ROWPTR), x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_softmax_equals_a_loop_and_survives_large_values(backend):
    x = (torch.randn(6, 2, dtype=torch.float64) + 1000).requires_grad_()
    want = torch.cat([x[ROWPTR[i] : ROWPTR[i + 1]].softmax(0) for i in range(4)])
    with backends.use(backend):
        torch.testing.assert_close(segment_softmax(x, ROWPTR), want)
        assert torch.autograd.gradcheck(lambda x: segment_softmax(x, ROWPTR), x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_of_a_softmax_count_rows(backend):
    x = torch.randn(6, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([1.0, 2.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64, requires_grad=True)
    share = x.exp() * weight
    total = segment_sum(share, ROWPTR)[segment_ids(ROWPTR, 6)]
    want = torch.where(total > 0, share / total.clamp(min=1e-9), 0.0)
    with backends.use(backend):
        torch.testing.assert_close(segment_softmax(x, ROWPTR, weight), want)
    positive = weight.detach().add(0.5).requires_grad_()
    ids = segment_ids(ROWPTR, 6)
    assert torch.autograd.gradcheck(
        lambda *a: segment_softmax(a[0], ROWPTR, a[1], ids), (x, positive)
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_row_of_weight_0_is_as_none_whatever_its_logit(backend):
    x = torch.tensor([200.0, 0.0, 300.0], requires_grad=True)
    with backends.use(backend):
        share = segment_softmax(x, torch.tensor([0, 2, 3]), torch.tensor([0.0, 1.0, 0.0]))
    assert share.tolist() == [0.0, 1.0, 0.0]
    (grad,) = torch.autograd.grad(share.sum(), x)
    assert grad.isfinite().all()


def test_nothing_to_reduce():
    assert segment_sum(torch.empty(0, 3), torch.zeros(1, dtype=torch.long)).shape == (0, 3)
    assert segment_softmax(torch.empty(0, 3), torch.zeros(3, dtype=torch.long)).shape == (0, 3)
    with pytest.raises(ValueError, match="num_segments"):
        segment_sum(torch.empty(0, 3), torch.zeros(0, dtype=torch.long))
