"""Mamba layers keep sequences apart, in whatever form they come, and read in both directions."""

import math

import pytest
import torch
from torch.nn import functional as F

from gnnzoo.nn import BidirectionalMamba, SelectiveSSM, undecayed_parameters
from gnnzoo.ops import Sequences
from tests.reference.scan import loop_conv, loop_scan, loop_ssd

F64 = torch.float64
CHANNELS = 8
CLOSE = {"rtol": 1e-9, "atol": 1e-10}
KINDS = {
    "ssd": lambda **settings: SelectiveSSM(CHANNELS, head_dim=4, **settings),
    "s6": lambda **settings: SelectiveSSM(CHANNELS, ssm="s6", **settings),
    "both ways": lambda **settings: BidirectionalMamba(CHANNELS, head_dim=4, **settings),
    "both ways, s6, apart": lambda **settings: BidirectionalMamba(
        CHANNELS, ssm="s6", share_proj=False, **settings
    ),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(params=KINDS)
def layer(request):
    return KINDS[request.param]().double()


@pytest.mark.parametrize(("width", "count"), [(96, 34_080), (64, 16_320), (52, 11_388)])
def test_parameters_are_as_many_as_published(width, count):
    layer = SelectiveSSM(width, ssm="s6")
    assert sum(p.numel() for p in layer.parameters()) == count


def test_parameters_of_ssd_are_as_many_as_its_maps_have():
    d, n, h = 96, 16, 6
    layer = SelectiveSSM(d)
    maps = d * (2 * d + 2 * n + h) + d * d
    assert sum(p.numel() for p in layer.parameters()) == maps + (d + 2 * n) * 5 + 3 * h + d


def test_s6_block_equals_the_equations():
    layer, x = SelectiveSSM(CHANNELS, ssm="s6", d_state=3, expand=2).double(), randn(12)
    core, ids = layer.core, torch.tensor([0] * 5 + [1] * 7)
    inner, gate = (x @ layer.in_proj.weight.t()).split(2 * CHANNELS, -1)
    inner = F.silu(loop_conv(inner, core.conv_weight, core.conv_bias, ids))
    dt, b, c = (inner @ core.x_proj.weight.t()).split([1, 3, 3], -1)
    dt = F.softplus(dt @ core.dt_proj.weight.t() + core.dt_bias)
    y = loop_scan(inner, dt, -core.a_log.exp(), b, c, core.d, ids)
    want = (y * F.silu(gate)) @ layer.out_proj.weight.t()
    torch.testing.assert_close(layer(x, ids), want, **CLOSE)


def test_ssd_block_equals_the_equations():
    layer, x = SelectiveSSM(CHANNELS, d_state=3, head_dim=4).double(), randn(12)
    core, ids = layer.core, torch.tensor([0] * 5 + [1] * 7)
    inner, gate = (x @ layer.in_proj.weight.t()).split(CHANNELS, -1)
    b_c, dt = (x @ core.param_proj.weight.t()).split([6, 2], -1)
    both = torch.cat([inner, b_c], -1)
    inner, b, c = F.silu(loop_conv(both, core.conv_weight, core.conv_bias, ids)).split(
        [CHANNELS, 3, 3], -1
    )
    dt = F.softplus(dt + core.dt_bias)
    y = loop_ssd(inner.view(12, 2, 4), dt, -core.a_log.exp(), b, c, core.d, ids).flatten(1)
    y = y * F.silu(gate)
    y = y * (y.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * layer.norm.weight
    torch.testing.assert_close(layer(x, ids), y @ layer.out_proj.weight.t(), **CLOSE)


def randn(*shape):
    return torch.randn(*shape, CHANNELS, dtype=F64)


def test_packed_dense_and_alone_are_the_same(layer):
    x = randn(3, 7)
    want = torch.stack([layer(sequence) for sequence in x])
    torch.testing.assert_close(layer(x), want, **CLOSE)
    ids = torch.arange(3).repeat_interleave(7)
    for seg in (ids, Sequences.from_ids(ids), Sequences.from_ptr(torch.tensor([0, 7, 14, 21]))):
        torch.testing.assert_close(layer(x.flatten(0, 1), seg).view(x.shape), want, **CLOSE)


def test_sequences_never_see_each_other(layer):
    ids = torch.tensor([0] * 40 + [1] + [5] * 50)
    x = randn(91).requires_grad_()
    for part in (slice(0, 40), slice(40, 41), slice(41, 91)):
        (grad,) = torch.autograd.grad(layer(x, ids)[part].square().sum(), x)
        assert grad[part].any()
        grad[part] = 0
        assert not grad.any()


@pytest.mark.parametrize("name", ["ssd", "s6"])
def test_a_token_hears_from_those_before_it_or_when_reversed_behind_it(name):
    layer, x = KINDS[name]().double(), randn(9).requires_grad_()
    (grad,) = torch.autograd.grad(layer(x)[4].square().sum(), x)
    assert grad.any(1).tolist() == [True] * 5 + [False] * 4
    (grad,) = torch.autograd.grad(layer(x, reverse=True)[4].square().sum(), x)
    assert grad.any(1).tolist() == [False] * 4 + [True] * 5
    ids = torch.tensor([0] * 2 + [1] * 7)
    turned = layer(x.flip(0), ids.flip(0).neg() + 1).flip(0)
    torch.testing.assert_close(layer(x, ids, reverse=True), turned, **CLOSE)


@pytest.mark.parametrize("name", ["both ways", "both ways, s6, apart"])
def test_with_tied_weights_turning_the_input_turns_the_output(name):
    layer, x = KINDS[name]().double(), randn(70)
    assert not torch.allclose(layer(x.flip(0)), layer(x).flip(0))
    layer.cores[1].load_state_dict(layer.cores[0].state_dict())
    torch.testing.assert_close(layer(x.flip(0)), layer(x).flip(0), **CLOSE)
    (grad,) = torch.autograd.grad(layer(x.requires_grad_())[30].sum(), x)
    assert grad.any(1).all()


@pytest.mark.parametrize("name", ["both ways", "both ways, s6, apart"])
@pytest.mark.parametrize("length", [1, 6])
def test_the_last_token_alone_is_that_of_all(name, length):
    layer, x = KINDS[name]().double(), randn(5, length)
    torch.testing.assert_close(layer(x, last_only=True), layer(x)[:, -1], **CLOSE)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (1,)])
def test_nothing_comes_out_of_nothing(layer, shape):
    x = randn(*shape).requires_grad_()
    y = layer(x)
    assert y.shape == x.shape
    y.sum().backward()
    assert x.grad.isfinite().all()


def test_without_norm_and_residual_zero_stays_zero_and_dropout_drops_what_is_added():
    plain = BidirectionalMamba(CHANNELS, head_dim=4, norm=False, residual=False, conv_bias=False)
    assert not plain.double()(randn(5) * 0).any()
    layer, x = BidirectionalMamba(CHANNELS, head_dim=4, dropout=1.0).double(), randn(5)
    assert torch.equal(layer(x), x)
    assert not torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("name", KINDS)
def test_steps_begin_in_their_range_and_resetting_starts_anew(name):
    layer = KINDS[name](dt_min=0.01, dt_max=0.02)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    torch.manual_seed(1)
    layer.reset_parameters()
    for key, value in layer.state_dict().items():
        if key.endswith("dt_bias"):
            assert not torch.equal(value, before[key])
            assert F.softplus(value).min() > 0.0099
            assert F.softplus(value).max() < 0.0201
    torch.manual_seed(1)
    twin = KINDS[name](dt_min=0.01, dt_max=0.02)
    torch.manual_seed(1)
    twin.reset_parameters()
    x = randn(5).float()
    assert torch.equal(layer(x), twin(x))


def test_rates_begin_as_published():
    torch.testing.assert_close(SelectiveSSM(8, ssm="s6").core.a_log[3].exp(), torch.arange(1.0, 17))
    rates = SelectiveSSM(512).core.a_log.exp()
    assert 1 <= rates.min() < 4
    assert 13 < rates.max() <= 16
    assert SelectiveSSM(40, ssm="s6").core.dt_rank == math.ceil(40 / 16)


def test_rates_steps_and_skips_are_named_for_those_who_decay_weights():
    layer = torch.nn.Sequential(SelectiveSSM(16), BidirectionalMamba(16, ssm="s6"))
    names = {id(p): name for name, p in layer.named_parameters()}
    found = [names[id(p)].rsplit(".")[-1] for p in undecayed_parameters(layer)]
    assert sorted(found) == sorted(3 * ["a_log", "d", "dt_bias"])


def test_half_precision_stays_close():
    layer, x = BidirectionalMamba(32), torch.randn(90, 32)
    want = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    torch.testing.assert_close(found.float(), want, rtol=2e-2, atol=2e-2)


def test_layers_save_and_load_and_show_themselves(layer):
    twin = type(layer)(CHANNELS, head_dim=4, ssm=layer.ssm, **share(layer)).double()
    twin.load_state_dict(layer.state_dict())
    x = randn(9)
    assert torch.equal(layer(x), twin(x))
    assert repr(SelectiveSSM(32)) == "SelectiveSSM(32, d_state=16, ssm='ssd')"
    assert repr(BidirectionalMamba(32)) == "BidirectionalMamba(32, ssm='ssd', share_proj=True)"


def share(layer):
    return {"share_proj": layer.share_proj} if isinstance(layer, BidirectionalMamba) else {}


def test_what_does_not_fit_is_named():
    for kind in (SelectiveSSM, BidirectionalMamba):
        with pytest.raises(ValueError, match="head_dim must divide the inner width 40, got 16; 8"):
            kind(40)
        with pytest.raises(ValueError, match="ssm must be one of 'ssd', 's6', got 's4'"):
            kind(16, ssm="s4")
        with pytest.raises(ValueError, match="d_state must be an integer of at least 1, got 0"):
            kind(16, d_state=0)
        with pytest.raises(ValueError, match=r"0 < dt_min <= dt_max, got dt_min=0\.2"):
            kind(16, dt_min=0.2)
        layer, x = kind(16), torch.randn(6, 16)
        with pytest.raises(ValueError, match=r"x must have shape \[num_tokens, 16\]"):
            layer(x[:, :4])
        with pytest.raises(ValueError, match="seg is for packed tokens"):
            layer(x.view(2, 3, 16), torch.zeros(6, dtype=torch.long))
        with pytest.raises(ValueError, match="seg names 2 tokens, but there are 6"):
            layer(x, torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="last_only needs x of shape"):
        layer(x, last_only=True)
