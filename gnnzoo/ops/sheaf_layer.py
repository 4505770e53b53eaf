r"""A whole layer of sheaf diffusion behind its scores, as one node of autograd.

What `gnnzoo.ops.SheafLaplacian` and `gnnzoo.ops.sheaf_step` do in four to ten recorded operations,
with gradients chained by hand: a small graph is bound by how much is recorded, not by what is
computed. Results and gradients are the same to the last bit.
"""

import torch
from torch import Tensor

from gnnzoo.ops.operator import refuse_double_backward
from gnnzoo.ops.sheaf_blocks import SheafBlocks
from gnnzoo.ops.sheaf_family import Blocks, BundleFamily, DiagonalFamily, GeneralFamily
from gnnzoo.ops.sheaf_step import step_forward, step_gradients

Family = DiagonalFamily | BundleFamily | GeneralFamily


def sheaf_layer(
    x: Tensor,
    factor: Tensor | None,
    scores: Tensor,
    left: Tensor,
    right: Tensor,
    epsilon: Tensor,
    family: Family,
    elu: bool,
) -> Tensor:
    """Diffuse once along the sheaf that scores make; not for compilers.

    Args:
        x, factor, left, right, epsilon, elu: As `gnnzoo.ops.sheaf_step.sheaf_step` takes them.
        scores: What maps and weights of pairs are made of.
        family: What is made of them.

    Shapes:
        x, factor: ``[num_nodes, stalk_dim * channels]``, of the type of `scores`.
        scores: ``[num_half_edges, num_scores]``.
        returns: as `x`.

    Raises:
        RuntimeError: On a second derivative.
    """
    return _Layer.apply(x, factor, scores, left, right, epsilon, family, elu)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor, scores, left, right, epsilon, family, elu):
        laplacian, of_scores = family.blocks(scores)
        blocks = _product(family)
        out, of_step = step_forward(x, factor, left, right, epsilon, *laplacian, blocks, elu)
        ctx.family, ctx.elu, ctx.num_step = family, elu, len(of_step)
        ctx.save_for_backward(x, factor, left, right, *laplacian, *of_step, *of_scores)
        return out

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():
            refuse_double_backward()
        family, saved = ctx.family, ctx.saved_tensors
        operands, kept = saved[:7], saved[7:]
        of_step, of_scores = kept[: ctx.num_step], kept[ctx.num_step :]
        needs = True, True, operands[-1] is not None
        grad_x, to_left, to_right, to_epsilon, *to_blocks = step_gradients(
            grad.contiguous(), *operands, _product(family), ctx.elu, of_step, needs
        )
        to_scores = family.gradient(Blocks(*to_blocks), of_scores)
        return grad_x, None, to_scores, to_left, to_right, to_epsilon, None, None


def _product(family: Family) -> SheafBlocks:
    pattern = family.graph.pattern(family.stalk_dim, family.full, 0)
    return SheafBlocks(pattern, family.stalk_dim, family.stalk_dim, family.full)
