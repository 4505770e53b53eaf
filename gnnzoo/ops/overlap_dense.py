"""Overlaps of neighbourhoods by rows of a dense mask, for graphs with few nodes and many edges."""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gnnzoo.ops.bags import Bags
from gnnzoo.ops.csr import CSR, builder
from gnnzoo.ops.overlap_torch import offsets_of

_MASKS: WeakKeyDictionary[CSR, Tensor] = WeakKeyDictionary()


def overlap(csr: CSR, first: Tensor, second: Tensor, differences: bool) -> tuple[Bags, ...]:
    """As `gnnzoo.ops.overlap_torch.overlap`."""
    mask = mask_of(csr)
    left, right = mask[first], mask[second]  # [num_pairs, num_nodes]
    both = left & right
    found = (both, left ^ both, right ^ both) if differences else (both,)
    return tuple(_bags(part) for part in found)


def mask_of(csr: CSR) -> Tensor:
    """``[num_rows, num_cols]``, bool: where the entries are. Made once per pattern."""
    if csr not in _MASKS:
        _MASKS[csr] = _make_mask(csr)
    return _MASKS[csr]


@builder
def _make_mask(csr: CSR) -> Tensor:
    mask = torch.zeros(csr.shape, dtype=torch.bool, device=csr.device)
    mask[csr.row.long(), csr.col.long()] = True
    return mask


def _bags(mask: Tensor) -> Bags:
    owner, node = mask.nonzero(as_tuple=True)
    return Bags(offsets_of(torch.bincount(owner, minlength=mask.size(0))), node)
