"""Tensors that are slow to make of raw files, kept beside them."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from gnnzoo.files import write_atomically


def kept_tensors(path: Path, made_of: str, make: Callable[[], dict[str, Tensor]]) -> dict:
    """Tensors as the file holds them, or as `make` makes them, which the file then holds.

    The file appears as a whole or not at all; two processes at once make it twice.

    Args:
        path: A ``.safetensors`` file.
        made_of: What the tensors depend on, such as a checksum of the raw files and a format; a
            file made of something else is replaced.
        make: Makes the tensors.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    if path.is_file():
        with safe_open(path, "pt") as stored:
            if (stored.metadata() or {}).get("made_of") == made_of:
                names = list(stored.keys())
                return {name: stored.get_tensor(name) for name in names}
    made = {name: value.contiguous() for name, value in make().items()}
    write_atomically(path, lambda temporary: save_file(made, temporary, {"made_of": made_of}))
    return made
