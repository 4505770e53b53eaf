"""The fused scan gives what the portable one gives; on a CPU through the interpreter."""

import pytest
import torch

from gnnzoo.ops import backends, selective_scan
from gnnzoo.ops.backends import has_triton

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
fused = pytest.mark.skipif(not has_triton(), reason="Triton is not installed")


def operands(tokens, channels, states, dtype):
    torch.manual_seed(0)
    u, dt = torch.randn(tokens, channels), torch.rand(tokens, channels) * 0.1
    a, b, c = -torch.rand(channels, states) * 15, *torch.randn(2, tokens, states)
    tensors = (u, dt, a, b, c, torch.randn(channels))
    return [t.detach().to(DEVICE, dtype).requires_grad_() for t in tensors]


def results(tensors, ids, method):
    y = selective_scan(*tensors, seg=ids, method=method)
    return [y, *torch.autograd.grad(y, tensors, torch.linspace(-1, 1, y.numel()).to(y).view_as(y))]


@fused
@pytest.mark.parametrize("scratch", [1, 1 << 20])
@pytest.mark.parametrize(
    "case", [(1, 1, 1, False), (8, 3, 4, False), (14, 6, 3, True)], ids=lambda case: str(case)
)
def test_fused_scan_equals_the_portable_one(case, scratch, monkeypatch):
    from gnnzoo.ops import scan_triton

    for name, value in (("CHUNK", 4), ("TILE", 4), ("SCRATCH_CELLS", scratch)):
        monkeypatch.setattr(scan_triton, name, value)
    *sizes, packed = case
    tensors = operands(*sizes, torch.float64)
    ids = torch.tensor([0, 0, 0, 1] + 9 * [2] + [3], device=DEVICE) if packed else None
    for found, want in zip(
        results(tensors, ids, "triton"), results(tensors, ids, "tiled"), strict=True
    ):
        torch.testing.assert_close(found, want)


@fused
def test_half_precision_is_computed_in_single_precision():
    tensors = operands(9, 4, 2, torch.bfloat16)
    single = [t.detach().float().requires_grad_() for t in tensors]
    found = results(tensors, None, "triton")
    for ours, want in zip(found, results(single, None, "tiled"), strict=True):
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.float(), want, rtol=2e-2, atol=2e-2)


@fused
@pytest.mark.parametrize("sizes", [(0, 3, 2), (5, 0, 2)])
def test_no_tokens_and_no_channels(sizes):
    tensors = operands(*sizes, torch.float32)
    y = selective_scan(*tensors, method="triton")
    assert y.shape == sizes[:2]
    y.sum().backward()
    assert tensors[0].grad.shape == sizes[:2]


def test_the_fused_scan_runs_on_cuda_only_unless_asked_for():
    assert backends.choose("selective_scan", "cpu") == "torch"


def test_a_missing_triton_is_named(monkeypatch):
    monkeypatch.setattr(backends, "has_triton", lambda: False)
    with pytest.raises(ValueError, match="method='triton' needs Triton"):
        selective_scan(*operands(4, 2, 2, torch.float32), method="triton")
