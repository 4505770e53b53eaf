"""What a sheaf Laplacian does to features, in blocks: fused on CUDA, through CSR, portable."""

import torch
from torch import Tensor

from gnnzoo.ops import backends
from gnnzoo.ops.sheaf_pattern import SheafPattern, block_entries
from gnnzoo.ops.spmm import edge_dot, multiply

FEW_ENTRIES = 1 << 16  # a matrix of so many is kept, which is little and takes a while to make
FEW_NODES = 4096  # up to here a batched product beats one along a pattern
MAX_FUSED_STALKS = 8  # more would not fit the registers of a fused program
CHUNK_ELEMENTS = 1 << 20  # floats per gathered block of the portable back-end


class SheafBlocks:
    """Products with the blocks of a pattern, without autograd.

    Values at nodes are ``[num_nodes, 1]``, one number for all stalk dimensions, ``[num_nodes,
    num_stalks]``, one for each, or ``[num_nodes, num_stored]``, blocks as `SheafPattern` has them.

    Args:
        pattern: Where the entries are.
        num_stalks: Stalk dimensions, learned and fixed.
        stalk_dim: The learned ones.
        full: Whether the learned ones are coupled with each other.
        symmetric: Whether S equals its transpose.
    """

    def __init__(
        self,
        pattern: SheafPattern,
        num_stalks: int,
        stalk_dim: int,
        full: bool,
        symmetric: bool = True,
    ) -> None:
        self.pattern, self.num_stalks = pattern, num_stalks
        self.stalk_dim, self.full, self.symmetric = stalk_dim, full, symmetric
        name = backends.choose("sheaf", pattern.ends.device)
        self.by_csr = name != "torch"
        self._kept: tuple[Tensor, Tensor] | None = None
        self.fused = name == "triton" and num_stalks <= MAX_FUSED_STALKS

    def apply(
        self, x: Tensor, off: Tensor, degree: Tensor, scale: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """``S L S^T x`` and, for the backward pass, ``L S^T x``.

        Without S they are one tensor.
        """
        if scale is None:
            out = self.laplacian(x, off, degree)
            return out, out
        kept = self.laplacian(self.scaled(scale, x), off, degree)
        return self.at_nodes(scale, kept), kept

    def gradients(
        self,
        grad: Tensor,
        x: Tensor,
        kept: Tensor,
        off: Tensor,
        degree: Tensor,
        scale: Tensor | None,
        needs: tuple[bool, bool, bool],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of `apply` to x, B, D and S; empty ones where none is needed."""
        needs_off, needs_degree, needs_scale = needs
        grad_off = grad_degree = grad_scale = None
        h = grad if scale is None else self.scaled(scale, grad)
        q = self.laplacian(h, off, degree)
        if needs_off or needs_degree:
            z = x if scale is None else self.scaled(scale, x)
        if needs_off:
            grad_off = self.dots_of_pairs(h, z, off.shape)
        if needs_degree:
            grad_degree = self.dots_at_nodes(degree, h, z)
        if needs_scale:
            grad_scale = self.dots_at_nodes(scale, grad, kept)
            grad_scale.add_(self.dots_at_nodes(scale, x, q))
        grad_x = q if scale is None else self.at_nodes(scale, q)
        rest = grad_off, grad_degree, grad_scale
        return grad_x, *(x.new_empty(0) if g is None else g for g in rest)

    def scaled(self, scale: Tensor, x: Tensor) -> Tensor:
        """``S^T x``."""
        return self.at_nodes(scale, x, transposed=not self.symmetric)

    def laplacian(self, z: Tensor, off: Tensor, degree: Tensor) -> Tensor:
        """``L z``; shape as `z`."""
        if self.fused and off.numel() and z.numel():
            from gnnzoo.ops import sheaf_triton

            return sheaf_triton.laplacian(
                z.contiguous(), off, degree, self.pattern, self.stalk_dim, self.full
            )
        out = self.at_nodes(degree, z)
        if off.numel() == 0 or z.numel() == 0:
            return out
        if not self.by_csr:
            return self._add_in_chunks(out, z, off)
        size, channels = z.size(0) * z.size(1), z.size(2)
        out.view(size, channels).addmm_(self._matrix(off, size), z.view(size, channels))
        return out

    def _matrix(self, off: Tensor, size: int) -> Tensor:
        """Blocks off the diagonal as a CSR tensor; a small one is kept for the backward pass."""
        if self._kept is not None and self._kept[0] is off:
            return self._kept[1]
        values = off.view(-1).index_select(0, self.pattern.fill)
        rowptr, col = self.pattern.rowptr, self.pattern.col
        matrix = torch.sparse_csr_tensor(rowptr, col, values, (size, size), check_invariants=False)
        if values.numel() <= FEW_ENTRIES:
            self._kept = off, matrix
        return matrix

    def at_nodes(self, values: Tensor, x: Tensor, transposed: bool = False) -> Tensor:
        """Values at nodes times features; shape as `x`."""
        if values.size(1) in (1, self.num_stalks):
            return x * values.unsqueeze(-1)
        if not self.by_csr:
            blocks = self._spell_out(values.t())
            return _times(blocks.mT if transposed else blocks, x)
        if transposed:
            values = self._transposed(values)
        size, channels, out = x.size(0) * x.size(1), x.size(2), torch.empty_like(x)
        rows = self.pattern.node_rowptr, self.pattern.node_col
        multiply(x.view(size, channels), values.reshape(-1), *rows, out.view(size, channels))
        return out

    def dots_at_nodes(self, values: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """``left right^T`` of each node, in the shape of `values`."""
        if values.size(1) == 1:
            return (left * right).flatten(1).sum(1, keepdim=True)
        if values.size(1) == self.num_stalks:
            return (left * right).sum(-1)
        if not self.by_csr:
            return self._pick(_outer(left, right)).t()
        if left.size(0) <= FEW_NODES and left.size(1) == self.stalk_dim:
            return torch.bmm(left, right.mT).flatten(1)
        left, right = left.flatten(0, 1), right.flatten(0, 1)
        rows = self.pattern.node_rowptr, self.pattern.node_col, self.pattern.node_row
        return edge_dot(left, right, *rows).view(values.shape)

    def dots_of_pairs(self, h: Tensor, z: Tensor, shape: torch.Size) -> Tensor:
        """``h_u z_v^T + z_u h_v^T`` for the ends of each pair, stored as `SheafPattern` says."""
        if self.fused:
            from gnnzoo.ops import sheaf_triton

            ends, dim = self.pattern.ends, self.stalk_dim
            return sheaf_triton.dots_of_pairs(
                h.contiguous(), z.contiguous(), ends, shape, dim, self.full
            )
        if not self.by_csr:
            return self._dots_in_chunks(h, z, shape)
        left = torch.cat([h, z], dim=-1).flatten(0, 1)
        right = torch.cat([z, h], dim=-1).flatten(0, 1)
        upper = self.pattern.up_rowptr, self.pattern.up_col, self.pattern.up_row
        dots = edge_dot(left, right, *upper)
        return dots.index_select(0, self.pattern.order).view(shape)

    def _transposed(self, values: Tensor) -> Tensor:
        size = self.stalk_dim
        learned = values[:, : size * size].view(-1, size, size).mT.flatten(1)
        return torch.cat([learned, values[:, size * size :]], dim=1)

    def _chunks(self, x: Tensor) -> list[slice]:
        step = max(CHUNK_ELEMENTS // max(x.size(1) * x.size(2), 1), 1)
        num_pairs = self.pattern.ends.size(1)
        return [slice(start, start + step) for start in range(0, num_pairs, step)]

    def _spell_out(self, stored: Tensor) -> Tensor:
        """``[num_stored, count]`` as blocks ``[count, num_stalks, num_stalks]``."""
        blocks = stored.new_zeros(stored.size(1), self.num_stalks, self.num_stalks)
        for j, (k, m) in enumerate(self._block()):
            blocks[:, k, m] = stored[j]
        return blocks

    def _pick(self, blocks: Tensor) -> Tensor:
        """``[count, num_stalks, num_stalks]`` as ``[num_stored, count]``."""
        return torch.stack([blocks[:, k, m] for k, m in self._block()])

    def _block(self) -> list[tuple[int, int]]:
        return block_entries(self.stalk_dim, self.full, self.num_stalks - self.stalk_dim)

    def _add_in_chunks(self, out: Tensor, z: Tensor, off: Tensor) -> Tensor:
        for part in self._chunks(z):
            u, v = self.pattern.ends[:, part]
            if not self.full:
                block = off[part].unsqueeze(-1)
                to_u, to_v = block * z[v], block * z[u]
            else:
                block = self._spell_out(off[:, part])
                to_u, to_v = _times(block, z[v]), _times(block.mT, z[u])
            out.index_add_(0, u, to_u).index_add_(0, v, to_v)
        return out

    def _dots_in_chunks(self, h: Tensor, z: Tensor, shape: torch.Size) -> Tensor:
        out = h.new_empty(shape)
        for part in self._chunks(h):
            u, v = self.pattern.ends[:, part]
            if not self.full:
                out[part] = (h[u] * z[v] + z[u] * h[v]).sum(-1)
            else:
                out[:, part] = self._pick(_outer(h[u], z[v]) + _outer(z[u], h[v]))
        return out


def _times(blocks: Tensor, x: Tensor) -> Tensor:
    """``[count, stalks, stalks]`` times ``[count, stalks, channels]``.

    Not by library: neither autocast nor a GPU's reduced precision shall round it.
    """
    out = torch.zeros_like(x)
    for m in range(x.size(1)):
        out.addcmul_(blocks[:, :, m, None], x[:, m, None, :])
    return out


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """``left right^T`` for each row, ``[count, stalks, stalks]``."""
    return torch.stack([(left[:, k, None] * right).sum(-1) for k in range(left.size(1))], dim=1)
