from importlib import import_module

import pytest
import torch

from gnnzoo.ops import CSR, Graph, SparseMatrix, backends, spmm
from gnnzoo.ops.spmm import compute_dtype, edge_dot
from tests.reference.graphs import kinds

F64 = torch.float64
needs_scatter = pytest.mark.skipif(not backends.has_scatter(), reason="torch-scatter not installed")
BACKENDS = ["csr", "torch", pytest.param("scatter", marks=needs_scatter)]


def rectangle(dtype=F64):
    torch.manual_seed(0)
    csr, _ = CSR.from_coo(torch.randint(6, (14,)), torch.randint(4, (14,)), 6, 4)
    return SparseMatrix(csr, torch.randn(csr.num_entries, dtype=dtype))


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_edge_carries_its_source_to_its_target(backend):
    source, target = 2, 0
    graph = Graph.from_edge_index(torch.tensor([[source], [target]]), 3)
    x = torch.tensor([[1.0], [2.0], [4.0]])
    with backends.use(backend):
        out = spmm(graph.matrix(torch.tensor([0.5])), x)
    assert out.tolist() == [[2.0], [0.0], [0.0]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_product_and_gradients_equal_the_dense_ones(backend):
    matrix, x = rectangle(), torch.randn(4, 3, dtype=F64, requires_grad=True)
    matrix.values.requires_grad_()
    goal = torch.randn(6, 3, dtype=F64)
    with backends.use(backend):
        ours = torch.autograd.grad((spmm(matrix, x) * goal).sum(), (matrix.values, x))
        torch.testing.assert_close(spmm(matrix, x), matrix.to_dense() @ x)
    theirs = torch.autograd.grad((matrix.to_dense() @ x * goal).sum(), (matrix.values, x))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradcheck(backend):
    matrix, x = rectangle(), torch.randn(4, 3, dtype=F64, requires_grad=True)
    values = matrix.values.clone().requires_grad_()
    with backends.use(backend):
        assert torch.autograd.gradcheck(
            lambda v, x: spmm(SparseMatrix(matrix.csr, v), x), (values, x)
        )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", kinds())
def test_awkward_graphs_and_no_channels(backend, kind):
    edge_index, n = kinds()[kind]
    matrix = Graph.from_edge_index(edge_index, n).matrix()
    with backends.use(backend):
        for channels in (0, 1, 5):
            x = torch.randn(n, channels, requires_grad=True)
            out = spmm(matrix, x)
            out.sum().backward()
            torch.testing.assert_close(out, matrix.to_dense() @ x)
            assert x.grad.shape == x.shape


def test_no_nodes():
    matrix = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.long), 0).gcn_norm()
    assert spmm(matrix, torch.empty(0, 3)).shape == (0, 3)


def test_gradient_to_values_in_chunks_is_the_same(monkeypatch):
    matrix, x = rectangle(), torch.randn(4, 3, dtype=F64)
    values = matrix.values.requires_grad_()
    with backends.use("torch"):
        whole = torch.autograd.grad(spmm(matrix, x).square().sum(), values)
        monkeypatch.setattr(import_module("gnnzoo.ops.spmm"), "CHUNK_ELEMENTS", 7)
        parts = torch.autograd.grad(spmm(matrix, x).square().sum(), values)
    torch.testing.assert_close(whole, parts)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("channels", [1, 4, 7, 8, 17])
def test_dot_products_of_any_width_equal_the_dense_ones(channels, dtype):
    csr = rectangle().csr
    left, right = torch.randn(6, channels, dtype=dtype), torch.randn(4, channels, dtype=dtype)
    want = (left @ right.T)[csr.row.long(), csr.col.long()]
    for backend in ("csr", "torch"):
        with backends.use(backend):
            found = edge_dot(left, right, csr.rowptr, csr.col, csr.row)
        torch.testing.assert_close(found, want)


def test_half_precision_is_computed_in_float32():
    matrix = rectangle(torch.float32)
    x = torch.randn(4, 3, dtype=torch.bfloat16)
    assert compute_dtype(x) == torch.float32
    assert spmm(matrix, x).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        out = spmm(matrix, x)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, matrix.to_dense() @ x.float())


def test_a_transposed_operand_is_read_right():
    matrix, x = rectangle(), torch.randn(3, 4, dtype=F64).t()
    torch.testing.assert_close(spmm(matrix, x), matrix.to_dense() @ x)


def test_second_derivative_is_refused():
    x = torch.randn(4, 3, dtype=F64, requires_grad=True)
    (grad,) = torch.autograd.grad(spmm(rectangle(), x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(5, 3), r"\[4, channels\].*\[5, 3\]"),
        (torch.zeros(4), r"got \[4\]"),
        (torch.zeros(4, 3, dtype=torch.long), "floating point"),
        (torch.zeros(4, 3, device="meta"), "meta"),
    ],
)
def test_bad_operands_are_named(x, message):
    with pytest.raises(ValueError, match=message):
        spmm(rectangle(), x)


def test_wrong_number_of_values_is_named():
    with pytest.raises(ValueError, match=r"must have shape \[\d+\], got \[1\]"):
        SparseMatrix(rectangle().csr, torch.zeros(1))


def test_registered_operators_pass_torchs_own_checks():
    matrix, x = rectangle(), torch.randn(4, 3, dtype=F64, requires_grad=True)
    csr, other = matrix.csr, matrix.transposed()
    args = (x, matrix.values.requires_grad_(), csr.rowptr, csr.col)
    rest = (other.values, other.csr.rowptr, other.csr.col, csr.row)
    torch.library.opcheck(torch.ops.gnnzoo.spmm.default, (*args, *rest))


def test_product_compiles_without_a_break():
    graph = Graph.from_edge_index(torch.randint(6, (2, 20)), 6)
    graph.gcn_norm()
    x = torch.randn(6, 3)
    step = torch.compile(
        lambda x: spmm(graph.gcn_norm(), x * 2).relu(), backend="aot_eager", fullgraph=True
    )
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    step(ours).sum().backward()
    spmm(graph.gcn_norm(), theirs * 2).relu().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_report_names_a_back_end_for_every_operation():
    report = backends.report()
    assert {"spmm/cpu", "segment/cpu"} <= report.keys()
    with backends.use("torch"):
        assert set(backends.report().values()) == {"torch"}
    assert backends.report() == report


def test_unknown_back_end_is_refused():
    with pytest.raises(ValueError, match=r"'abacus'; there are csr"), backends.use("abacus"):
        pass


@pytest.mark.parametrize("weighted", [False, True])
def test_x_is_kept_for_the_gradient_to_the_values_only(weighted):
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3)
    matrix = graph.matrix(torch.ones(3, requires_grad=True) if weighted else None)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        spmm(matrix, torch.randn(3, 7, requires_grad=True))
    assert (torch.Size([3, 7]) in kept) == weighted
