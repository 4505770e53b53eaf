"""Attention as one operator: equal to the dense equations, and as lean as it says."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from gnnzoo.nn import GATConv
from gnnzoo.ops import CSR, Graph, attend, backends
from tests.ops.test_spmm import BACKENDS
from tests.reference.graphs import kinds, random_edges

F64 = torch.float64


def rectangle():
    torch.manual_seed(0)
    return CSR.from_coo(torch.randint(6, (14,)), torch.randint(4, (14,)), 7, 4)[0]  # an empty row


def operands(csr, channels=3):
    """x, source, target, weight and factor; some weights are zero."""
    torch.manual_seed(1)
    shapes = ((csr.num_cols, channels), (csr.num_cols,), (csr.num_rows,))
    x, source, target = (torch.randn(shape, dtype=F64, requires_grad=True) for shape in shapes)
    weight = torch.rand(csr.num_entries, dtype=F64).add(0.1).requires_grad_()
    factor = torch.randint(3, (csr.num_entries,)).double()
    return x, source, target, weight, factor


def dense(csr, x, source, target, weight=None, factor=None, slope=0.2):
    index = (csr.row.long(), csr.col.long())
    ones = x.new_ones(csr.num_entries)
    place = lambda values: x.new_zeros(csr.shape).index_put(index, values)  # noqa: E731
    share = F.leaky_relu(target[:, None] + source[None, :], slope).exp()
    share = share * place(ones if weight is None else weight)
    total = share.sum(1, keepdim=True)
    share = share / torch.where(total > 0, total, 1.0)
    return share * place(ones if factor is None else factor) @ x


@pytest.mark.parametrize("given", ["", "weight", "factor", "weight factor"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_result_and_gradients_equal_the_dense_ones(backend, given):
    csr = rectangle()
    x, source, target, weight, factor = operands(csr)
    weight, factor = weight if "weight" in given else None, factor if "factor" in given else None
    leaves = [t for t in (x, source, target, weight) if t is not None]
    goal = torch.randn(csr.num_rows, 3, dtype=F64)
    with backends.use(backend):
        ours = attend(csr, x, source, target, weight, factor, 0.1)
        grads = torch.autograd.grad((ours * goal).sum(), leaves)
    want = dense(csr, x, source, target, weight, factor, 0.1)
    torch.testing.assert_close(ours, want)
    torch.testing.assert_close(grads, torch.autograd.grad((want * goal).sum(), leaves))


@pytest.mark.parametrize("kind", kinds())
def test_awkward_graphs_and_no_channels(kind):
    edge_index, n = kinds()[kind]
    csr = Graph.from_edge_index(edge_index, n).csr
    for channels in (0, 1, 5):
        x, source, target, *_ = operands(csr, channels)
        out = attend(csr, x, source, target)
        torch.testing.assert_close(out, dense(csr, x, source, target))
        (grad,) = torch.autograd.grad(out.sum(), x)
        assert grad.shape == x.shape


def test_gradcheck():
    csr = rectangle()
    *leaves, factor = operands(csr)
    assert torch.autograd.gradcheck(lambda *a: attend(csr, *a, factor), leaves)


def test_logits_far_apart_are_shifted_row_by_row():
    csr = rectangle()
    x, source, target, weight, factor = operands(csr)
    with torch.no_grad():
        target.mul_(1000)
    out = attend(csr, x, source, target, weight, factor)
    near = attend(csr, x, source, target.sign() * 10, weight, factor)
    torch.testing.assert_close(out, near)  # a shift of a row changes nothing while signs stay
    assert torch.autograd.gradcheck(
        lambda *a: attend(csr, *a, factor), (x, source, target, weight), atol=1e-4
    )


def test_a_row_of_zero_weights_is_zero_and_so_are_its_gradients():
    csr = rectangle()
    x, source, target, weight, _ = operands(csr)
    row = int(csr.row[0])
    weight = torch.where(csr.row == row, 0.0, weight)
    out = attend(csr, x, source, target, weight)
    assert out[row].count_nonzero() == 0
    (grad,) = torch.autograd.grad(out.sum(), target)
    assert grad.isfinite().all()
    assert grad[row] == 0


@pytest.mark.parametrize("score", [20.0, 200.0])
def test_an_entry_of_weight_0_is_as_none_whatever_its_score(score):
    csr = CSR.from_coo(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)[0]
    x, target = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(1)
    source = torch.tensor([score, 0.0])
    weight = torch.tensor([0.0, 1.0], requires_grad=True)
    out = attend(csr, x, source, target, weight)
    assert out.tolist() == [[3.0, 4.0]]
    (grad,) = torch.autograd.grad(out.sum(), weight)
    assert grad.isfinite().all()


def test_heads_are_separate_graphs():
    csr = rectangle()
    heads, entry = csr.interleaved(2)
    x, source, target, weight, _ = operands(heads)
    weight = weight[: csr.num_entries]
    out = attend(heads, x, source, target, weight[entry]).view(7, 2, 3)
    for k in range(2):
        want = attend(csr, x[k::2], source[k::2], target[k::2], weight)
        torch.testing.assert_close(out[:, k], want)


class Sizes(TorchDispatchMode):
    """Notes the number of elements of every dense tensor that comes out of an operation."""

    def __init__(self):
        super().__init__()
        self.found = [0]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
                self.found.append(tensor.numel())
        return out


@pytest.mark.parametrize("heads", [1, 2])
def test_no_tensor_of_edges_times_channels_is_made(heads):
    channels = 32
    graph = Graph.from_edge_index(torch.randint(50, (2, 2000)), 50)
    conv = GATConv(4, channels, heads=heads, dropout=0.5)
    x = torch.randn(50, 4, requires_grad=True)
    conv(x, graph).sum().backward()  # what the graph keeps is made once
    with backends.use("csr"), Sizes() as sizes:
        conv(x, graph).sum().backward()
    limit = max(heads * (graph.num_edges + 50), 50 * heads * channels)
    assert max(sizes.found) <= limit < graph.num_edges * channels


def test_second_derivative_is_refused():
    csr = rectangle()
    x, source, target, *_ = operands(csr)
    out = attend(csr, x, source, target).square().sum()
    (grad,) = torch.autograd.grad(out, x, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        grad.sum().backward()


def test_registered_operator_passes_torchs_own_checks():
    csr = rectangle()
    other, perm = csr.transposed()
    patterns = (csr.rowptr, csr.col, csr.row, other.rowptr, other.col, perm)
    x, source, target, weight, factor = operands(csr)
    for given in ((weight, factor), (None, None)):
        args = (x, source, target, *given, *patterns, 0.2)
        torch.library.opcheck(torch.ops.gnnzoo.attend.default, args)


def test_half_precision_is_computed_in_float32():
    csr = rectangle()
    x, source, target, *_ = (t.detach().bfloat16() for t in operands(csr))
    out = attend(csr, x, source, target)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, dense(csr, x.float(), source.float(), target.float()))


def test_what_does_not_fit_is_named():
    csr = rectangle()
    x, source, target, weight, _ = operands(csr)
    with pytest.raises(ValueError, match=r"x must have shape \[4, channels\], got \[3, 3\]"):
        attend(csr, x[:3], source, target)
    with pytest.raises(ValueError, match=r"target must have shape \[7\], got \[4\]"):
        attend(csr, x, source, source)
    with pytest.raises(ValueError, match=r"weight must have shape \[\d+\], got \[1\]"):
        attend(csr, x, source, target, weight[:1])


def test_one_seed_gives_one_result():
    conv, x, edge_index = GATConv(5, 3, dropout=0.5), torch.randn(9, 5), random_edges(9, 24)
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        runs.append(conv(x, edge_index))
    assert torch.equal(*runs)
