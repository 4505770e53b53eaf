"""State spaces token by token, written from the equations."""

import torch
from torch import Tensor


def loop_scan(u, dt, a, b, c, d=None, ids=None) -> Tensor:
    """``h_t = exp(dt_t a) h_{t-1} + dt_t u_t b_t``, ``y_t = h_t c_t + d u_t``, channel by channel.

    Shapes:
        u, dt: ``[T, E]``. a: ``[E, N]``. b, c: ``[T, N]``. d: ``[E]``. ids: ``[T]``.
    """
    h, out = torch.zeros_like(a), []
    for t in range(u.size(0)):
        if t and ids is not None and ids[t] != ids[t - 1]:
            h = torch.zeros_like(a)
        h = torch.exp(dt[t, :, None] * a) * h + (dt[t] * u[t])[:, None] * b[t]
        out.append(h @ c[t] + (0 if d is None else d * u[t]))
    return torch.stack(out) if out else 0 * u


def loop_ssd(x, dt, a, b, c, d=None, ids=None) -> Tensor:
    """The same, channels of a head sharing a step and a rate: x ``[T, H, P]``, dt ``[T, H]``."""
    p = x.size(2)
    per_channel = a.repeat_interleave(p)[:, None].expand(-1, b.size(1))
    steps = dt.repeat_interleave(p, 1)
    skip = None if d is None else d.repeat_interleave(p)
    return loop_scan(x.flatten(1), steps, per_channel, b, c, skip, ids).view(x.shape)


def loop_conv(x, weight, bias=None, ids=None) -> Tensor:
    """``out_t = bias + sum_j weight[:, W - 1 - j] x_{t-j}``, within the sequence of t."""
    out = torch.zeros_like(x) if bias is None else bias.expand(x.shape).clone()
    for t in range(x.size(0)):
        for j in range(min(weight.size(1), t + 1)):
            if ids is None or ids[t] == ids[t - j]:
                out[t] = out[t] + weight[:, weight.size(1) - 1 - j] * x[t - j]
    return out
