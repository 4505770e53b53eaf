"""The parallel scan that ours is held against computes what ours computes."""

import pytest
import torch

from gnnzoo.bench.stock_scan import stock_selective_scan
from gnnzoo.ops import selective_scan


@pytest.mark.parametrize("tokens", [1, 2, 3, 5, 8, 13, 31])
def test_stock_scan_equals_ours(tokens):
    torch.manual_seed(0)
    shapes = [(tokens, 4), (tokens, 4), (4, 3), (tokens, 3), (tokens, 3), (4,)]
    operands = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    operands[1], operands[2] = operands[1].abs() / 10, -operands[2].abs() * 5
    operands = [t.requires_grad_() for t in operands]
    weight = torch.randn(tokens, 4, dtype=torch.float64)
    found, want = (scan(*operands) for scan in (stock_selective_scan, selective_scan))
    torch.testing.assert_close(found, want)
    for ours, theirs in zip(
        torch.autograd.grad(want, operands, weight),
        torch.autograd.grad(found, operands, weight),
        strict=True,
    ):
        torch.testing.assert_close(theirs, ours)
