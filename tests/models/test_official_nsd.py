"""Weights of the authors' code give the authors' logits."""

import pytest
import torch
from safetensors.torch import save_file

from gnnzoo.models import NSD
from gnnzoo.models.official_nsd import load_official_nsd
from tests.reference import official_nsd as reference
from tests.reference.graphs import random_edges

F64 = torch.float64
EDGES = random_edges(8, 11, undirected=True, loops=False)
SIZES = (5, 4, 3)  # features, width of a stalk dimension, classes
CASES = {
    "diag": {"maps": "diag", "fixed": ("lp",)},
    "diag, one stalk dimension": {"maps": "diag", "stalk_dim": 1},
    "diag, second linear": {"maps": "diag", "second_linear": True},
    "bundle": {"maps": "bundle", "fixed": ("lp", "hp")},
    "bundle, sparse learner, odd": {"maps": "bundle", "sparse_learner": True},
    "bundle, sparse learner, even": {"maps": "bundle", "sparse_learner": True, "fixed": ("hp",)},
    "bundle, cayley": {"maps": "bundle", "orth": "cayley"},
    "bundle, exp": {"maps": "bundle", "orth": "exp", "stalk_dim": 4},
    "bundle, euler": {"maps": "bundle", "orth": "euler", "edge_weights": False},
    "general": {"maps": "general", "stalk_dim": 2},
    "general, one sheaf": {"maps": "general", "linear": True},
}


def made(case):
    """Settings, weights and a model for them."""
    settings = {"stalk_dim": 3, "orth": "householder", "fixed": (), **CASES[case]}
    torch.manual_seed(0)
    sizes = (*SIZES, 2, settings["stalk_dim"], settings["maps"])
    rest = {k: v for k, v in settings.items() if k not in ("stalk_dim", "maps")}
    state = reference.made_up_weights(*sizes, **rest)
    model = NSD(
        *SIZES[:2], SIZES[2], 2, settings["stalk_dim"], settings["maps"], settings["orth"],
        add_lp="lp" in settings["fixed"], add_hp="hp" in settings["fixed"],
        learner="stalk_sum_official" if settings.get("sparse_learner") else "concat",
        edge_weights=settings.get("edge_weights", True),
        share_maps=settings.get("linear", False),
        second_linear=settings.get("second_linear", False),
    )  # fmt: skip
    return settings, state, model.double().eval()


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_published_forward_pass(case):
    settings, state, model = made(case)
    x = torch.randn(8, SIZES[0], dtype=F64)
    kept = ("stalk_dim", "maps", "orth", "fixed")
    expected = reference.forward(state, x, EDGES, **{key: settings[key] for key in kept})
    assert load_official_nsd(model, state) is model
    torch.testing.assert_close(model(x, EDGES), expected)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_of_either_kind_are_read(tmp_path, suffix):
    _, state, model = made("bundle")
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    x = torch.randn(8, SIZES[0], dtype=F64)
    expected = load_official_nsd(model, state)(x, EDGES)
    _, _, other = made("bundle")
    assert torch.equal(load_official_nsd(other, path)(x, EDGES), expected)


def test_a_file_that_holds_no_state_dict_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="holds no state dict"):
        load_official_nsd(made("diag")[2], tmp_path / "weights.pt")


def test_what_does_not_fit_is_named_and_changes_nothing():
    _, state, model = made("bundle, exp")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    short = {name: value for name, value in state.items() if name != "epsilons.1"}
    with pytest.raises(ValueError, match=r"lack 'epsilons.1', which is 'layers.1.conv.epsilon'"):
        load_official_nsd(model, short)
    with pytest.raises(ValueError, match=r"hold 'lin12.bias', which this model lacks"):
        load_official_nsd(model, state | {"lin12.bias": torch.zeros(3)})
    wrong = state | {"sheaf_learners.0.linear1.weight": torch.zeros(6, 32)}
    with pytest.raises(ValueError, match=r"must have shape \[10, 32\] for this model, got \[6, 32"):
        load_official_nsd(model, wrong)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("maps", ["identity", "flat", "connection"])
def test_models_without_learned_maps_of_edges_are_refused(maps):
    with pytest.raises(ValueError, match="the authors' weights"):
        load_official_nsd(NSD(*SIZES, maps=maps), {})
