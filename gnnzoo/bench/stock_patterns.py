"""Directed patterns as the published code propagates them: every two-step matrix is made."""

import warnings

import torch
from torch import Tensor

from gnnzoo.bench.stock import to_csr


def materialised_patterns(
    x: Tensor, edge_index: Tensor, num_hops: int, r: float = 0.5
) -> list[list[Tensor]]:
    """Hops of A, A^T, A A, A A^T, A^T A and A^T A^T, by sparse-sparse products in plain PyTorch.

    Paper: "Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node
    Classification" (Sun et al., ICDE 2024), https://arxiv.org/abs/2312.04111

    Args:
        x: ``[num_nodes, channels]``, dense.
        edge_index: ``[2, num_edges]``, different edges without self-loops, row 0 source.
        num_hops: Hops per pattern.
        r: Share of the normalisation on the right.
    """
    ones, shape = x.new_ones(edge_index.size(1)), (x.size(0), x.size(0))
    forth = to_csr(torch.sparse_coo_tensor(edge_index, ones, shape))
    back = to_csr(torch.sparse_coo_tensor(edge_index.flip(0), ones, shape))
    loops = torch.arange(x.size(0), device=x.device).expand(2, -1)
    own = torch.sparse_coo_tensor(loops, x.new_ones(x.size(0)), shape)
    found = []
    with warnings.catch_warnings():  # torch announces that CSR tensors are in beta
        warnings.simplefilter("ignore")
        first = [to_csr((m.to_sparse_coo() + own).coalesce()) for m in (forth, back)]
        second = [forth @ forth, forth @ back, back @ forth, back @ back]
        for matrix in (*first, *second):
            step, hops = _normalized(matrix, r), [x]
            for _ in range(num_hops):
                hops.append(step @ hops[-1])
            found.append(hops[1:])
    return found


def _normalized(matrix: Tensor, r: float) -> Tensor:
    """Rows scaled by d**(r - 1) and columns by d**(-r), d the row sums; zero stays zero."""
    rowptr, col = matrix.crow_indices().long(), matrix.col_indices().long()
    row = torch.arange(matrix.size(0), device=col.device).repeat_interleave(rowptr.diff())
    sums = matrix.values().new_zeros(matrix.size(0)).index_add_(0, row, matrix.values())
    sums = torch.where(sums > 0, sums, torch.inf)
    values = matrix.values() * sums.pow(r - 1)[row] * sums.pow(-r)[col]
    return torch.sparse_csr_tensor(rowptr, col, values, matrix.shape, check_invariants=False)
