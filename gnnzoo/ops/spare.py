"""One large buffer on a CPU that outlives its use, for the next step of a training loop."""

import sys
import threading
from math import prod

import numpy as np
import torch
from torch import Tensor

MIN_BYTES = 1 << 26  # 64 MiB; smaller ones the system's allocator keeps for later by itself
_UNUSED = 2  # references while no tensor uses the memory: ours, and the argument that counts them

_lock = threading.Lock()
_spare: np.ndarray | None = None


def large_empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised tensor; a large one on a CPU in the memory of the last one, if that is free.

    Writing to fresh memory costs page faults; for a buffer of all hops of a large graph they take
    as long as several sparse products, at every step. One buffer of at least `MIN_BYTES` is
    therefore kept, and used again once no tensor refers to it, until another size is asked for or
    `release` is called. NumPy allocates it: it asks for huge pages, and its references can be
    counted.
    """
    global _spare
    size = prod(shape) * dtype.itemsize
    if device.type != "cpu" or size < MIN_BYTES:
        return torch.empty(shape, dtype=dtype, device=device)
    with _lock:
        if _spare is None or _spare.nbytes != size or sys.getrefcount(_spare) > _UNUSED:
            _spare = np.empty(size, dtype=np.uint8)
        return torch.from_numpy(_spare).view(dtype).view(shape)


def release() -> None:
    """Forget the kept buffer; its memory is freed once no tensor refers to it."""
    global _spare
    with _lock:
        _spare = None
