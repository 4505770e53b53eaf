"""GMN, Graph-Mamba and GPS: graphs stay apart, evaluation repeats, far nodes are heard."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data

from gnnzoo.data import NeighborhoodTokens
from gnnzoo.models import GCN, GMN, GPS, GraphMamba, inputs
from gnnzoo.nn import NeighborhoodEncoder, undecayed_parameters
from gnnzoo.ops import Graph
from tests.reference.graphs import random_edges

F64 = torch.float64
CLOSE = {"rtol": 1e-9, "atol": 1e-9}
SIZES = (7, 1, 0, 5, 12)  # a lonely node, and a number that no node bears
BATCH = torch.arange(5).repeat_interleave(torch.tensor(SIZES))
NODES = sum(SIZES)
SCAN = {"num_layers": 2, "head_dim": 4}
MODELS = {
    "gmn": lambda **s: GMN(6, 8, 3, **{**SCAN, "eval_draws": 3, **s}),
    "gmn, no tokens": lambda **s: GMN(6, 8, 3, **{**SCAN, "walk_length": 0, "conv": "sage", **s}),
    "graph_mamba": lambda **s: GraphMamba(6, 8, 3, **{**SCAN, "num_bins": 2, **s}),
    "gps": lambda **s: GPS(6, 8, 3, **{"num_layers": 2, **s}),
}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    model = MODELS[request.param]().double()
    data = graphs()
    model(**inputs(model, data))  # moves running means away from zero
    return model.eval()


def graphs() -> Data:
    """Five graphs as one, with tokens."""
    torch.manual_seed(0)
    pairs = random_edges(NODES + 1, 150, undirected=True, loops=False)
    pairs = pairs[:, BATCH[pairs[0]] == BATCH[pairs[1]]]
    data = Data(x=torch.randn(NODES, 6, dtype=F64), edge_index=pairs, batch=BATCH)
    return NeighborhoodTokens(2, 4, 2)(data)


def test_a_batch_gives_what_each_graph_gives_alone(model):
    data, parts = graphs(), []
    for graph in (0, 1, 3, 4):
        nodes = (graph == BATCH).nonzero().squeeze(1)
        inside = BATCH[data.edge_index[0]] == graph
        alone = Data(x=data.x[nodes], edge_index=data.edge_index[:, inside] - nodes[0])
        alone.tokens, alone.token_weights = data.tokens[nodes], data.token_weights[nodes]
        parts.append(model(**inputs(model, alone)))
    torch.testing.assert_close(model(**inputs(model, data)), torch.cat(parts), **CLOSE)


def test_evaluation_repeats_bit_by_bit_and_draws_nothing(model):
    data, state = graphs(), torch.get_rng_state()
    first, again = (model(**inputs(model, data)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)


def test_relabelling_nodes_and_tokens_permutes_the_output():
    torch.manual_seed(0)
    model, data, order = (
        MODELS["gmn"](tie="canonical").double().eval(),
        graphs(),
        torch.randperm(NODES),
    )
    new, own = order.argsort(), torch.arange(NODES).view(-1, 1, 1)
    tokens = (new[(data.tokens + own).long()[order]] - own).int()
    found = model(
        data.x[order],
        new[data.edge_index],
        batch=BATCH[order],
        tokens=tokens,
        token_weights=data.token_weights[order],
    )
    torch.testing.assert_close(found, model(**inputs(model, data))[order], **CLOSE)


def test_tokens_are_drawn_by_the_encoder_as_by_the_transform():
    model, data = MODELS["gmn"]().double().eval(), graphs()
    found = model(data.x, data.edge_index, batch=BATCH)
    assert torch.equal(found, model(**inputs(model, data)))
    with pytest.raises(ValueError, match=r"4 tokens per node are expected.*\[25, 2, 9\]"):
        model(data.x, data.edge_index, tokens=data.tokens[:, :2], token_weights=data.token_weights)


def test_without_tokens_features_are_only_mapped():
    torch.manual_seed(0)
    model, data = MODELS["gmn, no tokens"]().double().eval(), graphs()
    assert not any(isinstance(part, NeighborhoodEncoder) for part in model.modules())
    graph = Graph.from_edge_index(data.edge_index, NODES)
    h = model.node_embedding.linear(data.x)
    for layer in model.layers:
        h = layer.block(h, graph, BATCH)
    torch.testing.assert_close(model(data.x, graph, batch=BATCH), model.classifier(h), **CLOSE)


def test_orders_are_drawn_for_each_layer_or_once():
    data = graphs()
    for redraw, different in (("layer", 2), ("forward", 1)):
        model = MODELS["gmn"](redraw=redraw).double()
        for training in (True, False):
            lines = model.train(training).context(data.x, data.edge_index).lines
            assert len({tuple(line.nodes.tolist()) for line in lines}) == different
    with pytest.raises(ValueError, match="redraw must be one of 'layer', 'forward', got 'epoch'"):
        MODELS["gmn"](redraw="epoch")


def test_one_group_holds_what_weight_decay_would_harm():
    model = MODELS["gmn"](ssm="s6")
    groups = model.param_groups()
    undecayed = {id(p) for p in groups["undecayed"]}
    names = {name for name, p in model.named_parameters() if id(p) in undecayed}
    assert {id(p) for p in undecayed_parameters(model)} <= undecayed
    assert all(p.dim() > 1 for p in groups["weights"])
    assert not any(name.endswith("lin.weight") or "proj.weight" in name for name in names)
    assert any(name.endswith("a_log") for name in names)


@pytest.mark.parametrize("kind", [GMN, GraphMamba, GPS])
def test_features_of_edges_are_read_where_there_are_some(kind):
    torch.manual_seed(0)
    settings = {"head_dim": 4} if kind is not GPS else {}
    model, data = kind(6, 8, 3, num_edge_features=2, **settings).double().eval(), graphs()
    e = torch.randn(data.edge_index.size(1), 2, dtype=F64, requires_grad=True)
    model(data.x, data.edge_index, edge_attr=e).square().sum().backward()
    assert e.grad.any(1).all()
    with pytest.raises(ValueError, match=f"{kind.__name__} needs the field 'edge_attr'"):
        model(data.x, data.edge_index)
    assert kind(6, 8, 3, **settings).edge_features == "ones"


@pytest.mark.parametrize("conv", [None, "gcn", "sage", "gin", "gatedgcn"])
def test_every_convolution_fits_every_model(conv):
    for name in ("gmn", "graph_mamba", "gps"):
        model, data = MODELS[name](conv=conv), graphs()
        out = model(data.x.float(), data.edge_index, batch=BATCH)
        out.square().sum().backward()
        assert all(p.grad is not None for p in model.parameters())


def test_attention_may_be_linear_and_its_settings_are_checked():
    data = graphs()
    model = MODELS["gps"](attention="performer", norm="layer_norm").double()
    assert model(data.x, data.edge_index, batch=BATCH).isfinite().all()
    with pytest.raises(ValueError, match="heads=3 must divide hidden_channels=8"):
        MODELS["gps"](heads=3)
    with pytest.raises(ValueError, match="attention must be one of 'multihead', 'performer'"):
        MODELS["gps"](attention="flash")


def test_graphs_without_nodes_leave_the_gradients_of_attention_finite():
    model, data = MODELS["gps"]().double(), graphs()
    model(**inputs(model, data)).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_resetting_with_a_seed_repeats():
    data = graphs()
    model, found = MODELS["gmn"]().double().eval(), []
    for _ in range(2):
        torch.manual_seed(3)
        model.reset_parameters()
        found.append(model(**inputs(model, data)))
    assert torch.equal(*found)


@pytest.mark.slow
def test_compiling_with_tokens_changes_nothing():
    model, data = MODELS["gmn"]().double().eval(), graphs()
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        want = model(**inputs(model, data))
        torch.testing.assert_close(compiled(**inputs(model, data)), want, **CLOSE)


def marked_paths(num: int, length: int, generator: torch.Generator) -> Data:
    """Shuffled paths, whose nodes all bear the class that stands at one end only."""
    mark = torch.randint(4, (num,), generator=generator)
    node = torch.stack([torch.randperm(length, generator=generator) for _ in range(num)])
    node += torch.arange(num).unsqueeze(1) * length
    x = torch.zeros(num * length, 4)
    x[node[:, 0], mark] = 1
    steps = torch.stack([node[:, :-1].flatten(), node[:, 1:].flatten()])
    batch = torch.arange(num).repeat_interleave(length)
    return Data(
        x=x, edge_index=torch.cat([steps, steps.flip(0)], dim=1), y=mark[batch], batch=batch
    )


def share_right(model: torch.nn.Module, generator: torch.Generator) -> float:
    """Accuracy after some steps on new paths of 256 nodes."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(50):
        data = marked_paths(16, 256, generator)
        loss = cross_entropy(model(**inputs(model, data)), data.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    data = marked_paths(40, 256, generator)
    with torch.no_grad():
        return float((model.eval()(**inputs(model, data)).argmax(1) == data.y).float().mean())


def test_a_scan_carries_over_hundreds_of_nodes_what_convolutions_cannot():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    scan = GMN(4, 16, 4, 0, 1, walk_length=0, conv=None, head_dim=4, dropout=0.0)
    assert share_right(scan, generator) > 0.95
    assert share_right(GCN(4, 16, 4, num_layers=3, dropout=0.0), generator) < 0.4
