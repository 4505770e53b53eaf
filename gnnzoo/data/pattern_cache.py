"""Large arrays that are computed once: kept in memory, or on disk as memory-mapped .npy files.

A file is written under another name and renamed when it is whole, so readers see all of it or
nothing, and several writers do no harm: each writes a file of its own and the last one stays.
Behind the array stands the sha256 of everything before it; a file that does not match is made anew.
"""

import hashlib
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gnnzoo.files import make_folder, write_atomically

MARK = b"\nsha256 "
TRAILER = len(MARK) + hashlib.sha256().digest_size
CHUNK = 1 << 24
MAX_KEPT = 4  # arrays in memory, the last ones asked for

_lock = threading.Lock()
_memory: "OrderedDict[str, tuple[Tensor, int]]" = OrderedDict()
_verified: set[tuple[str, int, int, int]] = set()


def in_memory(key: str, make: Callable[[], Tensor]) -> Tensor:
    """The kept array of a key, or the one that ``make()`` returns, which is kept.

    An array that somebody has written to since is not handed out again.
    """
    with _lock:
        kept = _memory.get(key)
        if kept is not None and kept[0]._version == kept[1]:
            _memory.move_to_end(key)
            return kept[0]
    made = make()
    with _lock:
        _memory[key] = (made, made._version)
        _memory.move_to_end(key)
        while len(_memory) > MAX_KEPT:
            _memory.popitem(last=False)
    return made


def forget() -> None:
    """Let go of all arrays in memory."""
    with _lock:
        _memory.clear()


def on_disk(
    path: Path, shape: tuple[int, ...], dtype: torch.dtype, fill: Callable[[Tensor], None]
) -> Tensor:
    """The array in a file, memory-mapped; made by ``fill(out)`` if it is not there or not whole.

    Writing to the result changes nothing on disk.

    Raises:
        ValueError: If the folder cannot be made.
    """
    make_folder(path.parent, "cache_dir")
    if path.exists():
        found = _read(path, shape, dtype)
        if found is not None:
            return found
        warnings.warn(f"{path} is damaged or of another form and is made anew", stacklevel=2)
    write_atomically(path, lambda temporary: _write(temporary, shape, dtype, fill))
    _verified.add(_stamp(path))
    return _map(path)


def _write(
    path: Path, shape: tuple[int, ...], dtype: torch.dtype, fill: Callable[[Tensor], None]
) -> None:
    kind = torch.empty(0, dtype=dtype).numpy().dtype
    array = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
    fill(torch.from_numpy(array))
    array.flush()
    del array
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as stream:
        stream.write(MARK + digest)


def _read(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor | None:
    """The array, or None where the file is not what was written for this shape and type."""
    size = path.stat().st_size - TRAILER
    if size < 0:
        return None
    stamp = _stamp(path)
    if stamp not in _verified:
        with path.open("rb") as stream:
            stream.seek(size)
            if stream.read() != MARK + _digest(path, size):
                return None
    try:
        found = _map(path)
    except (ValueError, OSError):
        return None
    if found.shape != shape or found.dtype != dtype:
        return None
    _verified.add(stamp)
    return found


def _map(path: Path) -> Tensor:
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))


def _stamp(path: Path) -> tuple[str, int, int, int]:
    state = path.stat()
    return str(path), state.st_ino, state.st_mtime_ns, state.st_size


def _digest(path: Path, size: int) -> bytes:
    """sha256 of the first `size` bytes."""
    found, left = hashlib.sha256(), size
    with path.open("rb") as stream:
        while left > 0 and (part := stream.read(min(CHUNK, left))):
            found.update(part)
            left -= len(part)
    return found.digest()


def tensor_key(*values: object) -> str:
    """sha256 over the contents of tensors and the representations of everything else."""
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            array = value.detach().cpu().contiguous()
            found.update(f"{array.dtype} {list(array.shape)}".encode())
            found.update(memoryview(array.view(-1).view(torch.uint8).numpy()))
        else:
            found.update(repr(value).encode())
        found.update(b"\0")
    return found.hexdigest()
