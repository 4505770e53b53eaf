"""No training at all: what a heuristic scores is its result."""

from typing import Any

import torch
from torch import nn

from gnnzoo.train.backprop import Fit
from gnnzoo.train.progress import Reporter, Silent
from gnnzoo.train.selection import Selection


class Untrained:
    """Scores the validation split once and changes nothing."""

    def fit(
        self,
        encoder: nn.Module,
        head: nn.Module,
        checkpoint: Any = None,
        reporter: Reporter | None = None,
        label: str = "scoring",
    ) -> Fit:
        """Score ``encoder`` and ``head`` as they are; arguments as of :class:`Backprop`."""
        reporter = reporter or Silent()
        fit, metric = Fit(Selection(head.modes)), next(iter(head.modes))
        reporter.start(label, 1, 0)
        try:
            scores = head.evaluate(encoder, ("val",))["val"]
            fit.selection.update(0, scores, nn.ModuleDict({"encoder": encoder, "head": head}))
            fit.curve.append({"epoch": 1} | {f"val_{name}": v for name, v in scores.items()})
            reporter.update(0, scores["loss"], metric, scores[metric])
        finally:
            reporter.close()
        return fit

    def autocast(self, device: torch.device) -> torch.autocast:
        """Full precision."""
        return torch.autocast(device.type, torch.bfloat16, enabled=False)
