"""Reductions over consecutive rows: segment ``i`` is ``x[rowptr[i]:rowptr[i + 1]]``.

With a graph's `CSR.rowptr` and one row of `x` per entry these sum, average or compare over each
node's incoming edges.
"""

import torch
from torch import Tensor

from gnnzoo.ops import backends

CLOSE = 30.0  # exp(30) is far from the largest number of float32


def segment_sum(x: Tensor, rowptr: Tensor) -> Tensor:
    """Sum of each segment; zero for an empty one.

    Shapes:
        x: ``[num_rows, ...]``.
        rowptr: ``[num_segments + 1]``, integer, from 0 to ``num_rows``, not decreasing.
        returns: ``[num_segments, ...]``.
    """
    _check(x, rowptr)
    if _use_scatter(x):
        from torch_scatter import segment_csr

        return segment_csr(x, rowptr.long(), reduce="sum")
    out = x.new_zeros(rowptr.numel() - 1, *x.shape[1:])
    return out.index_add(0, segment_ids(rowptr, x.size(0)), x)


def segment_mean(x: Tensor, rowptr: Tensor) -> Tensor:
    """Mean of each segment; zero for an empty one. Shapes as in `segment_sum`."""
    count = (rowptr[1:] - rowptr[:-1]).clamp(min=1).to(x.dtype)
    return segment_sum(x, rowptr) / count.view(-1, *[1] * (x.dim() - 1))


def segment_max(x: Tensor, rowptr: Tensor) -> Tensor:
    """Largest value of each segment; zero for an empty one. Shapes as in `segment_sum`.

    Where several rows share the largest value, the gradient goes to one of them or is split evenly,
    depending on the back-end.
    """
    _check(x, rowptr)
    if _use_scatter(x):
        from torch_scatter import segment_csr

        return segment_csr(x, rowptr.long(), reduce="max")
    ids = segment_ids(rowptr, x.size(0)).view(-1, *[1] * (x.dim() - 1)).expand_as(x)
    out = x.new_zeros(rowptr.numel() - 1, *x.shape[1:])
    return out.scatter_reduce(0, ids, x, reduce="amax", include_self=False)


def segment_softmax(
    x: Tensor, rowptr: Tensor, weight: Tensor | None = None, ids: Tensor | None = None
) -> Tensor:
    """Softmax within each segment, column by column.

    Args:
        x: Logits.
        rowptr: Where the segments begin.
        weight: Factors of the exponentials, not negative: a row of weight 2 counts twice, one of
            weight 0 not at all. A segment whose weights are all 0 gets zeros.
        ids: The segment of each row where it is known, as `CSR.row`.

    Shapes:
        x: ``[num_rows, ...]``.
        weight: as `x`.
        ids: ``[num_rows]``.
        returns: ``[num_rows, ...]``; the rows of a segment add up to 1.
    """
    ids = segment_ids(rowptr, x.size(0)) if ids is None else ids
    seen = x.detach()
    if weight is not None:  # beside a large logit of weight 0 all others would vanish
        seen = seen.masked_fill(weight == 0, torch.finfo(x.dtype).min)
    share = x - segment_max(seen, rowptr).index_select(0, ids)
    share = share.exp() if weight is None else share.clamp_max(CLOSE).exp() * weight
    total = segment_sum(share, rowptr)
    total = total if weight is None else torch.where(total > 0, total, 1.0)
    return share / total.index_select(0, ids)


def segment_ids(rowptr: Tensor, num_rows: int) -> Tensor:
    """``[num_rows]``, int64: the segment of each row."""
    segments = torch.arange(rowptr.numel() - 1, device=rowptr.device)
    counts = (rowptr[1:] - rowptr[:-1]).long()
    return segments.repeat_interleave(counts, output_size=num_rows)


def _check(x: Tensor, rowptr: Tensor) -> None:
    if rowptr.dim() != 1 or rowptr.numel() == 0:
        raise ValueError(f"rowptr must have shape [num_segments + 1], got {list(rowptr.shape)}")
    if x.device != rowptr.device:
        raise ValueError(f"x is on {x.device}, rowptr on {rowptr.device}; move one of them")


def _use_scatter(x: Tensor) -> bool:
    """torch-scatter cannot be traced, so a compiled graph takes the portable way."""
    return not torch.compiler.is_compiling() and backends.choose("segment", x.device) == "scatter"
