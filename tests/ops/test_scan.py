"""Scans and their convolution equal the loop over tokens, whatever pieces they are cut into."""

import sys
from types import ModuleType

import pytest
import torch

from gnnzoo.ops import Sequences, causal_conv, selective_scan, ssd_scan
from gnnzoo.ops.ssd_block import recur, recur_by_doubling
from tests.live_bytes import PeakBytes
from tests.reference.scan import loop_conv, loop_scan, loop_ssd

F64 = torch.float64
HEADS, DIM, STATES = 2, 3, 4
CLOSE = {"rtol": 1e-9, "atol": 1e-10}


def ssd_operands(tokens, dtype=F64, rate=15.0):
    x = torch.randn(tokens, HEADS, DIM, dtype=dtype)
    dt = torch.rand(tokens, HEADS, dtype=dtype) * 0.1 + 1e-3
    a = -torch.rand(HEADS, dtype=dtype) * rate - rate / 15
    b, c = torch.randn(2, tokens, STATES, dtype=dtype)
    return [t.requires_grad_() for t in (x, dt, a, b.clone(), c.clone(), torch.randn_like(a))]


def s6_operands(tokens, dtype=F64, rate=15.0):
    channels = HEADS * DIM
    u = torch.randn(tokens, channels, dtype=dtype)
    dt = torch.rand(tokens, channels, dtype=dtype) * 0.1 + 1e-3
    a = -torch.rand(channels, STATES, dtype=dtype) * rate - rate / 15
    b, c = torch.randn(2, tokens, STATES, dtype=dtype)
    d = torch.randn(channels, dtype=dtype)
    return [t.requires_grad_() for t in (u, dt, a, b.clone(), c.clone(), d)]


def conv_operands(tokens, dtype=F64, width=4):
    shapes = (tokens, 3), (3, width), (3,)
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]


SCANS = {
    "ssd": (ssd_scan, loop_ssd, ssd_operands),
    "s6": (selective_scan, loop_scan, s6_operands),
    "conv": (causal_conv, loop_conv, conv_operands),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(params=SCANS)
def scan(request):
    return SCANS[request.param]


def some_ids(tokens):
    """Sequences of very unequal lengths, some of one token; numbers are left out."""
    return (torch.rand(tokens) < 0.2).long().cumsum(0) * 2


def results(function, operands, **settings):
    """Output and gradients for fixed weights of the output."""
    y = function(*operands, **settings)
    weight = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape)
    grads = torch.autograd.grad(y, operands, weight, allow_unused=True, materialize_grads=True)
    return y, *grads


def small_pieces(monkeypatch, cells):
    for module, name, value in (
        ("ssd_block", "BLOCK_CELLS", {"cpu": cells}),
        ("tiled_scan", "TILE_CELLS", cells),
        ("causal_conv", "BLOCK_CELLS", {"cpu": cells}),
    ):
        monkeypatch.setattr(sys.modules[f"gnnzoo.ops.{module}"], name, value)


@pytest.mark.parametrize("cells", [1, 150, 1 << 18])
@pytest.mark.parametrize("tokens", [0, 1, 2, 3, 38])
@pytest.mark.parametrize("packed", [False, True])
def test_every_scan_equals_the_loop(scan, tokens, packed, cells, monkeypatch):
    small_pieces(monkeypatch, cells)
    function, loop, make = scan
    operands, ids = make(tokens), some_ids(tokens) if packed else None
    want = results(loop, operands, ids=ids)
    for found, right in zip(results(function, operands, seg=ids), want, strict=True):
        torch.testing.assert_close(found, right, **CLOSE)


@pytest.mark.parametrize("tokens", [1, 6, 7, 8, 38])
@pytest.mark.parametrize("chunk_size", [1, 7, 64])
def test_the_chunk_size_does_not_matter(tokens, chunk_size, monkeypatch):
    monkeypatch.setattr(sys.modules["gnnzoo.ops.ssd"], "MAX_WHOLE", 0)
    operands = ssd_operands(tokens)
    for ids in (None, some_ids(tokens)):
        found = results(ssd_scan, operands, seg=ids, chunk_size=chunk_size)
        for ours, right in zip(found, results(loop_ssd, operands, ids=ids), strict=True):
            torch.testing.assert_close(ours, right, **CLOSE)


@pytest.mark.parametrize("length", [1, 5, 150])
def test_sequences_of_one_length_go_side_by_side(scan, length):
    function, loop, make = scan
    sequences = Sequences.equal(3, length)
    operands, ids = make(3 * length), torch.arange(3).repeat_interleave(length)
    want = results(loop, operands, ids=ids)
    for found, right in zip(results(function, operands, seg=sequences), want, strict=True):
        torch.testing.assert_close(found, right, **CLOSE)


def test_gradients_are_exact(scan):
    function, _, make = scan
    ids = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 2])

    def run(*operands):
        return function(*operands, seg=ids, **({"chunk_size": 4} if function is ssd_scan else {}))

    assert torch.autograd.gradcheck(run, make(9))
    assert torch.autograd.gradcheck(lambda *t: function(*t), make(5)[:-1])  # no d, no bias


def test_packed_is_each_alone_and_others_have_no_influence_at_all(scan):
    function, _, make = scan
    operands, ids = make(90), torch.tensor([5, 1, 80, 4])
    whole = results(function, operands, seg=Sequences.from_ptr(torch.tensor([0, 5, 6, 86, 90])))
    start = 0
    for length in ids.tolist():
        part = slice(start, start + length)
        own = [t[part] if t.size(0) == 90 else t for t in operands]
        torch.testing.assert_close(whole[0][part], function(*own), **CLOSE)
        y = function(*operands, seg=Sequences.from_ptr(torch.tensor([0, 5, 6, 86, 90])))
        tokens = [t for t in operands if t.size(0) == 90]
        for grad in torch.autograd.grad(y[part].square().sum(), tokens):
            assert not grad[: part.start].any()
            assert not grad[part.stop :].any()
        start += length


@pytest.mark.parametrize("name", ["ssd", "s6"])
def test_single_precision_is_close_and_decays_may_be_extreme(name):
    function, loop, make = SCANS[name]
    for rate, most in ((1e-5, 1e-5), (15.0, 1e-5), (1e4, 2e-4)):  # running sums reach 1e4 there
        operands, ids = make(200, rate=rate), some_ids(200)
        single = [t.detach().float().requires_grad_() for t in operands]
        for found, right in zip(
            results(function, single, seg=ids), results(loop, operands, ids=ids), strict=True
        ):
            assert found.isfinite().all()
            scale = max(right.abs().max().item(), 1.0)
            torch.testing.assert_close(found.double(), right, rtol=1e-4, atol=most * scale)


def test_half_precision_is_computed_in_single_precision(scan):
    function, _, make = scan
    half = [t.detach().bfloat16() for t in make(70)]
    want = function(*(t.float() for t in half))
    with torch.autocast("cpu", torch.bfloat16):
        found = function(*half)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), want, rtol=2e-2, atol=2e-2)


def test_s6_with_shared_steps_and_rates_is_ssd():
    x, dt, a, b, c, d = ssd_operands(50)
    rates = a.repeat_interleave(DIM)[:, None].expand(-1, STATES)
    steps, skip = dt.repeat_interleave(DIM, 1), d.repeat_interleave(DIM)
    y = selective_scan(x.flatten(1), steps, rates, b, c, skip)
    torch.testing.assert_close(y.view(x.shape), ssd_scan(x, dt, a, b, c, d), **CLOSE)


def test_a_constant_decay_gives_a_geometric_sum():
    one = torch.ones(100, 1, dtype=F64)
    a = torch.tensor([-0.1], dtype=F64)
    y = ssd_scan(one.unsqueeze(-1), one, a, one, one).flatten()
    powers = torch.arange(1, 101, dtype=F64)
    torch.testing.assert_close(y, (1 - torch.exp(a * powers)) / (1 - torch.exp(a)))


@pytest.mark.parametrize("count", [0, 1, 2, 7, 16])
def test_states_between_chunks_by_doubling_and_step_by_step(count):
    factor, added = torch.rand(count, 1, 6), torch.randn(count, 2, 6)
    state = torch.randn(2, 6)
    found = recur_by_doubling(factor, torch.cat([state.unsqueeze(0), added]))
    torch.testing.assert_close(found, recur(factor, added, state))


@pytest.mark.parametrize("name", ["ssd", "s6"])
def test_memory_grows_with_tokens_and_not_with_their_states_or_pairs(name, monkeypatch):
    small_pieces(monkeypatch, 1 << 12)
    monkeypatch.setattr(sys.modules[__name__], "STATES", 16)
    function, _, make = SCANS[name]
    peaks, sizes = [], []
    for tokens in (2_000, 4_000):
        operands = make(tokens, torch.float32)
        with PeakBytes(operands) as peak:
            function(*operands).sum().backward()
        peaks.append(peak.peak)
        sizes.append(sum(t.nbytes for t in operands))
    # A result and gradients; states of all tokens or all pairs of a chunk would take more.
    assert peaks[1] - peaks[0] < 2 * (sizes[1] - sizes[0])


def test_a_second_derivative_is_refused(scan):
    function, _, make = scan
    operands = make(5)
    (grad,) = torch.autograd.grad(function(*operands).sum(), operands[0], create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        grad.sum().backward()


def test_scans_compile(scan):
    function, _, make = scan
    operands = make(12, torch.float32)
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    sequences = Sequences.equal(3, 4)
    _ = sequences.position
    for found, right in zip(
        results(compiled, operands, seg=sequences),
        results(function, operands, seg=sequences),
        strict=True,
    ):
        torch.testing.assert_close(found, right)


def test_positions_count_from_either_end():
    sequences = Sequences.from_ids(torch.tensor([0, 0, 0, 4, 7, 7]))
    assert sequences.position.tolist() == [0, 1, 2, 0, 0, 1]
    assert sequences.reverse.position.tolist() == [0, 1, 0, 0, 1, 2]
    ptr = Sequences.from_ptr(torch.tensor([0, 3, 3, 4, 6]))
    assert torch.equal(ptr.start, sequences.start)
    assert repr(ptr) == "Sequences(6 tokens)"


def test_what_does_not_fit_is_named():
    x, dt, a, b, c, d = ssd_operands(6)
    with pytest.raises(ValueError, match=r"ids must not decrease.* go from 2 to 1 at token 3"):
        ssd_scan(x, dt, a, b, c, d, torch.tensor([0, 1, 2, 1, 1, 1]))
    with pytest.raises(ValueError, match=r"ids must be integers .* got torch\.float32"):
        ssd_scan(x, dt, a, b, c, d, torch.zeros(6))
    with pytest.raises(ValueError, match="seg names 5 tokens, but there are 6"):
        ssd_scan(x, dt, a, b, c, d, torch.zeros(5, dtype=torch.long))
    with pytest.raises(ValueError, match=r"dt must have shape \[6, 2\] .* got \[6, 1\]"):
        ssd_scan(x, dt[:, :1], a, b, c)
    with pytest.raises(ValueError, match="chunk_size must be at least 1, got 0"):
        ssd_scan(x, dt, a, b, c, chunk_size=0)
    with pytest.raises(ValueError, match=r"x must have shape \[num_tokens, num_heads, head_dim\]"):
        ssd_scan(x[0], dt, a, b, c)
    with pytest.raises(ValueError, match=r"ptr must .* begin with 0"):
        Sequences.from_ptr(torch.tensor([1, 2]))
    operands = s6_operands(6)
    with pytest.raises(ValueError, match=r"method must be one of 'auto', .* got 'stream'"):
        selective_scan(*operands, method="stream")
    with pytest.raises(ValueError, match=r"u must have shape \[num_tokens, channels\]"):
        selective_scan(operands[0][0], *operands[1:])
    with pytest.raises(ValueError, match=r"weight \[channels, width\]"):
        causal_conv(x, d)


def test_mamba_ssm_is_named_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    with pytest.raises(ImportError, match="pip install mamba-ssm"):
        selective_scan(*s6_operands(6), method="mamba_ssm")


def test_mamba_ssm_gets_one_sequence_and_tokens_that_wipe_its_state(monkeypatch):
    def selective_scan_fn(u, delta, a, b, c):
        assert u.is_contiguous()
        assert u.shape == (1, 6, 8)  # two tokens more
        return loop_scan(u[0].t(), delta[0].t(), a, b[0].t(), c[0].t()).t().unsqueeze(0)

    for name in ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["mamba_ssm"].__spec__ = object()
    sys.modules["mamba_ssm.ops.selective_scan_interface"].selective_scan_fn = selective_scan_fn
    operands, ids = s6_operands(6), torch.tensor([0, 0, 1, 1, 1, 4])
    found = results(selective_scan, operands, seg=ids, method="mamba_ssm")
    for ours, right in zip(found, results(loop_scan, operands, ids=ids), strict=True):
        torch.testing.assert_close(ours, right, **CLOSE)
