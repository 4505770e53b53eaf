"""An operator gives the same on both of its ways, and compilers see the registered one."""

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._subclasses.fake_tensor import FakeTensorMode

from gnnzoo.ops.operator import Operator, refuse_double_backward

CALLS = []


def _cube(x: Tensor) -> Tensor:
    CALLS.append(type(x))
    return x**3


def _cube_backward(grad: Tensor, x: Tensor) -> Tensor:
    return 3 * x.square() * grad


cube_backward = Operator(
    "gnnzoo_tests::cube_backward",
    _cube_backward,
    lambda grad, x: torch.empty_like(x),
    refuse_double_backward,
)
cube = Operator(
    "gnnzoo_tests::cube",
    _cube,
    lambda x: torch.empty_like(x),
    lambda ctx, grad: cube_backward(grad, *ctx.saved_tensors),
    lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


def test_both_ways_give_the_same_with_the_same_gradient():
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    for way in (cube, cube.registered):
        torch.testing.assert_close(way(x), x**3)
        (grad,) = torch.autograd.grad(way(x).sum(), x)
        torch.testing.assert_close(grad, 3 * x.square())
    assert torch.autograd.gradcheck(cube, x)
    with torch.inference_mode():
        torch.testing.assert_close(cube(x), x**3)
    torch.library.opcheck(torch.ops.gnnzoo_tests.cube.default, (x,))


@pytest.mark.parametrize("way", [cube, cube.registered])
def test_second_derivatives_are_refused_on_both_ways(way):
    x = torch.randn(5, requires_grad=True)
    (grad,) = torch.autograd.grad(way(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        grad.sum().backward()


def test_tracing_never_runs_the_function_itself():
    with FakeTensorMode():
        x = torch.randn(5, requires_grad=True)
        CALLS.clear()
        out = cube(x)
        out.sum().backward()
    assert not CALLS
    assert out.shape == x.grad.shape == (5,)


def test_compiled_code_holds_the_operator_and_its_backward_pass_whole():
    seen = []

    def note(graph, _):
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return make_boxed_func(graph.forward)

    step = torch.compile(
        lambda x: cube(x * 2).sum(),
        backend=aot_autograd(fw_compiler=note, bw_compiler=note),
        fullgraph=True,
    )
    x = torch.randn(5, requires_grad=True)
    step(x).backward()
    torch.testing.assert_close(x.grad, 24 * x.detach().square())
    assert "gnnzoo_tests.cube.default" in seen
    assert "gnnzoo_tests.cube_backward.default" in seen
