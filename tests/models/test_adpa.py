"""ADPA equals the equations node by node, in every form of its input. See test_encoders.py too."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data

from gnnzoo.data import DirectedPatterns
from gnnzoo.models import ADPA, MLP
from gnnzoo.models import pattern_layer as module
from gnnzoo.nn.hop_attention import HOP_ATTENTIONS
from gnnzoo.nn.pattern_attention import PATTERN_ATTENTIONS
from gnnzoo.ops import Graph, SparseFeatures
from tests.live_bytes import PeakBytes
from tests.reference import patterns as reference
from tests.reference.graphs import kinds, random_edges

FUSIONS = ("hop_then_dp", "dp_then_hop")


def toy(channels=6) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, channels, generator=generator, dtype=torch.float64)
    x = x * (torch.rand(9, channels, generator=generator) < 0.6)
    return Data(x=x, edge_index=random_edges(9, 24), num_nodes=9)


def make(**settings) -> ADPA:
    torch.manual_seed(0)
    return ADPA(6, 4, 3, **{"r": 0.3, **settings}).double().eval()


def stack(model, data):
    s = model.settings
    return reference.stacks(
        data.x, data.edge_index, s.patterns, s.num_hops, s.r, s.hop_decay, s.norm, s.self_loops
    )


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("hop_attention", HOP_ATTENTIONS)
@pytest.mark.parametrize("dp_attention", PATTERN_ATTENTIONS)
def test_every_variant_equals_the_equations_in_every_form(fusion, hop_attention, dp_attention):
    model = make(fusion=fusion, hop_attention=hop_attention, dp_attention=dp_attention)
    data = toy()
    rows = stack(model, data)
    want = torch.stack([reference.adpa_node(model, row) for row in rows])
    torch.testing.assert_close(model(data.x, patterns=rows), want)
    torch.testing.assert_close(model(data.x, data.edge_index), want)
    sparse = SparseFeatures.from_dense(data.x)
    torch.testing.assert_close(model(sparse, data.edge_index), want)


@pytest.mark.parametrize("channels", [3, 12])
@pytest.mark.parametrize("settings", [{}, {"norm": "dir", "order": 3}, {"hop_decay": "gcnii"}])
def test_propagating_before_or_after_the_map_is_the_same_with_gradients(channels, settings):
    """Narrow features are propagated, wide ones mapped first; a field was propagated before."""
    data = toy(channels)
    torch.manual_seed(0)
    model = ADPA(channels, 4, 3, num_layers=2, **settings).double().eval()
    grads = []
    for x, patterns in ((data.x, None), (data.x, stack(model, data))):
        model.zero_grad()
        out = model(x, data.edge_index, patterns)
        out.square().sum().backward()
        grads.append([out.detach(), *[p.grad for p in model.parameters()]])
    torch.testing.assert_close(grads[0], grads[1])


@pytest.mark.parametrize("kind", kinds())
def test_degenerate_graphs(kind):
    edge_index, num_nodes = kinds()[kind]
    x = torch.rand(num_nodes, 6, dtype=torch.float64)
    model = make()
    rows = stack(model, Data(x=x, edge_index=edge_index))
    out = model(x, edge_index)
    assert out.isfinite().all()
    torch.testing.assert_close(out, model(x, patterns=rows))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_mini_batches_in_any_order_give_the_same_rows(fusion):
    data = DirectedPatterns(r=0.3)(toy())
    model = make(fusion=fusion)
    want = model(data.x, data.edge_index)
    for size in (1, 4, 9):
        for part in torch.randperm(9).split(size):
            found = model(data.x[part], patterns=data.patterns[part])
            torch.testing.assert_close(found, want[part])


def test_many_rows_are_mapped_some_at_a_time(monkeypatch):
    data = DirectedPatterns(r=0.3)(toy())
    model = make()
    want = model(data.x, patterns=data.patterns)
    monkeypatch.setattr(module, "CHUNK_VALUES", 300)
    with torch.no_grad():
        torch.testing.assert_close(model(data.x, patterns=data.patterns), want)


def test_relabelling_permutes_with_directed_edges():
    data, model = toy(), make()
    order = torch.randperm(9)
    moved = model(data.x[order], order.argsort()[data.edge_index])
    torch.testing.assert_close(moved, model(data.x, data.edge_index)[order])


def test_direction_matters():
    data, model = toy(), make()
    there, back = model(data.x, data.edge_index), model(data.x, data.edge_index.flip(0))
    assert not torch.allclose(there, back)


@pytest.mark.parametrize("dp_attention", ["original", "none"])
def test_no_hops_make_parallel_mlps(dp_attention):
    model, data = make(num_hops=0, dp_attention=dp_attention), toy()
    first, last = model.layers[0].linear, model.layers[-1]
    streams = [(data.x @ w.t() + b).relu() for w, b in zip(first.weight, first.bias, strict=True)]
    if dp_attention == "none":
        want = sum(streams)
    else:
        want = torch.cat([a * h for a, h in zip(last.attention.scale, streams, strict=True)], 1)
    torch.testing.assert_close(model(data.x, data.edge_index), last.linear(want))


def test_equal_streams_without_attention_are_seven_times_one():
    model, data = make(num_hops=0, dp_attention="none"), toy()
    first, last = model.layers[0].linear, model.layers[-1].linear
    first.weight.data[:] = first.weight.data[:1].clone()
    first.bias.data[:] = first.bias.data[:1].clone()
    one = (data.x @ first.weight[0].t() + first.bias[0]).relu()
    torch.testing.assert_close(model(data.x, data.edge_index), last(7 * one))


def test_only_its_own_stream_makes_an_mlp():
    model, data = make(), toy()
    first, last = model.layers[0].linear, model.layers[-1]
    last.attention.scale.data = torch.eye(7, dtype=torch.float64)[0]
    mlp = MLP(6, 4, 3).double().eval()
    mlp.layers[0].linear.weight.data, mlp.layers[0].linear.bias.data = (
        first.weight[0],
        first.bias[0],
    )
    mlp.layers[1].linear.weight.data = last.linear.weight[:, :4]
    mlp.layers[1].linear.bias.data = last.linear.bias
    torch.testing.assert_close(model(data.x, data.edge_index), mlp(data.x))


@pytest.mark.parametrize("given", [False, True])
def test_no_tensor_of_hops_is_repeated_or_concatenated(given):
    num_nodes, channels, hops = 200, 300, 2
    data = Data(x=torch.randn(num_nodes, channels), edge_index=random_edges(num_nodes, 800))
    data = DirectedPatterns()(data)
    model = ADPA(channels, 8, 3, num_hops=hops)
    fields = {"patterns": data.patterns} if given else {"edge_index": data.edge_index}
    model(data.x, **fields)
    with PeakBytes([data.x, data.patterns, *model.parameters()]) as memory:
        model(data.x, **fields).sum().backward()
    one_stream = 4 * num_nodes * (hops + 1) * channels
    assert memory.largest < one_stream  # the authors' code holds hops + 2 times as much at once
    assert memory.peak < 2 * one_stream


@pytest.mark.parametrize("settings", [{}, {"fusion": FUSIONS[1], "hop_attention": "recursive"}])
def test_gradients_of_features_and_parameters(settings):
    edge_index = random_edges(5, 9)
    model = make(order=1, **settings)
    for parameter in model.parameters():  # away from the kink of the ReLU
        parameter.data.abs_()
    x = torch.rand(5, 6, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x, *_: model(x, edge_index), (x, *model.parameters()))


def test_no_gradient_goes_through_the_field():
    data = toy()
    data.x.requires_grad_()
    assert not DirectedPatterns()(data).patterns.requires_grad
    make()(data.x, data.edge_index).sum().backward()
    assert data.x.grad.abs().sum() > 0


def test_half_precision_fields_are_read():
    data = toy()
    data.x = data.x.float()
    model = make().float()
    half = DirectedPatterns(r=0.3, dtype="float16")(data).patterns
    torch.testing.assert_close(
        model(data.x, patterns=half), model(data.x, data.edge_index), rtol=1e-2, atol=1e-2
    )


def test_training_on_rows_learns():
    data = DirectedPatterns()(toy())
    y = torch.arange(9) % 3
    torch.manual_seed(0)
    model = ADPA(6, 32, 3, dropout=0.2).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        for part in torch.randperm(9).split(4):
            optimizer.zero_grad()
            loss = cross_entropy(model(data.x[part], patterns=data.patterns[part]), y[part])
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_wrong_input_is_named():
    data, model = toy(), make()
    with pytest.raises(ValueError, match=r"shape \[num_rows, 13, 6\].*got \[9, 7, 6\]"):
        model(data.x, patterns=torch.zeros(9, 7, 6))
    with pytest.raises(ValueError, match="ADPA needs edge_index, or the field patterns"):
        model(data.x)
    with pytest.raises(ValueError, match="x has 5 channels, ADPA was built for 6"):
        model(data.x[:, :5], data.edge_index)
    with pytest.raises(ValueError, match=r"fusion must be one of 'hop_then_dp'.*got 'both'"):
        make(fusion="both")
    graph = Graph.from_edge_index(data.edge_index, 8)
    with pytest.raises(ValueError, match="the graph has 8 nodes, x has 9 rows"):
        model(data.x, graph=graph)
