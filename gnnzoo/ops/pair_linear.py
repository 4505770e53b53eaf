r"""A linear map of the features of both ends of every half-edge, as one operator.

.. math:: y_k = V_0 s_{v} + V_1 s_{u}, \qquad k = (v \leftarrow u), \quad s = f \odot x

with a factor f, as of dropout. The matrices are applied to nodes and the results added up along
the half-edges, which is exact and makes no tensor of edges x channels.
"""

import torch
from torch import Tensor

from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.sheaf_graph import SheafGraph
from gnnzoo.ops.spmm import multiply


def pair_linear(x: Tensor, weight: Tensor, graph: SheafGraph, factor: Tensor | None) -> Tensor:
    """Apply the map; float32 or float64.

    Args:
        x: Features.
        weight: The matrices for receivers and for senders.
        graph: The half-edges.
        factor: Factor of each feature, without a gradient; None for 1.

    Shapes:
        x, factor: ``[num_nodes, channels]``.
        weight: ``[2, out_channels, channels]``.
        returns: ``[num_half_edges, out_channels]``.

    Raises:
        RuntimeError: On a second derivative.
    """
    return _pair_linear(x, weight, factor, *pair_rows(graph, x.dtype))[0]


def pair_rows(graph: SheafGraph, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """The last five arguments of `pair_forward`."""
    roles = graph.roles(dtype)
    other = roles.transposed().csr
    return roles.values, roles.csr.rowptr, roles.csr.col, other.rowptr, other.col


def pair_forward(
    x: Tensor,
    weight: Tensor,
    factor: Tensor | None,
    ones: Tensor,
    rowptr: Tensor,
    col: Tensor,
    rowptr_t: Tensor,
    col_t: Tensor,
) -> tuple[Tensor, Tensor]:
    """The result and, if there are factors, what x is with them."""
    seen = x if factor is None else x * factor
    scores = torch.mm(seen, weight.flatten(0, 1).t())  # [num_nodes, 2 * out_channels]
    out = x.new_empty(rowptr.numel() - 1, weight.size(1))
    out = multiply(scores.view(-1, weight.size(1)), ones, rowptr, col, out)
    return out, x.new_empty(0) if factor is None else seen


def pair_gradients(
    grad: Tensor,
    seen: Tensor,
    weight: Tensor,
    factor: Tensor | None,
    ones: Tensor,
    rowptr_t: Tensor,
    col_t: Tensor,
) -> tuple[Tensor, Tensor]:
    at_nodes = multiply(grad, ones, rowptr_t, col_t, grad.new_empty(2 * seen.size(0), grad.size(1)))
    at_nodes = at_nodes.view(seen.size(0), 2 * grad.size(1))
    grad_weight = torch.mm(at_nodes.t(), seen).view(weight.shape)
    grad_x = torch.mm(at_nodes, weight.flatten(0, 1))
    return grad_x if factor is None else grad_x.mul_(factor), grad_weight


def _save(ctx, inputs, output) -> None:
    x, weight, factor, ones, _, _, rowptr_t, col_t = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    seen = x if factor is None else output[1]
    ctx.save_for_backward(seen, weight, factor, ones, rowptr_t, col_t)


def _backward(ctx, grad, _):
    if grad is None:
        return (None,) * 8
    grads = _pair_linear_backward(grad.contiguous(), *ctx.saved_tensors)
    return *grads, *[None] * 6


_pair_linear = Operator(
    "gnnzoo::pair_linear",
    pair_forward,
    lambda x, weight, factor, ones, rowptr, *_: (
        x.new_empty(rowptr.numel() - 1, weight.size(1)),
        x.new_empty(0) if factor is None else torch.empty_like(x),
    ),
    _backward,
    _save,
)
_pair_linear_backward = Operator(
    "gnnzoo::pair_linear_backward",
    pair_gradients,
    lambda grad, seen, weight, *_: (torch.empty_like(seen), torch.empty_like(weight)),
    refuse_double_backward,
)
