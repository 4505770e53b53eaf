r"""A sheaf Laplacian times features, without a tensor of edges x channels.

.. math:: Y = S L S^\top X, \qquad (L Z)_v = D_v Z_v + \sum_{e = (v, u)} B_e Z_u

with a block :math:`B_e` for each pair, read transposed from its larger end, and blocks
:math:`D_v`, :math:`S_v` for each node. The operator is its own adjoint, so with
:math:`Z = S^\top X`, :math:`R = L Z`, :math:`H = S^\top G`, :math:`Q = L H` for the gradient G of
the result: :math:`\partial X = S Q`, :math:`\partial D_v = H_v Z_v^\top`,
:math:`\partial S_v = G_v R_v^\top + X_v Q_v^\top` and, for the pair of u and v,
:math:`\partial B_e = H_u Z_v^\top + Z_u H_v^\top`.

On a CPU the entries of the blocks are those of one CSR matrix. Block-sparse rows took one and a
half times as long with blocks of three, and fixed stalk dimensions would fill them with zeros.
"""

import torch
from torch import Tensor

from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.sheaf_blocks import SheafBlocks
from gnnzoo.ops.sheaf_pattern import SheafPattern


def sheaf_product(
    x: Tensor,
    off: Tensor,
    degree: Tensor,
    scale: Tensor | None,
    pattern: SheafPattern,
    stalk_dim: int,
    full: bool,
    symmetric: bool = True,
) -> Tensor:
    """Apply the Laplacian; all operands in one floating point type and on one device.

    Args:
        x: Features.
        off: B of each pair, as `SheafPattern` stores it.
        degree: D, one number per node, per stalk dimension, or per entry of a block.
        scale: S, likewise; None for the identity.
        pattern: Where the entries are.
        stalk_dim: Learned stalk dimensions.
        full: Whether they are coupled with each other.
        symmetric: Whether S equals its transpose.

    Shapes:
        x: ``[num_nodes, num_stalks, channels]``.
        degree, scale: ``[num_nodes, 1]``, ``[num_nodes, num_stalks]`` or
            ``[num_nodes, num_stored]``.
        returns: as `x`.

    Raises:
        RuntimeError: On a second derivative.
    """
    keep = torch.is_grad_enabled() and scale is not None and scale.requires_grad
    out, _ = _product(
        x.contiguous(), off.contiguous(), degree, scale, *pattern, stalk_dim, full,
        symmetric, keep,
    )  # fmt: skip
    return out


def _forward(
    x: Tensor,
    off: Tensor,
    degree: Tensor,
    scale: Tensor | None,
    ends: Tensor,
    rowptr: Tensor,
    col: Tensor,
    fill: Tensor,
    up_rowptr: Tensor,
    up_col: Tensor,
    up_row: Tensor,
    order: Tensor,
    node_rowptr: Tensor,
    node_col: Tensor,
    node_row: Tensor,
    stalk_dim: int,
    full: bool,
    symmetric: bool,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    pattern = SheafPattern(
        ends, rowptr, col, fill, up_rowptr, up_col, up_row, order, node_rowptr, node_col, node_row
    )
    blocks = SheafBlocks(pattern, x.size(1), stalk_dim, full, symmetric)
    out, kept = blocks.apply(x, off, degree, scale)
    return out, kept if keep else x.new_empty(0)


def _save(ctx, inputs, output) -> None:
    *tensors, ctx.stalk_dim, ctx.full, ctx.symmetric, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, output[1])


def _backward(ctx, grad, _):
    if grad is None:
        return (None,) * 19
    needs = [ctx.needs_input_grad[1], ctx.needs_input_grad[2], ctx.needs_input_grad[3]]
    grads = _product_backward(
        grad.contiguous(), *ctx.saved_tensors, ctx.stalk_dim, ctx.full, ctx.symmetric, *needs
    )
    grads = [grads[0], *(g if need else None for g, need in zip(grads[1:], needs, strict=True))]
    return *grads, *[None] * 15


def _gradients(
    grad: Tensor,
    x: Tensor,
    off: Tensor,
    degree: Tensor,
    scale: Tensor | None,
    ends: Tensor,
    rowptr: Tensor,
    col: Tensor,
    fill: Tensor,
    up_rowptr: Tensor,
    up_col: Tensor,
    up_row: Tensor,
    order: Tensor,
    node_rowptr: Tensor,
    node_col: Tensor,
    node_row: Tensor,
    kept: Tensor,
    stalk_dim: int,
    full: bool,
    symmetric: bool,
    needs_off: bool,
    needs_degree: bool,
    needs_scale: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients to x, B, D and S; empty ones where none is needed."""
    pattern = SheafPattern(
        ends, rowptr, col, fill, up_rowptr, up_col, up_row, order, node_rowptr, node_col, node_row
    )
    blocks = SheafBlocks(pattern, x.size(1), stalk_dim, full, symmetric)
    needs = needs_off, needs_degree, needs_scale
    return blocks.gradients(grad, x, kept, off, degree, scale, needs)


def _fake(x, off, degree, scale, *rest):
    return torch.empty_like(x), torch.empty_like(x) if rest[-1] else x.new_empty(0)


def _fake_gradients(grad, x, off, degree, scale, *rest):
    like = zip((off, degree, scale), rest[-3:], strict=True)
    return (
        torch.empty_like(x),
        *(torch.empty_like(t) if need else x.new_empty(0) for t, need in like),
    )


_product = Operator("gnnzoo::sheaf_product", _forward, _fake, _backward, _save)
_product_backward = Operator(
    "gnnzoo::sheaf_product_backward", _gradients, _fake_gradients, refuse_double_backward
)
