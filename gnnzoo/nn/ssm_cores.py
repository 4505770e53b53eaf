"""What lies between the two projections of a Mamba block: convolution, parameters and scan."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gnnzoo.nn.checks import check_choice, check_count
from gnnzoo.ops.causal_conv import causal_conv
from gnnzoo.ops.selective_scan import METHODS, selective_scan
from gnnzoo.ops.sequences import Sequences
from gnnzoo.ops.spmm import compute_dtype
from gnnzoo.ops.ssd import ssd_scan

DT_FLOOR = 1e-4


class SSDCore(nn.Module):
    r"""One decay per head (Mamba-2): convolution over x, b and c, then `gnnzoo.ops.ssd_scan`.

    Args:
        channels: Width of the block's input, from which b, c and the steps are made.
        inner_channels: Width of the scan.
        d_state: N, states per channel.
        d_conv: Width of the convolution.
        head_dim: Channels that share a decay.
        dt_range: Smallest and largest step after initialisation.
        conv_bias: Whether the convolution has a bias.
        chunk_size: Tokens per chunk of the scan; None for what suits the device.

    Shapes:
        x: ``[num_tokens, inner_channels]``. features: ``[num_tokens, channels]``.
        returns: ``[num_tokens, inner_channels]``.
    """

    undecayed = ("a_log", "d", "dt_bias")

    def __init__(
        self,
        channels: int,
        inner_channels: int,
        d_state: int,
        d_conv: int,
        head_dim: int,
        dt_range: tuple[float, float],
        conv_bias: bool,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        check_count("head_dim", head_dim, 1)
        if chunk_size is not None:
            check_count("chunk_size", chunk_size, 1)
        if inner_channels % head_dim:
            raise ValueError(
                f"head_dim must divide the inner width {inner_channels}, got {head_dim}; "
                f"{math.gcd(inner_channels, head_dim)} does"
            )
        heads = inner_channels // head_dim
        self.head_dim, self.d_state, self.chunk_size = head_dim, d_state, chunk_size
        self.dt_range = dt_range
        self.param_proj = nn.Linear(channels, 2 * d_state + heads, bias=False)
        width = inner_channels + 2 * d_state
        self.conv_weight = nn.Parameter(torch.empty(width, d_conv))
        self.conv_bias = nn.Parameter(torch.empty(width)) if conv_bias else None
        self.dt_bias = nn.Parameter(torch.empty(heads))
        self.a_log = nn.Parameter(torch.empty(heads))
        self.d = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.param_proj.reset_parameters()
        init_conv(self.conv_weight, self.conv_bias)
        init_steps(self.dt_bias, self.dt_range)
        with torch.no_grad():
            self.a_log.uniform_(1, 16).log_()
        nn.init.ones_(self.d)

    def forward(self, x: Tensor, features: Tensor, sequences: Sequences) -> Tensor:
        both, dt = self.param_proj(features).split([2 * self.d_state, self.dt_bias.numel()], -1)
        dt = F.softplus(dt.to(compute_dtype(dt)) + self.dt_bias)
        inner, bias = x.size(1), self.conv_bias
        biases = (None, None) if bias is None else (bias[:inner], bias[inner:])
        x = F.silu(causal_conv(x, self.conv_weight[:inner], biases[0], sequences))
        both = F.silu(causal_conv(both, self.conv_weight[inner:], biases[1], sequences))
        b, c = both.chunk(2, -1)
        heads = x.view(x.size(0), self.dt_bias.numel(), self.head_dim)
        a = -self.a_log.exp()
        return ssd_scan(heads, dt, a, b, c, self.d, sequences, self.chunk_size).view(x.shape)


class S6Core(nn.Module):
    r"""A decay for each channel and state (Mamba-1), with `gnnzoo.ops.selective_scan`.

    Args:
        inner_channels: Width of the scan.
        d_state: N, states per channel.
        d_conv: Width of the convolution.
        dt_rank: Width from which the steps of all channels are made.
        dt_range: Smallest and largest step after initialisation.
        conv_bias: Whether the convolution has a bias.
        method: As in `gnnzoo.ops.selective_scan`.

    Shapes:
        x: ``[num_tokens, inner_channels]``. features: not read.
        returns: as `x`.
    """

    undecayed = ("a_log", "d", "dt_bias")

    def __init__(
        self,
        inner_channels: int,
        d_state: int,
        d_conv: int,
        dt_rank: int,
        dt_range: tuple[float, float],
        conv_bias: bool,
        method: str = "auto",
    ) -> None:
        super().__init__()
        check_count("dt_rank", dt_rank, 1)
        check_choice("method", method, METHODS)
        self.d_state, self.dt_rank, self.dt_range, self.method = d_state, dt_rank, dt_range, method
        self.conv_weight = nn.Parameter(torch.empty(inner_channels, d_conv))
        self.conv_bias = nn.Parameter(torch.empty(inner_channels)) if conv_bias else None
        self.x_proj = nn.Linear(inner_channels, dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(dt_rank, inner_channels, bias=False)
        self.dt_bias = nn.Parameter(torch.empty(inner_channels))
        self.a_log = nn.Parameter(torch.empty(inner_channels, d_state))
        self.d = nn.Parameter(torch.empty(inner_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init_conv(self.conv_weight, self.conv_bias)
        self.x_proj.reset_parameters()
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        init_steps(self.dt_bias, self.dt_range)
        with torch.no_grad():
            self.a_log.copy_(torch.arange(1, self.d_state + 1).log())
        nn.init.ones_(self.d)

    def forward(self, x: Tensor, features: Tensor, sequences: Sequences) -> Tensor:
        x = F.silu(causal_conv(x, self.conv_weight, self.conv_bias, sequences))
        dt, b, c = self.x_proj(x).split([self.dt_rank, self.d_state, self.d_state], -1)
        dt = self.dt_proj(dt)
        dt = F.softplus(dt.to(compute_dtype(dt)) + self.dt_bias)
        return selective_scan(x, dt, -self.a_log.exp(), b, c, self.d, sequences, self.method)


def init_conv(weight: Tensor, bias: Tensor | None) -> None:
    """As torch's depthwise convolutions: uniform up to ``width ** -0.5``."""
    bound = weight.size(1) ** -0.5
    nn.init.uniform_(weight, -bound, bound)
    if bias is not None:
        nn.init.uniform_(bias, -bound, bound)


@torch.no_grad()
def init_steps(bias: Tensor, dt_range: tuple[float, float]) -> None:
    """Biases whose softplus is log-uniform in the range."""
    low, high = (math.log(end) for end in dt_range)
    step = bias.uniform_(low, high).exp_().clamp_(min=DT_FLOOR)
    bias.copy_(step + torch.log(-torch.expm1(-step)))  # inverse of softplus


def undecayed_parameters(module: nn.Module) -> Iterable[nn.Parameter]:
    """Parameters inside that weight decay would harm: rates, steps and skips of state spaces."""
    for part in module.modules():
        if isinstance(part, SSDCore | S6Core):
            yield from (getattr(part, name) for name in part.undecayed)
