r"""One step of sheaf diffusion, mixing and activation included, as one operator.

.. math:: X' = (1 + \tanh \varepsilon) \odot X
    - \sigma\bigl(\Delta\, (W_1 \otimes W_2)\, (f \odot X)\bigr)

with a factor f, as of dropout, and ELU or nothing for :math:`\sigma`. A small graph is bound by
the number of operations launched; a dozen recorded ones with their gradients cost more than the
products that they stand between.
"""

import torch
from torch import Tensor

from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.sheaf_blocks import SheafBlocks
from gnnzoo.ops.sheaf_pattern import SheafPattern


def sheaf_step(
    x: Tensor,
    factor: Tensor | None,
    left: Tensor,
    right: Tensor,
    epsilon: Tensor,
    off: Tensor,
    degree: Tensor,
    scale: Tensor | None,
    pattern: SheafPattern,
    stalk_dim: int,
    full: bool,
    symmetric: bool,
    elu: bool,
) -> Tensor:
    """Diffuse once; all operands in one floating point type and on one device.

    Args:
        x: Features.
        factor: Factor of each feature on its way into the Laplacian; None for 1.
        left, right: W1 and W2.
        epsilon: One number per stalk dimension.
        off, degree, scale, pattern, stalk_dim, full, symmetric: The Laplacian, as
            `gnnzoo.ops.sheaf_product.sheaf_product` takes it.
        elu: Whether there is an activation.

    Shapes:
        x, factor: ``[num_nodes, num_stalks * channels]``.
        left: ``[num_stalks, num_stalks]``. right: ``[channels, channels]``.
        epsilon: ``[num_stalks]``.
        returns: as `x`.

    Raises:
        RuntimeError: On a second derivative.
    """
    keep = torch.is_grad_enabled() and scale is not None and scale.requires_grad
    out, *_ = _step(
        x, factor, left, right, epsilon, off.contiguous(), degree, scale, *pattern,
        stalk_dim, full, symmetric, elu, keep,
    )  # fmt: skip
    return out


def _joint(left: Tensor, right: Tensor) -> Tensor:
    """W1 and W2 as one matrix of all stalk dimensions and channels."""
    product = left[:, None, :, None] * right[None, :, None, :]
    return product.view(left.size(0) * right.size(0), left.size(1) * right.size(1))


def _forward(
    x: Tensor,
    factor: Tensor | None,
    left: Tensor,
    right: Tensor,
    epsilon: Tensor,
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
    elu: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    pattern = SheafPattern(
        ends, rowptr, col, fill, up_rowptr, up_col, up_row, order, node_rowptr, node_col, node_row
    )
    blocks = SheafBlocks(pattern, left.size(0), stalk_dim, full, symmetric)
    out, kept = step_forward(x, factor, left, right, epsilon, off, degree, scale, blocks, elu)
    seen, joint, slope, mixed, moved, spread = kept
    unused = [x.new_empty(0) for _ in range(3)]  # results must not share memory
    seen = unused[0] if factor is None else seen
    moved, spread = moved if elu else unused[1], spread if keep else unused[2]
    return out, seen, joint, slope, mixed, moved, spread


def step_forward(
    x: Tensor,
    factor: Tensor | None,
    left: Tensor,
    right: Tensor,
    epsilon: Tensor,
    off: Tensor,
    degree: Tensor,
    scale: Tensor | None,
    blocks: SheafBlocks,
    elu: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The step without autograd, and what `step_gradients` reads."""
    stalks, width = left.size(0), right.size(0)
    seen = x if factor is None else x * factor
    joint = _joint(left, right)
    mixed = torch.mm(seen, joint.t()).view(-1, stalks, width)
    moved, kept = blocks.apply(mixed, off, degree, scale)
    slope = epsilon.tanh()
    out = torch.ops.aten.elu(moved, 1.0, -1.0) if elu else moved.neg()  # minus the activation
    out.addcmul_(x.view(out.shape), (slope + 1.0).unsqueeze(1))
    return out.view(x.shape), (seen, joint, slope, mixed, moved, kept)


def _save(ctx, inputs, output) -> None:
    x, factor, left, right, _, *rest, ctx.stalk_dim, ctx.full, ctx.symmetric, ctx.elu, _ = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, factor, left, right, *rest, *output[1:])


def _backward(ctx, grad, *_):
    if grad is None:
        return (None,) * 24
    needs = ctx.needs_input_grad[5:8]
    flags = ctx.stalk_dim, ctx.full, ctx.symmetric, ctx.elu
    grads = _step_backward(grad.contiguous(), *ctx.saved_tensors, *flags, *needs)
    laplacian = (g if need else None for g, need in zip(grads[4:], needs, strict=True))
    return grads[0], None, *grads[1:4], *laplacian, *[None] * 16


def _gradients(
    grad: Tensor,
    x: Tensor,
    factor: Tensor | None,
    left: Tensor,
    right: Tensor,
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
    seen: Tensor,
    joint: Tensor,
    slope: Tensor,
    mixed: Tensor,
    moved: Tensor,
    kept: Tensor,
    stalk_dim: int,
    full: bool,
    symmetric: bool,
    elu: bool,
    needs_off: bool,
    needs_degree: bool,
    needs_scale: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients to x, W1, W2, epsilon and, empty where not needed, to B, D and S."""
    pattern = SheafPattern(
        ends, rowptr, col, fill, up_rowptr, up_col, up_row, order, node_rowptr, node_col, node_row
    )
    blocks = SheafBlocks(pattern, left.size(0), stalk_dim, full, symmetric)
    seen = x if factor is None else seen
    kept = seen, joint, slope, mixed, moved, kept
    laplacian, needs = (off, degree, scale), (needs_off, needs_degree, needs_scale)
    return step_gradients(grad, x, factor, left, right, *laplacian, blocks, elu, kept, needs)


def step_gradients(
    grad: Tensor,
    x: Tensor,
    factor: Tensor | None,
    left: Tensor,
    right: Tensor,
    off: Tensor,
    degree: Tensor,
    scale: Tensor | None,
    blocks: SheafBlocks,
    elu: bool,
    kept: tuple[Tensor, ...],
    needs: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients to x, W1, W2, epsilon and, empty where not needed, to B, D and S."""
    seen, joint, slope, mixed, moved, spread = kept
    grad = grad.view(mixed.shape)
    by_share = torch.mul(grad, x.view(mixed.shape)).sum((0, 2))
    grad_epsilon = torch.ops.aten.tanh_backward(by_share, slope)
    # Minus the gradient behind the activation, as the step is subtracted.
    back = torch.ops.aten.elu_backward(grad, 1.0, -1.0, 1.0, False, moved) if elu else grad.neg()
    onward, *of_laplacian = blocks.gradients(back, mixed, spread, off, degree, scale, needs)
    onward = onward.flatten(1)
    grad_joint = torch.mm(onward.t(), seen)
    grad_x = torch.mm(onward, joint)
    if factor is not None:
        grad_x.mul_(factor)
    grad_x.view(grad.shape).addcmul_(grad, (slope + 1.0).unsqueeze(1))
    sizes = left.size(0), right.size(0), left.size(1), right.size(1)
    grad_joint = grad_joint.view(sizes).transpose(1, 2).reshape(left.numel(), right.numel())
    grad_left = torch.mv(grad_joint, right.reshape(-1)).view(left.shape)
    grad_right = torch.mv(grad_joint.t(), left.reshape(-1)).view(right.shape)
    return grad_x, grad_left, grad_right, grad_epsilon, *of_laplacian


def _fake(x, factor, left, right, epsilon, off, degree, scale, *rest):
    *_, elu, keep = rest
    stalks, width = left.size(0), right.size(0)
    wide = (x.size(0), stalks, width)
    return (
        torch.empty_like(x),
        x.new_empty(0) if factor is None else torch.empty_like(x),
        x.new_empty(stalks * width, stalks * width),
        torch.empty_like(epsilon),
        x.new_empty(wide),
        x.new_empty(wide if elu else 0),
        x.new_empty(wide if keep else 0),
    )


def _fake_gradients(grad, x, factor, left, right, off, degree, scale, *rest):
    like = zip((off, degree, scale), rest[-3:], strict=True)
    return (
        *(torch.empty_like(t) for t in (x, left, right)),
        x.new_empty(left.size(0)),
        *(torch.empty_like(t) if need else x.new_empty(0) for t, need in like),
    )


_step = Operator("gnnzoo::sheaf_step", _forward, _fake, _backward, _save)
_step_backward = Operator(
    "gnnzoo::sheaf_step_backward", _gradients, _fake_gradients, refuse_double_backward
)
