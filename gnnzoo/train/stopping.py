"""Early stopping rules as papers use them. Each is asked once per epoch, after validation.

All rules take the same arguments, so that a recipe may change the rule and keep the rest.
"""

from abc import ABC, abstractmethod
from collections import deque
from typing import Any

MONITORS = ("loss", "metric")


class _Rule(ABC):
    def __init__(self, patience: int, monitor: str, start: float) -> None:
        if patience < 1:
            raise ValueError(f"patience is a number of epochs, at least 1, got {patience}")
        if monitor not in MONITORS:
            raise ValueError(f"monitor must be one of {', '.join(MONITORS)}, got {monitor!r}")
        if not 0.0 <= start <= 1.0:
            raise ValueError(f"start is a share of the epochs in [0, 1], got {start}")
        self.patience = patience
        self.monitor = monitor
        self.start = start

    def should_stop(self, epoch: int, max_epochs: int, loss: float, metric: float) -> bool:
        """Whether to stop after this epoch (counted from 0), given its validation scores."""
        worse = self._worse(-loss if self.monitor == "loss" else metric)
        return worse and epoch >= int(self.start * max_epochs)

    @abstractmethod
    def _worse(self, value: float) -> bool:
        """Take in a validation value (higher is better); whether the rule says stop."""


class Patience(_Rule):
    """Stop after ``patience`` epochs without a better validation value.

    Args:
        patience: Epochs to wait, at least 1.
        monitor: ``"loss"`` (lower is better) or ``"metric"`` (the protocol's, higher is better).
        start: Share of the epochs that always run, in [0, 1].
    """

    def __init__(self, patience: int = 100, monitor: str = "loss", start: float = 0.0) -> None:
        super().__init__(patience, monitor, start)
        self.best = float("-inf")
        self.waited = 0

    def _worse(self, value: float) -> bool:
        self.waited = 0 if value > self.best else self.waited + 1
        self.best = max(self.best, value)
        return self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.best, self.waited = state["best"], state["waited"]


class TrailingMean(_Rule):
    """Stop when the validation value is worse than the mean of the ``patience`` before it.

    The rule of Kipf and Welling (2017; loss, window 10) and, with ``start=0.5`` and window 100,
    that of DAGNN (Liu et al., 2020).

    Args:
        patience: Length of the window in epochs, at least 1.
        monitor: ``"loss"`` or ``"metric"``, as for :class:`Patience`.
        start: Share of the epochs that always run, in [0, 1].
    """

    def __init__(self, patience: int = 100, monitor: str = "loss", start: float = 0.0) -> None:
        super().__init__(patience, monitor, start)
        self.values: deque[float] = deque(maxlen=patience)

    def _worse(self, value: float) -> bool:
        full = len(self.values) == self.patience
        worse = full and value < sum(self.values) / self.patience
        self.values.append(value)
        return worse

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"values": list(self.values)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.values = deque(state["values"], maxlen=self.patience)
