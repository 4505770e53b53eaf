r"""The selective scan with one decay per head, by matrix products over chunks of tokens.

.. math:: h_t = e^{\Delta_t a} h_{t-1} + b_t (\Delta_t x_t)^\top, \qquad y_t = h_t^\top c_t + d x_t

Within a chunk, with the running sums :math:`s_i` of :math:`\Delta a` and :math:`w = \Delta x`,

.. math:: Y_i = \sum_{j \le i} (c_i \cdot b_j)\, e^{s_i - s_j} w_j + e^{s_i} I^\top c_i, \qquad
          I' = e^{s_{last}} I + \sum_j e^{s_{last} - s_j} b_j w_j^\top

where I is the state that the chunk before leaves. Terms of tokens of different sequences are left
out by a mask, never by a huge decay, which running sums would not survive.

Chunks are treated a few at a time, while they are in the cache. A backward pass finds the states
at the borders of these blocks and computes the rest anew. No derivative needs a pass over pairs of
tokens for the decay, since :math:`\partial L / \partial s_i = \bar y_i \cdot y_i - \bar w_i \cdot
w_i`, and :math:`\langle \bar I', I' \rangle` on top for the last token of a chunk.

Paper: "Transformers are SSMs" (Dao and Gu, ICML 2024), section 6, https://arxiv.org/abs/2405.21060
"""

import torch
from torch import Tensor

from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.sequences import Sequences, as_sequences
from gnnzoo.ops.spmm import compute_dtype
from gnnzoo.ops.ssd_block import Block, block_size, blocks, recur

CHUNK = {"cpu": 32, "cuda": 64}  # tokens; measured on a CPU, 64 as published elsewhere
#: Sequences of one length up to this are a chunk each, and no state is handed on.
MAX_WHOLE = 128


def ssd_scan(
    x: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor | None = None,
    seg: Tensor | Sequences | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Run every sequence through a state space with one decay per head.

    Computed in float32, or float64 for float64 input. States do not pass from one sequence to the
    next. All inputs must be finite.

    Args:
        x: Input.
        dt: Step sizes, positive.
        a: Rates, negative: a state decays by ``exp(dt * a)`` per token.
        b: What is written to the state.
        c: What is read from it.
        d: Weight of the input in the output, or None for none.
        seg: The sequence of each token, not decreasing, or `Sequences`; None for one sequence.
        chunk_size: Tokens per chunk, None for what suits the device; the result does not depend on
            it up to rounding.

    Shapes:
        x: ``[num_tokens, num_heads, head_dim]``. dt: ``[num_tokens, num_heads]``.
        a, d: ``[num_heads]``. b, c: ``[num_tokens, num_states]``.
        seg: ``[num_tokens]``.
        returns: as `x`.

    Raises:
        ValueError: If shapes or devices do not fit, or `chunk_size` is not positive.
        RuntimeError: On a second derivative.
    """
    _check(x, dt, a, b, c, d, chunk_size)
    sequences = as_sequences(seg, x.size(0), x.device)
    length = sequences.length
    whole = length is not None and 0 < length <= MAX_WHOLE
    most = chunk_size or CHUNK.get(x.device.type, CHUNK["cuda"])
    chunk = length if whole else min(most, max(x.size(0), 1))
    with torch.autocast(x.device.type, enabled=False):
        return _ssd(x, dt, a, b, c, d, sequences.position, chunk, not whole)[0]


def _check(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor | None, chunk_size: int | None
) -> None:
    if x.dim() != 3:
        raise ValueError(
            f"x must have shape [num_tokens, num_heads, head_dim], got {list(x.shape)}"
        )
    tokens, heads = x.shape[:2]
    wanted = {"dt": (dt, (tokens, heads)), "a": (a, (heads,))}
    wanted |= {"b": (b, (tokens, b.size(-1))), "c": (c, (tokens, b.size(-1)))}
    if d is not None:
        wanted["d"] = (d, (heads,))
    check_shapes(x, wanted)
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")


def check_shapes(x: Tensor, wanted: dict[str, tuple[Tensor, tuple[int, ...]]]) -> None:
    """Refuse tensors that have another shape than they should, or are on another device than x."""
    for name, (tensor, shape) in wanted.items():
        if tensor.shape != shape:
            raise ValueError(
                f"{name} must have shape {list(shape)} for x of shape {list(x.shape)}, "
                f"got {list(tensor.shape)}"
            )
        if tensor.device != x.device:
            raise ValueError(f"{name} is on {tensor.device}, x on {x.device}; move one of them")


def _forward(
    x: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor | None,
    position: Tensor,
    chunk: int,
    linked: bool,
) -> tuple[Tensor, Tensor]:
    """The result, and the states before each block if there is another chunk to reach."""
    out, dtype, size = torch.empty_like(x), compute_dtype(x), block_size(x, chunk)
    operands = x, dt, a.to(dtype), b, c, position
    state = torch.zeros(b.size(1), x[:1].numel() if x.size(0) else 0, dtype=dtype, device=x.device)
    kept = []
    for part in blocks(x.size(0), max(size, 1)):
        block = Block(operands, part, chunk)
        y = block.inner(block.decay.mul_(block.scores.unsqueeze(1)))
        if linked:
            kept.append(state)
            block.hand_on(state)
            y = y + block.outer()
            state = block.states[-1].clone()
        if d is not None:
            y = y + block.x * d.to(dtype).unsqueeze(-1)
        out[part] = block.rows(y)
    return out, torch.stack(kept) if kept else state.new_empty(0)


def _fake(x, dt, a, b, c, d, position, chunk, linked):
    size = max(block_size(x, chunk), 1)
    count = -(-x.size(0) // size) if linked else 0
    shape = (count, b.size(1), x.size(1) * x.size(2)) if count else (0,)
    return torch.empty_like(x), x.new_empty(shape, dtype=compute_dtype(x))


def _gradients(
    grad: Tensor,
    x: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor | None,
    position: Tensor,
    kept: Tensor,
    chunk: int,
    linked: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients to x, dt, a, b, c and d (empty where there is none)."""
    dtype, size = compute_dtype(x), max(block_size(x, chunk), 1)
    operands = x, dt, a.to(dtype), b, c, position
    grads = [torch.empty_like(t) for t in (x, dt, b, c)]
    grad_a = torch.zeros_like(operands[2])
    grad_d = torch.zeros_like(grad_a if d is not None else grad_a[:0])
    left = None if not linked or not len(kept) else torch.zeros_like(kept[0])
    for i, part in reversed(list(enumerate(blocks(x.size(0), size)))):
        block = Block(operands, part, chunk)
        if linked:
            block.hand_on(kept[i])
        dy = block.chunks(grad)  # [K, Q, H, P]
        dw, db, dc, ds, left = _block_gradients(block, dy, left)
        dx = dw * block.dt.unsqueeze(-1)
        ddt = (dw * block.x).sum(-1).addcmul_(ds, block.a)  # [K, Q, H]
        grad_a += (ds * block.dt).sum((0, 1))
        if d is not None:
            dx += dy * d.to(dtype).unsqueeze(-1)
            grad_d += (dy * block.x).sum((0, 1, 3))
        for target, value in zip(grads, (dx, ddt, db, dc), strict=True):
            target[part] = block.rows(value)
    return grads[0], grads[1], grad_a.to(a.dtype), grads[2], grads[3], grad_d


def _block_gradients(
    block: Block, dy: Tensor, left: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Gradients to w, b, c, to the logarithm of each token's decay, and to the state before.

    Args:
        left: Gradient to the state behind the block; None where states are not handed on.
    """
    dy_heads = dy.transpose(1, 2).contiguous()  # [K, H, Q, P]
    read = dy_heads @ block.w_heads.transpose(2, 3)  # [K, H, Q, Q]
    dscores = read.mul_(block.decay).sum(1)  # [K, Q, Q]
    mixed = block.decay.mul_(block.scores.unsqueeze(1))
    y = block.inner(mixed)
    dw = (mixed.transpose(2, 3) @ dy_heads).transpose(1, 2)  # [K, Q, H, P]
    dc, db = dscores @ block.b, dscores.transpose(1, 2) @ block.c
    if left is not None:
        y = y + block.outer()
        read = (dy * block.read.unsqueeze(-1)).flatten(2)  # [K, Q, H * P]
        into = block.c.transpose(1, 2) @ read  # [K, N, H * P]
        dstates = recur(block.wide(block.shrink).flip(0), into.flip(0), left).flip(0)
        dc += read @ block.states[:-1].transpose(1, 2)
        db += block.w_kept @ dstates[1:].transpose(1, 2)
        dw = dw + (block.b @ dstates[1:]).view(dy.shape) * block.kept.unsqueeze(-1)
    ds = (dy * y).sum(-1) - (dw * block.w).sum(-1)  # [K, Q, H]
    if left is not None:
        after = (dstates[1:] * block.states[1:]).sum(1)  # [K, H * P]
        ds[:, -1] += after.view(-1, *dy.shape[2:]).sum(-1)
        left = dstates[0].clone()
    # A decay counts for all later tokens of its sequence.
    return dw, db, dc, block.same.to(ds.dtype).transpose(1, 2) @ ds, left


def _fake_gradients(grad, x, dt, a, b, c, d, position, kept, chunk, linked):
    grad_d = a.new_empty(a.shape if d is not None else 0, dtype=compute_dtype(x))
    return (*(torch.empty_like(t) for t in (x, dt, a, b, c)), grad_d)


def _save(ctx, inputs, output):
    x, dt, a, b, c, d, position, chunk, linked = inputs
    ctx.save_for_backward(x, dt, a, b, c, d, position, output[1])
    ctx.settings = chunk, linked
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, grad, _):
    saved = ctx.saved_tensors  # once: checkpointing hands each out a single time
    grads = list(_ssd_backward(grad, *saved, *ctx.settings))
    grads[5] = None if saved[5] is None else grads[5].to(saved[5].dtype)
    return (*grads, None, None, None)


_ssd = Operator("gnnzoo::ssd_scan", _forward, _fake, _backward, _save)
_ssd_backward = Operator(
    "gnnzoo::ssd_scan_backward", _gradients, _fake_gradients, refuse_double_backward
)
