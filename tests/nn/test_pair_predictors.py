import pytest
import torch

from gnnzoo.nn import DotPredictor, MLPPredictor

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
PAIRS = torch.tensor([[0, 1, 5, 2], [3, 1, 0, 4]])


def test_dot_is_the_dot_product():
    want = torch.stack([X[i] @ X[j] for i, j in PAIRS.T.tolist()])
    torch.testing.assert_close(DotPredictor(4)(X, None, PAIRS), want)


def test_mlp_is_an_mlp_on_products():
    model = MLPPredictor(4, 8, num_layers=3)
    first, second, last = (part for part in model.mlp if isinstance(part, torch.nn.Linear))
    for k, (i, j) in enumerate(PAIRS.T.tolist()):
        want = last(second(first(X[i] * X[j]).relu()).relu())
        torch.testing.assert_close(model(X, None, PAIRS)[k], want[0])


@pytest.mark.parametrize("make", [DotPredictor, MLPPredictor])
def test_scores_are_symmetric_and_there_may_be_none(make):
    model = make(4)
    out = model(X, None, PAIRS)
    assert out.dtype == torch.float32
    assert out.shape == (4,)
    assert torch.equal(model(X, None, PAIRS.flip(0)), out)
    assert model(X, None, PAIRS[:, :0]).shape == (0,)
    torch.testing.assert_close(model(X, None, PAIRS.int()), out)
    assert not model.reads_graph
    assert model.in_channels == 4


@pytest.mark.parametrize("make", [DotPredictor, MLPPredictor])
def test_half_precision_gives_float32_and_double_stays(make):
    for dtype, want in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        assert make(4).to(dtype)(X.to(dtype), None, PAIRS).dtype == want


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (PAIRS.T, r"\[2, num_pairs\], got \[4, 2\]"),
        (PAIRS.float(), "must hold integers, got torch.float32"),
        (PAIRS + 2, r"names node 7, but ids must be in \[0, 6\)"),
        (PAIRS - 1, "names node -1"),
    ],
)
def test_bad_pairs_are_named(pairs, message):
    with pytest.raises(ValueError, match=message):
        DotPredictor(4)(X, None, pairs)


def test_bad_widths_and_settings_are_named():
    with pytest.raises(ValueError, match=r"\[num_nodes, 5\].*got \[6, 4\]"):
        DotPredictor(5)(X, None, PAIRS)
    with pytest.raises(ValueError, match="num_layers must be an integer of at least 1, got 0"):
        MLPPredictor(4, num_layers=0)
    with pytest.raises(ValueError, match=r"dropout.*got 2"):
        MLPPredictor(4, dropout=2)
    with pytest.raises(ValueError, match=r"in_channels.*got 0"):
        DotPredictor(0)
