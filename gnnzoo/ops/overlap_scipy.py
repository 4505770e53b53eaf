"""Overlaps of neighbourhoods as products of sparse rows: SciPy's compiled merge, on a CPU."""

import numpy
import torch
from scipy.sparse import csr_array
from torch import Tensor

from gnnzoo.ops.bags import Bags
from gnnzoo.ops.csr import CSR


def overlap(csr: CSR, first: Tensor, second: Tensor, differences: bool) -> tuple[Bags, ...]:
    """As `gnnzoo.ops.overlap_torch.overlap`."""
    matrix = ones(csr)
    left, right = matrix[first.numpy()], matrix[second.numpy()]
    common = left.multiply(right)
    found = (common, left - common, right - common) if differences else (common,)
    return tuple(_bags(part) for part in found)


def ones(csr: CSR) -> csr_array:
    """The pattern with ones as values; its index arrays are those of `csr`, not copies."""
    values = numpy.ones(csr.num_entries, dtype=numpy.int8)
    matrix = csr_array((values, csr.col.numpy(), csr.rowptr.numpy()), shape=csr.shape, copy=False)
    matrix.has_canonical_format = True
    return matrix


def _bags(part: csr_array) -> Bags:
    return Bags(torch.from_numpy(part.indptr).long(), torch.from_numpy(part.indices).long())
