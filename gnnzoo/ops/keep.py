"""The factors of dropout by themselves, for operators that multiply with them inside."""

import torch
from torch import Tensor

from gnnzoo.ops.dropout import dropout


def keep_factors(p: float, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """What `gnnzoo.ops.dropout` multiplies with: 0 for a share `p`, a constant for the others.

    Args:
        p: Share dropped, rounded to a multiple of 2**-16 on a CPU.
        shape: Of the factors.
        like: Whose type and device they have.
    """
    threshold = round(p * 65536)
    if like.device.type != "cpu" or threshold in (0, 65536) or torch.compiler.is_compiling():
        return dropout(like.new_ones(shape), p)
    factors = like.new_empty(shape, dtype=torch.promote_types(like.dtype, torch.float32))
    bits = torch.empty((factors.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = bits.view(torch.int16)[: factors.numel()].view(shape)
    torch.ge(bits, threshold - 32768, out=factors)
    return factors.mul_(65536 / (65536 - threshold)).to(like.dtype)
