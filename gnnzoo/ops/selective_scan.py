"""The selective scan of Mamba: a decay for each channel and state, chosen by the input."""

from importlib.util import find_spec

import torch
from torch import Tensor

from gnnzoo.ops import backends
from gnnzoo.ops.sequences import Sequences, as_sequences
from gnnzoo.ops.spmm import compute_dtype
from gnnzoo.ops.ssd import check_shapes
from gnnzoo.ops.tiled_scan import tiled_scan

METHODS = ("auto", "tiled", "triton", "mamba_ssm")
WIPE = 1e4  # a step after which nothing is left of any state
backends.PREFERENCE["selective_scan"] = ("triton", "torch")


def selective_scan(
    u: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor | None = None,
    seg: Tensor | Sequences | None = None,
    method: str = "auto",
) -> Tensor:
    r"""Run every sequence through a diagonal state space for each channel.

    .. math:: h_t = e^{\Delta_t A} \odot h_{t-1} + (\Delta_t u_t) b_t^\top, \qquad
              y_t = h_t c_t + d \odot u_t

    Computed in float32, or float64 for float64 input. States do not pass from one sequence to the
    next. `gnnzoo.ops.ssd_scan` is much faster where channels can share a decay.

    Paper: "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (Gu and Dao, 2023),
    algorithm 2, https://arxiv.org/abs/2312.00752

    Args:
        u: Input.
        dt: Step sizes, positive.
        a: Rates, negative.
        b: What is written to the state.
        c: What is read from it.
        d: Weight of the input in the output, or None for none.
        seg: The sequence of each token, not decreasing, or `Sequences`; None for one sequence.
        method: ``tiled``, plain PyTorch; ``triton``, fused kernels; ``mamba_ssm``, the package of
            that name, on CUDA; ``auto``, ``triton`` on CUDA and ``tiled`` elsewhere.

    Shapes:
        u, dt: ``[num_tokens, channels]``. a: ``[channels, num_states]``. d: ``[channels]``.
        b, c: ``[num_tokens, num_states]``. seg: ``[num_tokens]``.
        returns: as `u`.

    Raises:
        ValueError: If shapes or devices do not fit, `method` is unknown, or Triton is missing.
        ImportError: If mamba-ssm is asked for and not installed.
        RuntimeError: On a second derivative.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}")
    if u.dim() != 2:
        raise ValueError(f"u must have shape [num_tokens, channels], got {list(u.shape)}")
    tokens, channels = u.shape
    wanted = {"dt": (dt, (tokens, channels)), "a": (a, (channels, a.size(-1)))}
    wanted |= {name: (value, (tokens, a.size(-1))) for name, value in (("b", b), ("c", c))}
    check_shapes(u, wanted if d is None else wanted | {"d": (d, (channels,))})
    sequences = as_sequences(seg, tokens, u.device)
    with torch.autocast(u.device.type, enabled=False):
        y = _run(method, u, dt, a, b, c, sequences)
        return y if d is None else torch.addcmul(y, u, d.to(u.dtype))


def _run(
    method: str, u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, sequences: Sequences
) -> Tensor:
    if method == "mamba_ssm":
        return _by_mamba_ssm(u, dt, a, b, c, sequences)
    if method == "triton" and not backends.has_triton():
        raise ValueError("method='triton' needs Triton, which comes with torch's CUDA builds")
    if method == "auto":
        method = backends.choose("selective_scan", u.device)
    if method == "triton":
        from gnnzoo.ops.scan_triton import fused_scan

        return fused_scan(u, dt, a, b, c, sequences.position)
    length = sequences.length
    rows = u.size(0) // length if length else 1
    return tiled_scan(u, dt, a, b, c, sequences.start, rows)


def _by_mamba_ssm(
    u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, sequences: Sequences
) -> Tensor:
    """The kernel knows one sequence only: before each further one goes a token that wipes states.

    It writes nothing, and its step is so long that every state decays to zero.
    """
    if find_spec("mamba_ssm") is None:
        raise ImportError(
            "method='mamba_ssm' needs mamba-ssm: pip install mamba-ssm; "
            "method='auto' needs nothing more"
        )
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    extra = sequences.start.long()
    extra[:1] = 0
    place = torch.arange(u.size(0), device=u.device) + extra.cumsum(0)
    total = u.size(0) + int(extra.sum())

    def spread(tensor: Tensor, fill: float) -> Tensor:  # [1, width, total]
        wide = tensor.new_full((total, tensor.size(1)), fill, dtype=compute_dtype(u))
        return wide.index_copy(0, place, tensor.to(wide.dtype)).t().unsqueeze(0).contiguous()

    wiped = WIPE / a.detach().abs().amin().clamp(min=1e-6).item()
    y = selective_scan_fn(
        spread(u, 0.0), spread(dt, wiped), a.to(compute_dtype(u)), spread(b, 0.0), spread(c, 0.0)
    )
    return y.squeeze(0).t().index_select(0, place).to(u.dtype)
