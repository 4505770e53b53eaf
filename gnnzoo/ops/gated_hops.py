r"""Propagate K hops and add them up through a gate, as one operator.

.. math:: H_0 = Z, \quad H_k = A H_{k-1}, \quad g_k = \sigma(H_k s + b), \quad
          O = \sum_{k=0}^{K} \mathrm{diag}(g_k) H_k

Backward, with :math:`G = \partial L / \partial O` and
:math:`\delta_k = \mathrm{rowsum}(G \odot H_k) \odot g_k \odot (1 - g_k)`,
:math:`D_k = \mathrm{diag}(g_k) G + \delta_k s^\top`: :math:`B_K = D_K`,
:math:`B_{k-1} = A^\top B_k + D_{k-1}`, and :math:`B_0` is the gradient to Z.
:math:`D_k` does not need :math:`H_k`, which is why hops can be recomputed in ascending order.

A small graph is bound by the number of operations launched, so hops are treated in groups, as many
at once as fit in `GROUP_ELEMENTS`; on a large graph a group is one hop. A large graph is bound by
memory, so there elementwise work goes over a few rows at a time, while they are in the cache.
"""

from collections.abc import Iterator
from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor

from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.spare import large_empty
from gnnzoo.ops.spmm import (
    check_operand,
    compute_dtype,
    edge_dot,
    multiply,
    restore_dtype,
)

MEMORY_MODES = ("store", "recompute", "store_half")
GROUP_ELEMENTS = 1 << 18
CHUNK_ELEMENTS = 1 << 19


def gated_hops(
    matrix: SparseMatrix,
    z: Tensor,
    gate_weight: Tensor,
    gate_bias: Tensor | None,
    num_hops: int,
    memory: str = "store",
) -> tuple[Tensor, Tensor]:
    """Gated sum of ``A^k z`` for k = 0 .. `num_hops`.

    Args:
        matrix: Propagation matrix, square; its values may require a gradient.
        z: What is propagated.
        gate_weight: The vector s, shared by all hops.
        gate_bias: The scalar b, or None for none.
        num_hops: K.
        memory: What a backward pass finds: ``store`` keeps every hop, ``store_half`` keeps them in
            bfloat16 (only the gradients to the gate and to the values see the rounding),
            ``recompute`` keeps the gates alone and propagates once more.

    Shapes:
        z: ``[num_nodes, channels]``.
        gate_weight: ``[channels]``. gate_bias: ``[1]``.
        returns: ``[num_nodes, channels]`` and the gates ``[num_hops + 1, num_nodes]``.
    """
    check_operand(matrix, z)
    dtype = compute_dtype(z)
    dense = z.to(dtype).contiguous()
    weight = gate_weight.to(dtype)
    bias = None if gate_bias is None else gate_bias.to(dtype)
    matrix = matrix.astype(dtype)
    csr = matrix.csr
    differentiable = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (dense, weight, bias, matrix.values)
    )
    if differentiable:
        other = matrix.transposed()
        tail = (other.values, other.csr.rowptr, other.csr.col, csr.row, num_hops, memory)
    else:
        tail = (None, None, None, None, num_hops, "none")
    out, gates, _ = _gated_hops(dense, weight, bias, matrix.values, csr.rowptr, csr.col, *tail)
    return restore_dtype(out, z), gates


class _Adjacency(NamedTuple):
    values: Tensor
    rowptr: Tensor
    col: Tensor

    def times(self, x: Tensor, out: Tensor, beta: float = 0.0) -> Tensor:
        return multiply(x, self.values, self.rowptr, self.col, out, beta)


def _groups(z: Tensor, num_hops: int) -> list[slice]:
    size = min(max(GROUP_ELEMENTS // max(z.numel(), 1), 1), num_hops + 1)
    return [slice(k, min(k + size, num_hops + 1)) for k in range(0, num_hops + 1, size)]


def _chunks(z: Tensor) -> list[slice]:
    """Rows to treat together; all of them where a group may be more than one hop."""
    size = max(CHUNK_ELEMENTS // max(z.size(1), 1), 1)
    return [slice(row, row + size) for row in range(0, max(z.size(0), 1), size)]


def _blocks(z: Tensor, groups: list[slice]) -> list[Tensor]:
    """Two buffers of one group each, used in turns; one if there is but one group."""
    return [z.new_empty(groups[0].stop, *z.shape) for _ in groups[:2]]


def _ascending(
    z: Tensor, adjacency: _Adjacency, groups: list[slice], kept: Tensor | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """H_0 .. H_K, a group at a time, written into `kept` or into buffers that are used again."""
    blocks = _blocks(z, groups) if kept is None else []
    last = None
    for i, part in enumerate(groups):
        block = kept[part] if kept is not None else blocks[i % 2][: part.stop - part.start]
        for hop in block.unbind():
            last = hop.copy_(z) if last is None else adjacency.times(last, out=hop)
        yield part, block


def _rows(hops: Tensor) -> Tensor:
    """The hops of a group one below the other: ``[hops * num_nodes, channels]``."""
    return hops.view(hops.size(0) * hops.size(1), hops.size(2))


def _kept_hops(z: Tensor, num_hops: int, memory: str) -> tuple[tuple[int, ...], torch.dtype]:
    """Shape and type of what waits for the backward pass: every hop, or none."""
    count = num_hops + 1 if memory in ("store", "store_half") else 0
    return (count, *z.shape), torch.bfloat16 if memory == "store_half" else z.dtype


def _forward(
    z: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    values: Tensor,
    rowptr: Tensor,
    col: Tensor,
    values_t: Tensor | None,
    rowptr_t: Tensor | None,
    col_t: Tensor | None,
    row: Tensor | None,
    num_hops: int,
    memory: str,
) -> tuple[Tensor, Tensor, Tensor]:
    groups = _groups(z, num_hops)
    gates = z.new_empty(num_hops + 1, z.size(0))
    kept = large_empty(*_kept_hops(z, num_hops, memory), z.device)
    out = torch.zeros_like(z)
    adjacency = _Adjacency(values, rowptr, col)
    for part, hops in _ascending(z, adjacency, groups, kept if memory == "store" else None):
        if memory == "store_half":
            kept[part].copy_(hops)
        gate = gates[part]
        torch.mv(_rows(hops), weight, out=gate.view(-1))
        if bias is not None:
            gate.add_(bias)
        gate.sigmoid_()
        if hops.size(0) == 1:
            out.addcmul_(hops[0], gate[0].unsqueeze(-1))
        else:
            out.add_(torch.mul(hops, gate.unsqueeze(-1)).sum(0))
    return out, gates, kept


def _fake(z, weight, bias, values, rowptr, col, values_t, rowptr_t, col_t, row, num_hops, memory):
    gates = z.new_empty(num_hops + 1, z.size(0))
    shape, dtype = _kept_hops(z, num_hops, memory)
    return torch.empty_like(z), gates, z.new_empty(shape, dtype=dtype)


def _gradients(
    grad: Tensor,
    grad_gates: Tensor | None,
    z: Tensor,
    weight: Tensor,
    gates: Tensor,
    kept: Tensor,
    values: Tensor,
    rowptr: Tensor,
    col: Tensor,
    values_t: Tensor,
    rowptr_t: Tensor,
    col_t: Tensor,
    row: Tensor,
    num_hops: int,
    memory: str,
    needs_values: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients to z, s, b and the values (empty when not needed)."""
    groups, chunks = _groups(z, num_hops), _chunks(z)
    adjacency, other = _Adjacency(values, rowptr, col), _Adjacency(values_t, rowptr_t, col_t)
    delta = gates * (1 - gates)  # [num_hops + 1, num_nodes]
    grad_weight = torch.zeros_like(weight)
    ones = torch.ones_like(weight)

    def add_gate_gradient(part: slice, hops: Tensor, rows: slice, buffer: Tensor) -> None:
        hops, own = hops[:, rows], delta[part, rows]
        product = torch.mul(hops, grad[rows], out=buffer[:, rows])
        share = torch.mv(_rows(product), ones).view(own.shape)  # dL/dg of the group
        if grad_gates is not None:
            share.add_(grad_gates[part, rows])
        own.mul_(share)
        grad_weight.addmv_(_rows(hops).t(), own.view(-1))

    if memory == "recompute":
        buffer = z.new_empty(groups[0].stop, *z.shape)
        for part, hops in _ascending(z, adjacency, groups):
            for rows in chunks:
                add_gate_gradient(part, hops, rows, buffer[: hops.size(0)])
        del buffer, hops

    recomputed = _descending(z, adjacency, num_hops) if memory == "recompute" else None
    grad_values = torch.zeros_like(values) if needs_values else values.new_empty(0)
    adjoint, blocks = None, _blocks(z, groups)
    for i, part in enumerate(reversed(groups)):
        direct = blocks[i % 2][: part.stop - part.start]  # D_k, then B_k in its place
        hops = None if memory == "recompute" else kept[part].to(z.dtype)
        for rows in chunks:
            if hops is not None:
                add_gate_gradient(part, hops, rows, direct)
            torch.mul(grad[rows], gates[part, rows].unsqueeze(-1), out=direct[:, rows])
            direct[:, rows].addcmul_(delta[part, rows].unsqueeze(-1), weight)
        for k in reversed(range(part.stop - part.start)):
            if adjoint is not None:
                other.times(adjoint, out=direct[k], beta=1.0)
            if needs_values:
                hop = hops[k] if recomputed is None else next(recomputed)
                if adjoint is not None:
                    grad_values.add_(edge_dot(adjoint, hop, rowptr, col, row))
            adjoint = direct[k]
    grad_z = adjoint if groups[0].stop == 1 else adjoint.clone()  # alone in its block, or not
    return grad_z, grad_weight, delta.sum().reshape(1), grad_values


def _descending(z: Tensor, adjacency: _Adjacency, num_hops: int) -> Iterator[Tensor]:
    """H_K, .., H_0, holding about 2 sqrt(K) of them at a time."""
    step = isqrt(num_hops) + 1
    starts, hop = [z], z
    for k in range(1, num_hops + 1):
        hop = adjacency.times(hop, out=torch.empty_like(z))
        if k % step == 0:
            starts.append(hop)
    while starts:
        hops = [starts.pop()]
        first = len(starts) * step
        for _ in range(first + 1, min(first + step, num_hops + 1)):
            hops.append(adjacency.times(hops[-1], out=torch.empty_like(z)))
        while hops:
            yield hops.pop()


def _fake_gradients(
    grad, grad_gates, z, weight, gates, kept, values, rowptr, col, values_t, rowptr_t, col_t, row,
    num_hops, memory, needs_values,
):  # fmt: skip
    grad_values = torch.empty_like(values) if needs_values else values.new_empty(0)
    return torch.empty_like(z), torch.empty_like(weight), weight.new_empty(1), grad_values


def _save(ctx, inputs, output) -> None:
    z, weight, bias, *rest, num_hops, memory = inputs
    _, gates, kept = output
    ctx.mark_non_differentiable(kept)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(z if memory == "recompute" else None, weight, gates, kept, *rest)
    ctx.num_hops, ctx.memory, ctx.has_bias = num_hops, memory, bias is not None


def _backward(ctx, grad, grad_gates, _):
    z, weight, *rest = ctx.saved_tensors
    needs_values = ctx.needs_input_grad[3]
    if grad is None:
        grad = weight.new_zeros(rest[0].size(1), weight.numel())  # only the gates were used
    grad = grad.contiguous()
    z = grad if z is None else z  # where hops are kept, only its shape is read
    grad_z, grad_weight, grad_bias, grad_values = _gated_hops_backward(
        grad, grad_gates, z, weight, *rest, ctx.num_hops, ctx.memory, needs_values
    )
    return (
        grad_z,
        grad_weight,
        grad_bias if ctx.has_bias else None,
        grad_values if needs_values else None,
        *[None] * 8,
    )


_gated_hops = Operator("gnnzoo::gated_hops", _forward, _fake, _backward, _save)
_gated_hops_backward = Operator(
    "gnnzoo::gated_hops_backward", _gradients, _fake_gradients, refuse_double_backward
)
