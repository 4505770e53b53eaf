"""Dropout that is not bound by the random number generator on a CPU."""

import torch
from torch import Tensor
from torch.nn import functional as F


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero a share `p` of `x` at random and scale the rest by the inverse of the share kept.

    On a CPU torch draws one number per element, which is most of a step on a small graph. Here one
    64-bit draw decides four elements with 16 bits each, which rounds `p` to a multiple of 2**-16;
    the scale is that of the rounded share, so the mean is kept exactly. Elsewhere, and while
    compiling, this is torch's dropout.

    Shapes:
        x: any; returns the same.
    """
    threshold = round(p * 65536)
    if threshold == 0:
        return x
    if x.device.type != "cpu" or threshold == 65536 or torch.compiler.is_compiling():
        return F.dropout(x, p)
    bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = bits.view(torch.int16)[: x.numel()].view(x.shape)
    # Written as numbers at once: a comparison that makes booleans is not vectorised, nor is a
    # product with them. In float32 for half precision, where the scale would be rounded.
    dtype = torch.promote_types(x.dtype, torch.float32)
    factor = torch.ge(bits, threshold - 32768, out=torch.empty(x.shape, dtype=dtype))
    return (x * factor.mul_(65536 / (65536 - threshold))).to(x.dtype)
