r"""A whole layer of sheaf diffusion as one node of autograd.

What `gnnzoo.ops.SheafLaplacian` and `gnnzoo.ops.sheaf_step` do in four to ten recorded operations,
with gradients chained by hand: a small graph is bound by how much is recorded, not by what is
computed. Results and gradients are the same to the last bit.
"""

import torch
from torch import Tensor

from gnnzoo.ops.operator import refuse_double_backward
from gnnzoo.ops.pair_linear import pair_forward, pair_gradients, pair_rows
from gnnzoo.ops.sheaf_blocks import SheafBlocks
from gnnzoo.ops.sheaf_family import Blocks, BundleFamily, DiagonalFamily, GeneralFamily
from gnnzoo.ops.sheaf_step import step_forward, step_gradients

Family = DiagonalFamily | BundleFamily | GeneralFamily


def sheaf_layer(
    x: Tensor,
    factor: Tensor | None,
    said: Tensor,
    map_factor: Tensor | None,
    left: Tensor,
    right: Tensor,
    epsilon: Tensor,
    family: Family,
    elu: bool,
) -> Tensor:
    """Diffuse once along the sheaf that learners make; not for compilers.

    Args:
        x, factor, left, right, epsilon, elu: As `gnnzoo.ops.sheaf_step.sheaf_step` takes them.
        said: Scores of half-edges; or the matrices that make them from `x`, as
            `gnnzoo.ops.pair_linear` takes them.
        map_factor: Factor of each feature on its way into those matrices; None for 1.
        family: What is made of the scores.

    Shapes:
        x, factor, map_factor: ``[num_nodes, stalk_dim * channels]``.
        said: ``[num_half_edges, num_scores]`` or ``[2, num_scores, stalk_dim * channels]``.
        returns: as `x`.

    Raises:
        RuntimeError: On a second derivative.
    """
    return _Layer.apply(x, factor, said, map_factor, left, right, epsilon, family, elu)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor, said, map_factor, left, right, epsilon, family, elu):
        scores, seen = said, None
        if said.dim() == 3:
            rows = pair_rows(family.graph, x.dtype)
            scores, seen = pair_forward(x, said, map_factor, *rows)
            seen = x if map_factor is None else seen
        laplacian, of_scores = family.blocks(scores)
        pattern = family.graph.pattern(family.stalk_dim, family.full, 0)
        ctx.blocks = SheafBlocks(pattern, family.stalk_dim, family.stalk_dim, family.full)
        out, of_step = step_forward(x, factor, left, right, epsilon, *laplacian, ctx.blocks, elu)
        ctx.family, ctx.elu, ctx.num_step = family, elu, len(of_step)
        operands = x, factor, left, right, *laplacian
        ctx.save_for_backward(said, map_factor, seen, *operands, *of_step, *of_scores)
        return out

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():
            refuse_double_backward()
        family, (said, map_factor, seen, *saved) = ctx.family, ctx.saved_tensors
        operands, kept = saved[:7], saved[7:]
        needs = True, True, operands[-1] is not None
        grad_x, to_left, to_right, to_epsilon, *to_blocks = step_gradients(
            grad.contiguous(), *operands, ctx.blocks, ctx.elu, kept[: ctx.num_step], needs
        )
        to_said = family.gradient(Blocks(*to_blocks), kept[ctx.num_step :])
        if seen is not None:
            ones, *_, rowptr, col = pair_rows(family.graph, seen.dtype)
            by_maps, to_said = pair_gradients(
                to_said.contiguous(), seen, said, map_factor, ones, rowptr, col
            )
            grad_x.add_(by_maps)
        return grad_x, None, to_said, None, to_left, to_right, to_epsilon, None, None
