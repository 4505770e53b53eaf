"""A Mamba block: a sequence layer whose cost grows linearly with the number of tokens."""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from gnnzoo.nn.checks import check_choice, check_count
from gnnzoo.nn.ssm_cores import S6Core, SSDCore
from gnnzoo.ops.sequences import Sequences, as_sequences

SSMS = ("ssd", "s6")


class SelectiveSSM(nn.Module):
    r"""Let every token hear from those before it, through a state that the input writes and fades.

    .. math:: (X, Z) = U W_{in}, \qquad Y = \mathrm{scan}(\mathrm{SiLU}(\mathrm{conv}(X))), \qquad
              O = (Y \odot \mathrm{SiLU}(Z)) W_{out}

    With ``ssm="s6"`` the block of "Mamba: Linear-Time Sequence Modeling with Selective State
    Spaces" (Gu and Dao, 2023), figure 3, https://arxiv.org/abs/2312.00752. With ``ssm="ssd"``,
    much faster, that of "Transformers are SSMs" (Dao and Gu, ICML 2024), section 7,
    https://arxiv.org/abs/2405.21060: one decay per head and an RMS norm before the last map.
    Packed sequences never see each other; nothing is padded.

    Args:
        channels: Features per token; input and output have the same width.
        d_state: N, states per channel.
        d_conv: Width of the causal convolution.
        expand: Inner width as a multiple of `channels`.
        head_dim: Channels that share a decay, for ``ssd``; must divide the inner width.
        dt_rank: Width from which steps are made, for ``s6``; ``auto`` is channels / 16, rounded up.
        ssm: ``ssd`` or ``s6``.
        chunk_size: Tokens per chunk, for ``ssd``; None for what suits the device.
        dt_min, dt_max: Range of the steps after initialisation.
        bias: Whether the first and the last map have a bias.
        conv_bias: Whether the convolution has one.
        method: How ``s6`` is computed, see `gnnzoo.ops.selective_scan`.

    Shapes:
        x: ``[num_tokens, channels]``, sequences one behind the other; or ``[num_sequences, length,
            channels]``.
        seg: ``[num_tokens]``, integer, not decreasing, the sequence of each token (PyG's
            ``batch``); or `gnnzoo.ops.Sequences`, made once for all layers; None for one sequence.
        returns: as `x`.

    Raises:
        ValueError: If a setting is out of range, `x` has the wrong width, or `seg` does not fit.
    """

    def __init__(
        self,
        channels: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 1,
        head_dim: int = 16,
        dt_rank: int | str = "auto",
        ssm: str = "ssd",
        chunk_size: int | None = None,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        bias: bool = False,
        conv_bias: bool = True,
        method: str = "auto",
    ) -> None:
        super().__init__()
        self.channels, self.d_state, self.ssm = channels, d_state, ssm
        settings = (d_state, d_conv, expand, head_dim, dt_rank, ssm)
        tail = (chunk_size, dt_min, dt_max, conv_bias, method)
        self.core = make_core(channels, *settings, *tail)
        inner = expand * channels
        self.in_proj = nn.Linear(channels, 2 * inner, bias=bias)
        self.norm = nn.RMSNorm(inner, eps=1e-5) if ssm == "ssd" else None
        self.out_proj = nn.Linear(inner, channels, bias=bias)

    def reset_parameters(self) -> None:
        for part in self.children():
            part.reset_parameters()

    def forward(
        self, x: Tensor, seg: Tensor | Sequences | None = None, reverse: bool = False
    ) -> Tensor:
        tokens, sequences = pack(x, seg, self.channels)
        inner, gate = self.in_proj(tokens).chunk(2, -1)  # [num_tokens, inner] each
        y = run(self.core, inner, tokens, sequences, reverse)
        return self.out_proj(gated(y, gate, self.norm)).view(x.shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, d_state={self.d_state}, ssm={self.ssm!r})"


def make_core(
    channels: int,
    d_state: int,
    d_conv: int,
    expand: int,
    head_dim: int,
    dt_rank: int | str,
    ssm: str,
    chunk_size: int | None,
    dt_min: float,
    dt_max: float,
    conv_bias: bool,
    method: str,
) -> nn.Module:
    """The middle of a block, from the settings of `SelectiveSSM`."""
    check_choice("ssm", ssm, SSMS)
    counts = {"channels": channels, "d_state": d_state, "d_conv": d_conv, "expand": expand}
    for name, value in counts.items():
        check_count(name, value, 1)
    if not 0.0 < dt_min <= dt_max:
        raise ValueError(f"need 0 < dt_min <= dt_max, got dt_min={dt_min} and dt_max={dt_max}")
    inner, steps = expand * channels, (dt_min, dt_max)
    if ssm == "ssd":
        return SSDCore(channels, inner, d_state, d_conv, head_dim, steps, conv_bias, chunk_size)
    rank = math.ceil(channels / 16) if dt_rank == "auto" else dt_rank
    return S6Core(inner, d_state, d_conv, rank, steps, conv_bias, method)


def pack(x: Tensor, seg: Tensor | Sequences | None, channels: int) -> tuple[Tensor, Sequences]:
    """Tokens one behind the other, and where their sequences begin."""
    if x.dim() not in (2, 3) or x.size(-1) != channels:
        raise ValueError(
            f"x must have shape [num_tokens, {channels}] or [num_sequences, length, {channels}], "
            f"got {list(x.shape)}"
        )
    if x.dim() == 2:
        return x, as_sequences(seg, x.size(0), x.device)
    if seg is not None:
        raise ValueError("seg is for packed tokens; x of three dimensions needs none")
    return x.flatten(0, 1), Sequences.equal(x.size(0), x.size(1), x.device)


def run(
    core: nn.Module, inner: Tensor, features: Tensor, sequences: Sequences, reverse: bool
) -> Tensor:
    """The core, from the last token to the first if reversed."""
    if not reverse:
        return core(inner, features, sequences)
    # Turning all tokens round turns each sequence round; their order does not matter to them.
    return core(inner.flip(0), features.flip(0), sequences.reverse).flip(0)


def gated(y: Tensor, gate: Tensor, norm: nn.Module | None) -> Tensor:
    """What goes into the last map."""
    y = y * F.silu(gate)
    return y if norm is None else norm(y.to(norm.weight.dtype))


def last_tokens(x: Tensor, num_sequences: int) -> Tensor:
    """``[num_sequences, channels]`` of tokens of sequences of one length."""
    return x.view(num_sequences, -1, x.size(-1))[:, -1]
