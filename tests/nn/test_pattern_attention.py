"""Attention over hops and over patterns equals vectors concatenated node by node."""

import math

import pytest
import torch

from gnnzoo.nn import HopAttention, PatternAttention
from gnnzoo.nn.hop_attention import HOP_ATTENTIONS
from gnnzoo.nn.pattern_attention import PATTERN_ATTENTIONS
from tests.reference import patterns as reference

LEARNED = ("original", "gate", "ori_ref", "recursive")
HOPS, STREAMS, WIDTH = 3, 4, 5


def hops(num_rows=6):
    generator = torch.Generator().manual_seed(0)
    shape = (num_rows, STREAMS, HOPS + 1, WIDTH)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def hop_layer(kind, **settings):
    torch.manual_seed(1)
    return HopAttention(WIDTH, HOPS, kind, num_streams=STREAMS, **settings).double()


def pattern_layer(kind, **settings):
    torch.manual_seed(1)
    return PatternAttention(WIDTH, STREAMS, kind, **settings).double()


def whole_vector(layer, stream):
    """The one vector of the table, from the parts that the layer keeps."""
    local = layer.local[stream]
    if layer.kind == "gate":
        return local
    reference = layer.reference[stream]
    order = (local, *reference) if layer.kind == "recursive" else (*reference, local)
    return torch.cat(order)


@pytest.mark.parametrize("kind", LEARNED)
@pytest.mark.parametrize("sharp", [False, True])
def test_hop_weights_equal_those_of_concatenated_vectors(kind, sharp):
    layer, x = hop_layer(kind, sharp=sharp), hops()
    out, weights = layer(x, return_weights=True)
    for row in range(len(x)):
        for stream in range(STREAMS):
            w, b = whole_vector(layer, stream), layer.bias[stream]
            want = reference.hop_weights(x[row, stream], kind, w, b, sharp)
            torch.testing.assert_close(weights[row, stream], want)
            torch.testing.assert_close(out[row, stream], want @ x[row, stream])


@pytest.mark.parametrize("kind", HOP_ATTENTIONS)
def test_hop_parameters_are_as_many_as_the_table_says(kind):
    layer = HopAttention(WIDTH, HOPS, kind)
    want = {
        "original": (HOPS + 2) * WIDTH + 1,
        "gate": WIDTH + 1,
        "ori_ref": 2 * WIDTH + 1,
        "recursive": 2 * WIDTH + 1,
        "simple": HOPS + 1,
        "none": 0,
    }
    assert sum(p.numel() for p in layer.parameters()) == want[kind]


@pytest.mark.parametrize("kind", sorted({*HOP_ATTENTIONS} - {"none"}))
def test_hop_weights_sum_to_one_within_bounds(kind):
    layer = hop_layer(kind)
    _, weights = layer(1000 * hops(), return_weights=True)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))
    low, high = 1 / (1 + HOPS * math.e), math.e / (math.e + HOPS)
    assert (weights >= low - 1e-9).all()
    assert (weights <= high + 1e-9).all()
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(layer(hops()), hops().mean(2))


def test_no_attention_is_the_sum_and_leaves_its_input_alone():
    x = hops()
    before = x.clone()
    torch.testing.assert_close(hop_layer("none")(x), x.sum(2))
    torch.testing.assert_close(pattern_layer("none")(x[:, :, 0]), x[:, :, 0].sum(1))
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", HOP_ATTENTIONS)
def test_hop_attention_of_one_stream_takes_rows_of_hops(kind):
    layer = HopAttention(WIDTH, HOPS, kind).double()
    x = hops()[:, 0]
    assert layer(x).shape == (6, WIDTH)
    torch.testing.assert_close(layer(x.unsqueeze(1)).squeeze(1), layer(x))
    single = HopAttention(WIDTH, 0, kind).double()
    torch.testing.assert_close(single(x[:, :1]), x[:, 0])


def concatenated(layer, streams):
    """Weights of one node, ``streams`` of shape [num_streams, channels]."""
    if layer.kind == "jk":
        return reference.squash(layer.lin.weight @ streams.flatten() + layer.lin.bias)
    kind = layer.kind
    return reference.hop_weights(streams, kind, layer.lin.weight[0], layer.lin.bias[0])


@pytest.mark.parametrize("kind", ["gate", "ori_ref", "jk", "recursive"])
def test_pattern_weights_equal_those_of_concatenated_vectors(kind):
    layer, x = pattern_layer(kind), hops()[:, :, 0]
    out, weights = layer(x, return_weights=True)
    torch.testing.assert_close(weights.sum(-1), torch.ones(6, dtype=torch.float64))
    bounds = 1 / (1 + (STREAMS - 1) * math.e), math.e / (math.e + STREAMS - 1)
    assert bounds[0] <= weights.min()
    assert weights.max() <= bounds[1]
    for row in range(len(x)):
        want = concatenated(layer, x[row])
        torch.testing.assert_close(weights[row], want)
        torch.testing.assert_close(out[row], want @ x[row])


def test_original_pattern_attention_scales_and_concatenates():
    layer, x = pattern_layer("original"), hops()[:, :, 0]
    assert layer.out_channels == STREAMS * WIDTH
    want = torch.cat([layer.scale[i] * x[:, i] for i in range(STREAMS)], dim=1)
    torch.testing.assert_close(layer(x), want)


@pytest.mark.parametrize("kind", HOP_ATTENTIONS)
def test_hop_gradients(kind):
    layer, x = hop_layer(kind), hops(2).requires_grad_()
    torch.autograd.gradcheck(lambda x, *_: layer(x), (x, *layer.parameters()))


@pytest.mark.parametrize("kind", PATTERN_ATTENTIONS)
def test_pattern_gradients(kind):
    layer, x = pattern_layer(kind), hops(2)[:, :, 0].contiguous().requires_grad_()
    torch.autograd.gradcheck(lambda x, *_: layer(x), (x, *layer.parameters()))


@pytest.mark.parametrize("make", [hop_layer, pattern_layer])
def test_rows_do_not_see_each_other(make):
    for kind in LEARNED:
        layer, x = make(kind), hops()
        x = x if make is hop_layer else x[:, :, 0]
        torch.testing.assert_close(layer(x)[[4, 1]], layer(x[[4, 1]]))


def test_wrong_shapes_and_settings_are_named():
    with pytest.raises(ValueError, match=r"shape \[num_rows, 4, 4, 5\], got \[6, 4, 4, 3\]"):
        hop_layer("gate")(hops()[..., :3].float())
    with pytest.raises(ValueError, match=r"shape \[\.\.\., 4, 5\], got \[6, 3, 5\]"):
        pattern_layer("gate")(hops()[:, :3, 0])
    with pytest.raises(ValueError, match=r"kind must be one of 'original'.*got 'jk'"):
        HopAttention(2, 2, "jk")
    with pytest.raises(ValueError, match=r"kind must be one of 'original'.*got 'simple'"):
        PatternAttention(2, 2, "simple")
    assert repr(HopAttention(2, 3)) == (
        "HopAttention(2, num_hops=3, kind='original', num_streams=1)"
    )
    assert repr(PatternAttention(2, 3)) == "PatternAttention(2, num_streams=3, kind='original')"


@pytest.mark.parametrize("make", [hop_layer, pattern_layer])
def test_save_and_load(make):
    layer, other = make("original"), make("original")
    other.reset_parameters()
    assert not torch.equal(next(other.parameters()), next(layer.parameters()))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(next(other.parameters()), next(layer.parameters()))
