"""A checkpoint from which a run resumes bit for bit, and the finished weights."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gnnzoo.files import write_atomically


class Checkpoint:
    """Save a training state now and then, so that a killed run loses little.

    The file holds tensors and plain values only and is read with ``weights_only=True``, so nothing
    in it can run code.

    Args:
        path: File to write.
        every_seconds: Least time between two saves; 0 saves after every epoch.
        stop_requested: Asked after every epoch; when true the trainer saves and stops.
        on_save: Called after every save (the run record beats its heart there).
    """

    def __init__(
        self,
        path: Path,
        every_seconds: float = 20.0,
        stop_requested: Callable[[], bool] = lambda: False,
        on_save: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self.every_seconds = every_seconds
        self.stop_requested = stop_requested
        self.on_save = on_save
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None where there is none."""
        if not self.path.is_file():
            return None
        return torch.load(self.path, map_location="cpu", weights_only=True)

    def due(self) -> bool:
        """Whether enough time has passed since the last save."""
        return time.monotonic() - self._last >= self.every_seconds

    def save(self, state: dict[str, Any]) -> None:
        """Write the state and the state of torch's random generators, atomically."""
        write_atomically(self.path, lambda path: torch.save(state | {"rng": rng_state()}, path))
        self._last = time.monotonic()
        self.on_save()

    def remove(self) -> None:
        """Delete the file: the run is finished."""
        self.path.unlink(missing_ok=True)


def rng_state() -> dict[str, Any]:
    """State of torch's generators on the CPU and on every CUDA device."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_rng_state(state: dict[str, Any]) -> None:
    """Put torch's generators back where :func:`rng_state` found them."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write weights as safetensors."""
    contiguous = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_atomically(path, lambda temporary: save_file(contiguous, temporary))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read weights written by :func:`save_weights`."""
    return load_file(path)
