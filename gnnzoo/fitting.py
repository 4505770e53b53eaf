"""The one place where test labels are read: after training, once, with the selected weights."""

from typing import Any

import torch
from torch import nn

from gnnzoo.assemble import Parts
from gnnzoo.train.backprop import Fit


def test_scores(parts: Parts, fit: Fit, device: torch.device) -> dict[str, dict[str, Any]]:
    """Validation and test value of each metric at its selected epoch.

    Returns:
        ``{name: {"val", "test", "epoch", "mode"}}``, the form of a run record.
    """
    model = nn.ModuleDict({"encoder": parts.encoder, "head": parts.head})
    metrics, tests = {}, {}
    for name, best in fit.selection.best.items():
        if best.epoch not in tests:
            model.load_state_dict(best.state)
            with parts.trainer.autocast(device):
                tests[best.epoch] = parts.head.test(parts.encoder, parts.task.test)
        metrics[name] = {
            "val": best.val,
            "test": tests[best.epoch][name],
            "epoch": best.epoch + 1,
            "mode": best.mode,
        }
    return metrics
