"""Functions registered as operators of torch, and called directly where nobody compiles."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter


class Operator:
    """One function, twice: registered for compilers, plain for everybody else.

    The registration keeps a function whole in a compiled graph. A call through it takes 50 to 150
    microseconds more, as long as a sparse product on a small graph; eager code goes around it.

    Args:
        name: As torch shows it, such as ``gnnzoo::spmm``.
        function: What it does, without autograd; fully annotated, its first argument a tensor. The
            results must not share memory with the arguments.
        fake: Makes results of the right shape from the same arguments.
        backward: Gradients, from the context and the gradients of the results; may call operators.
        save: Puts on the context what `backward` reads, given inputs and output.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        fake: Callable[..., Any],
        backward: Callable[..., Any],
        save: Callable[..., None] | None = None,
    ) -> None:
        self.function = function
        self.registered = torch.library.custom_op(name, function, mutates_args=())
        self.registered.register_fake(fake)
        self.registered.register_autograd(backward, setup_context=save)

        class Eager(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *args: Any) -> Any:
                output = function(*args)
                if save is not None:
                    save(ctx, args, output)
                return output

        Eager.backward = staticmethod(backward)
        self._eager = Eager

    def __call__(self, *args: Any) -> Any:
        # While a graph is traced tensors are of other types, also where nothing says so.
        if torch.compiler.is_compiling() or type(args[0]) not in (Tensor, Parameter):
            return self.registered(*args)
        if not torch.is_grad_enabled():
            return self.function(*args)
        return self._eager.apply(*args)


def refuse_double_backward(*_: object) -> None:
    raise RuntimeError("gnnzoo's sparse products have no second derivative (create_graph=True)")
