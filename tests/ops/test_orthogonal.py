import math

import pytest
import torch

from gnnzoo.ops.orthogonal import METHODS, num_parameters, orthogonal_maps
from tests.reference.orthogonal import orthogonal_map

F64 = torch.float64
CASES = [(m, d) for m in METHODS for d in range(1, 9) if m != "euler" or d <= 3]
EACH = pytest.mark.parametrize(("method", "dim"), CASES)


def some(method, dim, num=7, dtype=F64, scale=1.0):
    generator = torch.Generator().manual_seed(dim)
    shape = (num, num_parameters(dim, method))
    return torch.randn(shape, dtype=dtype, generator=generator) * scale


@EACH
@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 30.0])
def test_equals_one_matrix_at_a_time(method, dim, scale):
    params = some(method, dim, scale=scale).requires_grad_()
    goal = torch.randn(7, dim, dim, dtype=F64)
    ours = orthogonal_maps(params, dim, method)
    theirs = torch.stack([orthogonal_map(p, dim, method) for p in params])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
    if dim > 1:
        torch.testing.assert_close(
            torch.autograd.grad((ours * goal).sum(), params),
            torch.autograd.grad((theirs * goal).sum(), params),
            rtol=1e-8,
            atol=1e-10,
        )


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_is_orthogonal_with_the_determinant_of_its_method(method, dim, dtype, scale):
    q = orthogonal_maps(some(method, dim, 50, dtype, scale), dim, method)
    eye = torch.eye(dim, dtype=dtype).expand_as(q)
    tight = {"rtol": 0, "atol": 20 * torch.finfo(dtype).eps}
    if dim > 3 and method in ("cayley", "exp"):  # as the library leaves them
        tight["atol"] *= 5 if scale == 1.0 else 300
    torch.testing.assert_close(q.mT @ q, eye, **tight)
    sign = (-1.0) ** dim if method == "householder" else 1.0
    torch.testing.assert_close(torch.linalg.det(q), torch.full((50,), sign, dtype=dtype), **tight)


@EACH
def test_gradcheck(method, dim):
    for scale in (0.0, 1.0):
        params = some(method, dim, 3, scale=scale).requires_grad_()
        assert torch.autograd.gradcheck(lambda p: orthogonal_maps(p, dim, method), params)


@EACH
def test_float32_is_as_good_as_its_precision(method, dim):
    params = some(method, dim, 200).tanh()
    narrow = params.float().requires_grad_()
    wide = narrow.detach().double().requires_grad_()
    goal = torch.randn(200, dim, dim)
    ours, exact = (orthogonal_maps(p, dim, method) for p in (narrow, wide))
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=3e-6)
    if dim > 1:
        (ours,) = torch.autograd.grad((ours * goal).sum(), narrow)
        (exact,) = torch.autograd.grad((exact * goal).sum(), wide)
        assert (ours - exact).abs().max() < 2e-6 * exact.abs().max()


@EACH
@pytest.mark.parametrize("num", [0, 1])
def test_few_matrices(method, dim, num):
    params = some(method, dim, num).requires_grad_()
    out = orthogonal_maps(params, dim, method)
    assert out.shape == (num, dim, dim)
    out.sum().backward()
    assert params.grad.shape == params.shape


def test_last_reflection_is_among_them():
    params = torch.zeros(1, 3)
    want = -torch.eye(3)
    torch.testing.assert_close(orthogonal_maps(params, 3), want.unsqueeze(0))


def test_parameters_are_read_row_by_row():
    params = torch.tensor([[0.1, 0.2, 0.3]], dtype=F64)
    q = orthogonal_maps(params * 1e-6, 3, "exp")[0] * 1e6
    below = torch.stack([q[1, 0], q[2, 0], q[2, 1]])
    torch.testing.assert_close(below, params[0], rtol=0, atol=1e-6)


def test_turns_go_the_known_way():
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=F64)
    known = {"exp": math.pi / 2, "euler": 0.25, "cayley": 2.0, "householder": -1.0}
    for method, value in known.items():
        q = orthogonal_maps(torch.tensor([[value]], dtype=F64), 2, method)[0]
        torch.testing.assert_close(q, quarter)


@EACH
def test_layout_of_parameters_and_gradient_does_not_matter(method, dim):
    params = some(method, dim)
    goal = torch.randn(dim, dim, 7, dtype=F64).permute(2, 0, 1)
    found = []
    for p in (params, params.t().contiguous().t()):
        p = p.detach().requires_grad_()
        q = orthogonal_maps(p, dim, method)
        assert q.is_contiguous()
        q.backward(goal)
        found.append(p.grad)
    q = orthogonal_maps(params.requires_grad_(), dim, method)
    q.sum().backward()  # an expanded gradient
    ones = orthogonal_maps(p := params.detach().requires_grad_(), dim, method)
    ones.backward(torch.ones(7, dim, dim, dtype=F64))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(params.grad, p.grad)


@EACH
def test_half_precision_is_computed_in_float32_also_under_autocast(method, dim):
    params = some(method, dim, dtype=torch.float32)
    want = orthogonal_maps(params, dim, method)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(orthogonal_maps(params, dim, method), want)
    half = params.bfloat16().requires_grad_()
    out = orthogonal_maps(half, dim, method)
    assert out.dtype == torch.float32
    out.sum().backward()
    assert half.grad.dtype == torch.bfloat16


def test_compiles_without_a_break():
    params = some("householder", 3)
    step = torch.compile(
        lambda p: orthogonal_maps(p.tanh(), 3).square().sum((1, 2)), backend="aot_eager",
        fullgraph=True,
    )  # fmt: skip
    ours, theirs = params.clone().requires_grad_(), params.clone().requires_grad_()
    goal = torch.randn(7, 3, 3, dtype=F64)
    (step(ours).sum() + (orthogonal_maps(ours, 3) * goal).sum()).backward()
    (
        orthogonal_maps(theirs.tanh(), 3).square().sum() + (orthogonal_maps(theirs, 3) * goal).sum()
    ).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.library.opcheck(
        torch.ops.gnnzoo.orthogonal_maps.default, (params.requires_grad_(), 3, "householder")
    )


@pytest.mark.parametrize(
    ("params", "dim", "method", "message"),
    [
        (torch.zeros(4, 2), 3, "exp", r"\[num, 3\] for exp maps of dim 3, got \[4, 2\]"),
        (torch.zeros(3), 3, "exp", r"got \[3\]"),
        (torch.zeros(4, 3, dtype=torch.long), 3, "exp", "floating point, got torch.int64"),
        (torch.zeros(4, 6), 4, "euler", "dim up to 3, got 4; use method='householder'"),
        (torch.zeros(4, 0), 0, "exp", "at least 1, got 0"),
        (torch.zeros(4, 1), 2, "given", "'householder', 'cayley', 'exp', 'euler', got 'given'"),
    ],
)
def test_bad_input_is_named(params, dim, method, message):
    with pytest.raises(ValueError, match=message):
        orthogonal_maps(params, dim, method)
