"""Learned vectors for columns of categories, added up."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gnnzoo.nn.checks import check_count


class CategoryEmbedding(nn.Module):
    r"""Embed each column of categories by a table of its own and add the vectors up.

    .. math:: h_i = \sum_c T_c[x_{ic}]

    As the encoders of atoms and bonds of "Open Graph Benchmark" (Hu et al., NeurIPS 2020),
    https://arxiv.org/abs/2005.00687, with their initialisation, Xavier's uniform for each table.
    Tables are one matrix here, so that a row is looked up and added up in one operation.

    Args:
        sizes: Number of categories of each column.
        channels: Width of the vectors.

    Shapes:
        x: ``[num_rows, num_columns]``, int64, each below the size of its column.
        returns: ``[num_rows, channels]``.

    Raises:
        ValueError: If there is no column, a size or `channels` is below 1, or `x` is no matrix of
            integers of that many columns.
    """

    def __init__(self, sizes: Sequence[int], channels: int) -> None:
        super().__init__()
        if not sizes:
            raise ValueError("sizes must list the number of categories of at least one column")
        for size in sizes:
            check_count("sizes", size, 1)
        check_count("channels", channels, 1)
        self.sizes, self.channels = tuple(sizes), channels
        self.weight = nn.Parameter(torch.empty(sum(sizes), channels))
        first = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("first", first, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            for table in self.weight.split(self.sizes):
                nn.init.xavier_uniform_(table)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 2 or x.size(1) != len(self.sizes) or x.dtype != torch.int64:
            raise ValueError(
                f"x must be [num_rows, {len(self.sizes)}], int64, got {x.dtype} of shape "
                f"{list(x.shape)}"
            )
        if x.size(0) == 0:  # which the operation below does not differentiate
            return self.weight[:0]
        return F.embedding_bag(x + self.first, self.weight, mode="sum")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.sizes)}, {self.channels})"
