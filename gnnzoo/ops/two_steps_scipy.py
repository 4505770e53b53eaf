"""Two-step counts as products of sparse rows: SciPy's compiled product, on a CPU."""

import numpy
import torch
from scipy.sparse import csr_array
from torch import Tensor

from gnnzoo.ops.csr import CSR


class Counter:
    """As `gnnzoo.ops.two_steps.Counter`."""

    def __init__(self, first: CSR, second: CSR, label: Tensor) -> None:
        self.first, self.second = _truths(first), _truths(second)
        self.label = label.numpy()

    def __call__(self, rows: Tensor, paths: int) -> Tensor:
        chosen = rows.numpy()
        reached = self.first[chosen] @ self.second
        owner = numpy.repeat(numpy.arange(len(chosen)), numpy.diff(reached.indptr))
        other = reached.indices != chosen[owner]
        alike = other & (self.label[reached.indices] == self.label[chosen][owner])
        counts = [numpy.bincount(owner[kind], minlength=len(chosen)) for kind in (other, alike)]
        return torch.from_numpy(numpy.stack(counts).astype(numpy.int64))


def _truths(csr: CSR) -> csr_array:
    """The pattern with True as values: sums of paths then cannot overflow."""
    values = numpy.ones(csr.num_entries, dtype=bool)
    return csr_array((values, csr.col.numpy(), csr.rowptr.numpy()), shape=csr.shape, copy=False)
