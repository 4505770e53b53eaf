import torch
from torch import nn

from gnnzoo.train import Untrained


class Head(nn.Module):
    modes = {"auc": "max"}

    def evaluate(self, encoder, splits):
        return {"val": {"loss": 0.5, "auc": 0.75}}


def test_the_only_epoch_is_the_score_as_it_is():
    encoder = nn.Linear(2, 2)
    before = encoder.weight.detach().clone()
    fit = Untrained().fit(encoder, Head())
    best = fit.selection.best["auc"]
    assert (best.val, best.epoch, len(fit.curve)) == (0.75, 0, 1)
    assert torch.equal(encoder.weight, before)
