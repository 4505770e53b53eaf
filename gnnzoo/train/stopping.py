"""Early stopping rules as papers use them. Each is asked once per epoch, after validation."""

from collections import deque
from typing import Any

MONITORS = ("loss", "metric")


class Patience:
    """Stop after ``patience`` epochs without a better validation value.

    Args:
        patience: Epochs to wait, at least 1.
        monitor: ``"loss"`` (lower is better) or ``"metric"`` (the protocol's, higher is better).
        min_epochs: Never stop before this many epochs.
    """

    def __init__(self, patience: int = 100, monitor: str = "loss", min_epochs: int = 0) -> None:
        _check(patience, monitor)
        self.patience = patience
        self.monitor = monitor
        self.min_epochs = min_epochs
        self.best = float("-inf")
        self.waited = 0

    def should_stop(self, epoch: int, max_epochs: int, loss: float, metric: float) -> bool:
        """Whether to stop after this epoch (counted from 0)."""
        value = -loss if self.monitor == "loss" else metric
        self.waited = 0 if value > self.best else self.waited + 1
        self.best = max(self.best, value)
        return self.waited >= self.patience and epoch + 1 >= self.min_epochs

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.best, self.waited = state["best"], state["waited"]


class TrailingMean:
    """Stop when the validation loss exceeds the mean of the ``patience`` losses before it.

    The rule of Kipf and Welling (2017, window 10) and, with ``start=0.5`` and window 100, that of
    DAGNN (Liu et al., 2020).

    Args:
        patience: Length of the window in epochs, at least 1.
        start: Share of the epochs that always run, in [0, 1].
    """

    def __init__(self, patience: int = 100, start: float = 0.0) -> None:
        _check(patience, "loss")
        if not 0.0 <= start <= 1.0:
            raise ValueError(f"start is a share of the epochs in [0, 1], got {start}")
        self.patience = patience
        self.start = start
        self.losses: deque[float] = deque(maxlen=patience)

    def should_stop(self, epoch: int, max_epochs: int, loss: float, metric: float) -> bool:
        """Whether to stop after this epoch (counted from 0)."""
        full = len(self.losses) == self.patience
        worse = full and loss > sum(self.losses) / self.patience
        self.losses.append(loss)
        return worse and epoch >= int(self.start * max_epochs)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"losses": list(self.losses)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.losses = deque(state["losses"], maxlen=self.patience)


def _check(patience: int, monitor: str) -> None:
    if patience < 1:
        raise ValueError(f"patience is a number of epochs, at least 1, got {patience}")
    if monitor not in MONITORS:
        raise ValueError(f"monitor must be one of {', '.join(MONITORS)}, got {monitor!r}")
