r"""Propagate K hops and add them up through a gate, as one operator.

.. math:: H_0 = Z, \quad H_k = A H_{k-1}, \quad g_k = \sigma(H_k s + b), \quad
          O = \sum_{k=0}^{K} \mathrm{diag}(g_k) H_k

Backward, with :math:`G = \partial L / \partial O` and
:math:`\delta_k = \mathrm{rowsum}(G \odot H_k) \odot g_k \odot (1 - g_k)`,
:math:`D_k = \mathrm{diag}(g_k) G + \delta_k s^\top`: :math:`B_K = D_K`, :math:`B_{k-1} = A^\top B_k + D_{k-1}`, and :math:`B_0` is the gradient to Z.
:math:`D_k` does not need :math:`H_k`, which is why hops can be recomputed in ascending order.
"""

from collections.abc import Iterator
from math import isqrt

import torch
from torch import Tensor

from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.spmm import (
    check_operand,
    compute_dtype,
    edge_dot,
    multiply,
    refuse_double_backward,
    restore_dtype,
)

MEMORY_MODES = ("store", "recompute", "store_half")


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
            bfloat16 (only the gate's gradient sees the rounding), ``recompute`` keeps the gates
            alone and propagates once more.

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


@torch.library.custom_op("gnnzoo::gated_hops", mutates_args=())
def _gated_hops(
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
    gates = z.new_empty(num_hops + 1, z.size(0))
    kept = _kept_hops(z, num_hops, memory)
    spare = [torch.empty_like(z) for _ in range(0 if memory == "store" else min(num_hops, 2))]
    hop = z
    for k in range(num_hops + 1):
        if k > 0:
            into = kept[k - 1] if memory == "store" else spare[k % len(spare)]
            hop = multiply(hop, values, rowptr, col, out=into)
            if memory == "store_half":
                kept[k - 1].copy_(hop)
        gate = torch.mv(hop, weight, out=gates[k])
        if bias is not None:
            gate.add_(bias)
        gate.sigmoid_()
        if k == 0:
            out = hop * gate.unsqueeze(-1)
        else:
            out.addcmul_(hop, gate.unsqueeze(-1))
    return out, gates, kept


def _kept_hops(z: Tensor, num_hops: int, memory: str) -> Tensor:
    """``[num_hops, num_nodes, channels]``, or no hops at all, for the backward pass."""
    count = num_hops if memory in ("store", "store_half") else 0
    dtype = torch.bfloat16 if memory == "store_half" else z.dtype
    return z.new_empty(count, *z.shape, dtype=dtype)


@_gated_hops.register_fake
def _(z, weight, bias, values, rowptr, col, values_t, rowptr_t, col_t, row, num_hops, memory):
    gates = z.new_empty(num_hops + 1, z.size(0))
    return torch.empty_like(z), gates, _kept_hops(z, num_hops, memory)


@torch.library.custom_op("gnnzoo::gated_hops_backward", mutates_args=())
def _gated_hops_backward(
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
    slope = gates * (1 - gates)  # [num_hops + 1, num_nodes]
    delta = torch.empty_like(gates)
    grad_weight = torch.zeros_like(weight)
    product = torch.empty_like(z)

    def gate_gradient(k: int, hop: Tensor) -> None:
        torch.sum(torch.mul(grad, hop, out=product), 1, out=delta[k])
        if grad_gates is not None:
            delta[k].add_(grad_gates[k])
        delta[k].mul_(slope[k])
        grad_weight.addmv_(hop.t(), delta[k])

    def propagate(hop: Tensor, out: Tensor) -> Tensor:
        return multiply(hop, values, rowptr, col, out=out)

    if memory == "recompute" and not needs_values:
        spare, hop = [torch.empty_like(z) for _ in range(min(num_hops, 2))], z
        for k in range(num_hops + 1):
            hop = propagate(hop, spare[k % 2 if num_hops > 1 else 0]) if k else z
            gate_gradient(k, hop)
        spare.clear()
        descending = iter([None] * (num_hops + 1))
    elif memory == "recompute":
        descending = _recomputed(z, num_hops, propagate)
    else:
        descending = (kept[k - 1].to(z.dtype) if k else z for k in range(num_hops, -1, -1))

    grad_values = torch.zeros_like(values) if needs_values else values.new_empty(0)
    adjoint, other = None, torch.empty_like(z)
    for k, hop in zip(range(num_hops, -1, -1), descending, strict=True):
        if hop is not None:
            if needs_values and adjoint is not None:
                grad_values.add_(edge_dot(adjoint, hop, rowptr, col, row))
            gate_gradient(k, hop)
        torch.mul(grad, gates[k].unsqueeze(-1), out=other).addr_(delta[k], weight)  # D_k
        if adjoint is None:
            adjoint, other = other, product if num_hops and hop is None else torch.empty_like(z)
        else:
            multiply(adjoint, values_t, rowptr_t, col_t, out=other, beta=1.0)
            adjoint, other = other, adjoint
    return adjoint, grad_weight, delta.sum().reshape(1), grad_values


def _recomputed(z: Tensor, num_hops: int, propagate) -> Iterator[Tensor]:
    """H_K, .., H_0, holding about 2 sqrt(K) of them at a time."""
    step = isqrt(num_hops) + 1
    starts, hop = [z], z
    for k in range(1, num_hops + 1):
        hop = propagate(hop, torch.empty_like(z))
        if k % step == 0:
            starts.append(hop)
    for block in range(len(starts) - 1, -1, -1):
        hops = [starts.pop()]
        for _ in range(block * step + 1, min((block + 1) * step, num_hops + 1)):
            hops.append(propagate(hops[-1], torch.empty_like(z)))
        while hops:
            yield hops.pop()


@_gated_hops_backward.register_fake
def _(
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
    ctx.save_for_backward(z, weight, gates, kept, *rest)
    ctx.num_hops, ctx.memory, ctx.has_bias = num_hops, memory, bias is not None


def _backward(ctx, grad, grad_gates, _):
    z, weight, *rest = ctx.saved_tensors
    needs_values = ctx.needs_input_grad[3]
    grad = torch.zeros_like(z) if grad is None else grad.contiguous()
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


_gated_hops.register_autograd(_backward, setup_context=_save)
_gated_hops_backward.register_autograd(refuse_double_backward)
