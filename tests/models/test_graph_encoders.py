"""Every encoder works on many graphs as on each of them alone."""

import pytest
import torch
import yaml

from gnnzoo.config import build
from gnnzoo.data import LaplacianEncoding, RandomWalkEncoding, UnionBatches
from gnnzoo.models import GCN, GIN, GINE, DeepSets, Fingerprint, InputEncoding, inputs
from gnnzoo.ops import SparseFeatures
from gnnzoo.paths import conf_root
from gnnzoo.registry import list_models
from gnnzoo.train.optim import parameter_groups
from tests.reference.graph_sets import CHANNELS, SIZES, joined, small_graphs

REFUSED = {"linkx", "none"}  # weights for the nodes of one graph; embeds nothing


def settings_of(name):
    settings = yaml.safe_load((conf_root() / "model" / f"{name}.yaml").read_text())
    if name == "gcnii":
        settings["num_layers"] = 4
    return settings


def resolved(node, settings):
    """A transform's settings with ``${...name}`` read from the model's."""
    return {
        key: settings[value.removeprefix("${...").removesuffix("}")]
        if isinstance(value, str) and value.startswith("${...")
        else value
        for key, value in node.items()
    }


@pytest.mark.parametrize("name", sorted({*list_models()} - REFUSED))
def test_a_packed_batch_equals_graph_by_graph(name, monkeypatch, tmp_path):
    monkeypatch.setenv("GNNZOO_DATA", str(tmp_path))
    settings = settings_of(name)
    union = joined(small_graphs(), torch.arange(len(SIZES)))
    union.x, union.edge_attr = union.x.double(), union.edge_attr.double()
    for node in settings.pop("transform"):
        union = build(resolved(node, settings))(union)
    torch.manual_seed(0)
    known = {"num_edge_features": 1} if name in ("gatedgcn", "gine") else {}
    encoder = build(settings, in_channels=CHANNELS, out_channels=5, **known).double()
    batches = UnionBatches(union)
    for _ in range(2):  # so that batch norm has seen something
        encoder(**inputs(encoder, batches.take(torch.tensor([0, 2, 5, 7]))))
    encoder.eval()
    chosen = torch.tensor([7, 1, 3, 0, 2, 6])
    together = encoder(**inputs(encoder, batches.take(chosen)))
    alone = [
        encoder(**inputs(encoder, batches.take(torch.tensor([graph]))))
        for graph in chosen.tolist()
        if SIZES[graph] or getattr(encoder, "returns_graphs", False)
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-10, rtol=0)


@pytest.mark.parametrize("make", [Fingerprint, lambda i, o: DeepSets(i, 7, o)], ids=["f", "d"])
def test_structure_agnostic_baselines_are_their_equations(make):
    torch.manual_seed(0)
    encoder = make(CHANNELS, 5).eval()
    x, ptr = torch.randn(6, CHANNELS), torch.tensor([0, 4, 4, 6])
    total = lambda h: torch.stack([h[:4].sum(0), h[:0].sum(0), h[4:].sum(0)])  # noqa: E731
    if isinstance(encoder, Fingerprint):
        wanted = encoder.linear(total(x)).relu()
    else:
        wanted = encoder.graphs(total(encoder.nodes(x).relu())).relu()
    torch.testing.assert_close(encoder(x, ptr), wanted)
    torch.testing.assert_close(encoder(SparseFeatures.from_dense(x), ptr), wanted)
    assert encoder(x).shape == (1, 5)
    assert "edge_index" not in inputs(encoder, joined(small_graphs(), torch.arange(len(SIZES))))
    encoder.reset_parameters()
    assert not torch.equal(encoder(x, ptr), wanted)


def test_sums_tell_apart_what_means_and_maxima_do_not():
    """Two stars around equal nodes, of two and of three leaves."""
    torch.manual_seed(0)
    leaves = [
        torch.tensor([[i, 0] for i in range(1, n)] + [[0, i] for i in range(1, n)]).t()
        for n in (3, 4)
    ]
    encoder = GIN(1, 8, 4, dropout=0.0).eval()
    centres = [encoder(torch.ones(n, 1), edges)[0] for n, edges in zip((3, 4), leaves, strict=True)]
    assert (centres[0] - centres[1]).abs().max() > 1e-3
    six = torch.tensor([[i, (i + 1) % 6] for i in range(6)]).t()
    two = torch.tensor([[i, 3 * (i // 3) + (i + 1) % 3] for i in range(6)]).t()
    rings = [encoder(torch.ones(6, 1), torch.cat([e, e.flip(0)], dim=1)) for e in (six, two)]
    torch.testing.assert_close(*rings)


def test_gine_reads_the_edges():
    union = joined(small_graphs(), torch.arange(len(SIZES)))
    torch.manual_seed(0)
    encoder = GINE(CHANNELS, 8, 4, num_edge_features=1, virtual_node=True, jumping=True).eval()
    found = encoder(**inputs(encoder, union))
    union.edge_attr = union.edge_attr + 1
    assert not torch.allclose(found, encoder(**inputs(encoder, union)))
    with pytest.raises(
        ValueError, match="GINE reads edge features, but the graph has no edge_attr"
    ):
        GINE(CHANNELS, 8, 4)
    with pytest.raises(ValueError, match="GINE needs the field 'edge_attr'"):
        encoder(union.x, union.edge_index)


@pytest.fixture
def encoded():
    union = joined(small_graphs(), torch.arange(len(SIZES)))
    union = LaplacianEncoding(2, cache=None)(RandomWalkEncoding(3, cache=None)(union))
    union.x = (union.x > 0).long()
    union.edge_attr = (union.edge_attr > 0).long()
    return union


def make_encoding(encoder, **settings):
    fields = {"random_walk_pe": 3, "laplacian_pe": 2}
    return InputEncoding(encoder, 4, (2, 2, 2), (2,), fields, 6, **settings)


@pytest.mark.parametrize("kind", [GCN, GINE])
def test_categories_and_positions_enter_any_encoder(kind, encoded):
    torch.manual_seed(0)
    known = {"num_edge_features": 4} if kind is GINE else {}
    model = make_encoding(kind(4 + 2 * 6, 8, 3, **known))
    fields = inputs(model, encoded)
    assert {"random_walk_pe", "laplacian_pe", "batch"} <= fields.keys()
    model(**fields).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert (model.edges is None) == (kind is GCN)
    groups = parameter_groups(model, torch.nn.Module())
    assert {"embedding", "encoding"} <= groups.keys()
    model.eval()
    assert torch.equal(model(**fields), model(**fields))


def test_signs_of_eigenvectors_are_drawn_per_graph_and_in_training_only(encoded):
    model = make_encoding(GCN(16, 8, 3))
    model.encodings["laplacian_pe"] = torch.nn.Identity()
    value = encoded.laplacian_pe
    torch.manual_seed(0)
    signs = model._encoding("laplacian_pe", value, encoded.batch) / value
    for graph, size in enumerate(SIZES):
        if size > 2:
            own = signs[encoded.ptr[graph] : encoded.ptr[graph + 1]]
            own = torch.where(own.isnan(), own.nanmean(dim=0), own)
            assert (own == own[0]).all()
            assert (own.abs() == 1).all()
    assert {-1.0, 1.0} <= {*signs.flatten().tolist()}
    model.eval()
    assert torch.equal(model._encoding("laplacian_pe", value, encoded.batch), value)


def test_a_missing_encoding_is_named(encoded):
    del encoded.random_walk_pe
    with pytest.raises(ValueError, match="needs the field 'random_walk_pe'"):
        inputs(make_encoding(GCN(16, 8, 3)), encoded)
