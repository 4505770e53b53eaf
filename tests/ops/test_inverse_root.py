import pytest
import torch

from gnnzoo.ops.closed_roots import closed_root, closed_root_backward
from gnnzoo.ops.inverse_root import METHODS, inverse_root, pseudo_inverse_root

F64 = torch.float64
DIMS = pytest.mark.parametrize("dim", [1, 2, 3, 4, 5])
BOTH = pytest.mark.parametrize("method", METHODS)


def with_eigenvalues(values, num=20, dtype=F64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.as_tensor(values, dtype=F64)
    shape = (num, values.size(-1), values.size(-1))
    q = torch.linalg.qr(torch.randn(shape, dtype=F64, generator=generator))[0]
    a = (q * values.unsqueeze(-2)) @ q.mT
    return (0.5 * (a + a.mT)).to(dtype)


def some(dim, num=20, dtype=F64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = 1.0 + 30.0 * torch.rand(num, dim, dtype=F64, generator=generator)
    return with_eigenvalues(values, num, dtype, seed)


def slow_root(a):
    """One matrix at a time: the symmetric root by its eigenvalues."""
    out = []
    for matrix in a.double():
        values, vectors = torch.linalg.eigh(matrix)
        out.append(
            sum(torch.outer(v, v) / t.sqrt() for t, v in zip(values, vectors.T, strict=True))
        )
    return torch.stack(out)


@DIMS
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_symmetric_root_equals_one_matrix_at_a_time(dim, dtype):
    a = some(dim, dtype=dtype)
    root = inverse_root(a)
    assert root.dtype == dtype
    torch.testing.assert_close(root, root.mT, rtol=0, atol=1e-7)
    tight = {"rtol": 0, "atol": 1e-7 if dtype == torch.float32 else 1e-13}
    torch.testing.assert_close(root.double(), slow_root(a), **tight)


@DIMS
def test_cholesky_gives_the_inverse_of_the_lower_factor(dim):
    a = some(dim)
    want = torch.linalg.inv(torch.linalg.cholesky(a))
    torch.testing.assert_close(inverse_root(a, "cholesky"), want)


@BOTH
@DIMS
def test_root_takes_its_matrix_to_the_identity(method, dim):
    a = some(dim)
    root = inverse_root(a, method)
    eye = torch.eye(dim, dtype=F64).expand_as(a)
    torch.testing.assert_close(root @ a @ root.mT, eye)


@BOTH
@DIMS
@pytest.mark.parametrize("where", ["twice the identity", "somewhere", "two equal eigenvalues"])
def test_gradcheck(method, dim, where):
    if where == "twice the identity":
        a = 2.0 * torch.eye(dim, dtype=F64).repeat(2, 1, 1)
    elif where == "somewhere":
        a = some(dim, 3)
    else:
        a = with_eigenvalues([2.0] * max(dim - 1, 1) + [5.0] * min(dim - 1, 1), 3)
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: inverse_root(a, method), a)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize(
    "values", [(2.0, 2.0, 2.0), (1.0, 1.0, 7.0), (1.0, 7.0, 7.0), (1.0, 1.0 + 1e-9, 3.0), (1, 4, 9)]
)
def test_closed_forms_and_their_gradients_equal_those_by_eigenvectors(dim, values):
    a, goal = with_eigenvalues(values[:dim]), with_eigenvalues((-1.0, 0.5, 2.0)[:dim], seed=1)
    root = closed_root(a.permute(1, 2, 0))
    torch.testing.assert_close(root.permute(2, 0, 1), slow_root(a))
    lengths, vectors = torch.linalg.eigh(slow_root(a))
    inner = vectors.mT @ goal @ vectors
    x, y = lengths.unsqueeze(1), lengths.unsqueeze(2)
    want = vectors @ (-(x**2) * y**2 / (x + y) * inner) @ vectors.mT
    found = closed_root_backward(root, goal.permute(1, 2, 0)).permute(2, 0, 1)
    torch.testing.assert_close(found, want)


@DIMS
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e5])
@pytest.mark.parametrize("equal", ["small", "large", "none", "nearly"])
def test_hubs_keep_their_digits_in_float32(dim, condition, equal):
    values = {
        "small": [1.0] * (dim - 1) + [condition],
        "large": [1.0] + [condition] * (dim - 1),
        "none": torch.logspace(0, 1, dim, base=condition).tolist(),
        "nearly": [1.0 + 1e-6 * k for k in range(dim - 1)] + [condition],
    }[equal]
    a = with_eigenvalues(values, 200, torch.float32)
    exact = a.double().requires_grad_()
    a.requires_grad_()
    goal = torch.randn(a.shape)
    ours, theirs = inverse_root(a), slow_root(exact)
    torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-6)
    (ours,) = torch.autograd.grad((ours * goal).sum(), a)
    (theirs,) = torch.autograd.grad((inverse_root(exact) * goal).sum(), exact)
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


@BOTH
@DIMS
def test_only_the_symmetric_part_is_read(method, dim):
    a = some(dim)
    skew = torch.randn_like(a)
    bent = (a + skew - skew.mT).requires_grad_()
    straight = a.clone().requires_grad_()
    goal = torch.randn_like(a)
    out = [inverse_root(m, method) for m in (bent, straight)]
    for root in out:
        (root * goal).sum().backward()
    torch.testing.assert_close(*out)
    torch.testing.assert_close(bent.grad, straight.grad)


@BOTH
@DIMS
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("num", [0, 1])
def test_few_matrices(method, dim, dtype, num):
    a = some(dim, num, dtype).requires_grad_()
    out = inverse_root(a, method)
    out.sum().backward()
    assert out.shape == a.grad.shape == (num, dim, dim)
    assert pseudo_inverse_root(a).shape == (num, dim, dim)


@BOTH
@DIMS
def test_half_precision_comes_out_as_float32_also_under_autocast(method, dim):
    a = some(dim).bfloat16()
    want = inverse_root(a.float(), method)
    assert torch.equal(inverse_root(a, method), want)
    with torch.autocast("cpu", torch.bfloat16):
        a.requires_grad_()
        out = inverse_root(a, method)
        assert torch.equal(out, want)
        out.sum().backward()
    assert a.grad.dtype == torch.bfloat16
    assert a.grad.isfinite().all()


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_pseudo_inverse_keeps_zeros_and_has_no_gradient(dim):
    values = torch.tensor([0.0] * (dim - 1) + [9.0], dtype=F64)
    a = torch.cat([with_eigenvalues(values, 5), torch.zeros(1, dim, dim, dtype=F64), some(dim, 5)])
    for matrices, tight in ((a, 1e-10), (a.float(), 1e-6)):
        root = pseudo_inverse_root(matrices.requires_grad_())
        assert not root.requires_grad
        want = torch.linalg.pinv(a, rcond=1e-5, hermitian=True)
        torch.testing.assert_close((root @ root).double(), want, rtol=0, atol=tight)
        assert not root[5].any()
        torch.testing.assert_close(root[6:], inverse_root(matrices[6:]).detach())


@pytest.mark.parametrize(
    ("name", "dim", "dtype"),
    [
        ("closed_inverse_root", 3, torch.float32),
        ("eigh_inverse_root", 4, F64),
        ("inverse_factor", 3, F64),
    ],
)
def test_registered_operators_pass_torchs_own_checks(name, dim, dtype):
    operator = getattr(torch.ops.gnnzoo, name).default
    a = some(dim, 4, dtype).requires_grad_()
    # Eigenvectors are kept for the gradient of the root and have none themselves.
    checks = ["test_schema", "test_faketensor", "test_autograd_registration"]
    torch.library.opcheck(operator, (a,), test_utils=checks)


@BOTH
@pytest.mark.parametrize("dim", [2, 3, 4])
def test_compiles_without_a_break(method, dim):
    a, goal = some(dim, 6, torch.float32), torch.randn(6, dim, dim)
    step = torch.compile(
        lambda a: (inverse_root(a * 2, method) * goal).sum(), backend="aot_eager", fullgraph=True
    )
    ours, theirs = a.clone().requires_grad_(), a.clone().requires_grad_()
    step(ours).backward()
    (inverse_root(theirs * 2, method) * goal).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@BOTH
@pytest.mark.parametrize("dim", [2, 4])
def test_second_derivative_is_refused(method, dim):
    a = some(dim, 2).requires_grad_()
    (grad,) = torch.autograd.grad(inverse_root(a, method).sum(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("matrices", "method", "message"),
    [
        (torch.zeros(4, 3, 2), "eigh", r"\[num, dim, dim\], got \[4, 3, 2\]"),
        (torch.zeros(3, 3), "eigh", r"got \[3, 3\]"),
        (torch.zeros(4, 0, 0), "eigh", r"got \[4, 0, 0\]"),
        (torch.zeros(4, 2, 2, dtype=torch.long), "eigh", "floating point, got torch.int64"),
        (torch.zeros(4, 2, 2), "svd", "'eigh' or 'cholesky', got 'svd'"),
    ],
)
def test_bad_input_is_named(matrices, method, message):
    with pytest.raises(ValueError, match=message):
        inverse_root(matrices, method)
