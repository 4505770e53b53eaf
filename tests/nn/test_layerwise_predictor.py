import pytest
import torch

from gnnzoo.nn import DotPredictor, LayerwisePredictor

PAIRS = torch.tensor([[0, 1, 2], [3, 3, 4]])


def embeddings():
    torch.manual_seed(0)
    return torch.randn(5, 6, dtype=torch.float64)


def test_one_layer_is_the_dot_product():
    x = embeddings()
    want = DotPredictor(6)(x, None, PAIRS)
    torch.testing.assert_close(LayerwisePredictor(6)(x, None, PAIRS), want)


@pytest.mark.parametrize("score", ["dot", "goodness"])
def test_layers_vote_with_the_mean_of_their_probabilities(score):
    x, chances = embeddings(), []
    for u, v in PAIRS.t().tolist():
        votes = []
        for layer in x.split(2, dim=1):
            product = layer[u] * layer[v]
            s = product.sum() if score == "dot" else product.square().sum() - 1.5
            votes.append(s.sigmoid())
        chances.append(torch.stack(votes).mean())
    out = LayerwisePredictor(2, score, 1.5)(x, None, PAIRS)
    torch.testing.assert_close(out.sigmoid(), torch.stack(chances))
    torch.testing.assert_close(out, LayerwisePredictor(2, score, 1.5)(x, None, PAIRS.flip(0)))


def test_large_scores_stay_apart():
    x = torch.tensor([[60.0], [70.0], [1.0]])
    scores = LayerwisePredictor(1)(x, None, torch.tensor([[0, 1], [2, 2]]))
    assert scores.tolist() == [60.0, 70.0]


def test_a_width_that_is_no_number_of_layers_is_refused():
    with pytest.raises(ValueError, match="num_layers"):
        LayerwisePredictor(4)(embeddings(), None, PAIRS)
