"""Which epoch a result is taken from: the best on validation, per metric, with its weights."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

State = dict[str, Tensor]


@dataclass
class Best:
    """Best epoch of one metric so far."""

    mode: str
    score: float = field(default=-math.inf)
    epoch: int = -1
    val: float = math.nan
    state: State = field(default_factory=dict)


class Selection:
    """Remember, per metric, the first epoch with the best validation value and its weights.

    Args:
        modes: Metric name to ``"max"`` or ``"min"``, the selected one first.
        by: ``"metric"``: every metric by its own best epoch; ``"loss"``: all of them at the epoch
            with the lowest validation loss.
    """

    def __init__(self, modes: dict[str, str], by: str = "metric") -> None:
        if by not in ("metric", "loss"):
            raise ValueError(f"select must be metric or loss, got {by!r}")
        self.by = by
        self.best = {name: Best(mode) for name, mode in modes.items()}

    def update(self, epoch: int, val: dict[str, float], model: nn.Module) -> bool:
        """Take in an epoch's validation scores; return whether any metric improved."""
        state: State | None = None
        for name, best in self.best.items():
            judged, mode = (val["loss"], "min") if self.by == "loss" else (val[name], best.mode)
            score = judged if mode == "max" else -judged
            if score > best.score:
                if state is None:
                    state = {
                        key: value.detach().clone() for key, value in model.state_dict().items()
                    }
                best.score, best.epoch, best.val, best.state = score, epoch, val[name], state
        return state is not None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {name: copy.copy(vars(best)) for name, best in self.best.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.best = {name: Best(**entry) for name, entry in state.items()}
