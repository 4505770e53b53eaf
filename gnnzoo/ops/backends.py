"""Which implementation of an operation runs: one dispatch rule for all of them.

Every operation lists its back-ends from most to least preferred; the first one that works on the
device at hand is taken. All of them compute the same thing, ``torch`` being the portable reference.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

import torch
import torch_geometric.typing

PREFERENCE: dict[str, tuple[str, ...]] = {
    "spmm": ("csr", "scatter", "torch"),
    "edge_dot": ("csr", "torch"),
    "segment": ("scatter", "torch"),
    "sample": ("pyg_lib", "torch"),
    "overlap": ("triton", "scipy", "torch", "dense"),
}
NAMES = ("csr", "scatter", "pyg_lib", "triton", "scipy", "torch", "dense")

_forced: str | None = None


@cache
def has_scatter() -> bool:
    """Whether torch-scatter is installed and its compiled part loads."""
    if find_spec("torch_scatter") is None:
        return False
    try:
        import torch_scatter  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def has_pyg_lib() -> bool:
    """Whether PyG has found pyg-lib, whose sampler it then uses."""
    return torch_geometric.typing.WITH_PYG_LIB


@cache
def has_scipy() -> bool:
    """Whether SciPy is installed."""
    return find_spec("scipy") is not None


@cache
def has_triton() -> bool:
    """Whether Triton is installed; it comes with torch's CUDA builds."""
    return find_spec("triton") is not None


_WORKS: dict[str, Callable[[str], bool]] = {
    "csr": lambda device: (
        device == "cuda" or (device == "cpu" and torch.backends.mkl.is_available())
    ),
    "scatter": lambda device: device in ("cpu", "cuda") and has_scatter(),
    "pyg_lib": lambda device: device == "cpu" and has_pyg_lib(),
    "triton": lambda device: device == "cuda" and has_triton(),
    "scipy": lambda device: device == "cpu" and has_scipy(),
    "torch": lambda device: True,
    "dense": lambda device: True,
}


def choose(op: str, device: torch.device | str) -> str:
    """Name of the back-end that `op` uses on `device`.

    A name forced by `use` wins for the operations that have it.
    """
    names = PREFERENCE[op]
    if _forced is not None and _forced in names:
        return _forced
    kind = device.type if isinstance(device, torch.device) else device
    return next(name for name in names if _WORKS[name](kind))


@contextmanager
def use(name: str) -> Iterator[None]:
    """Force one back-end inside the block; operations that lack it keep their usual one.

    Raises:
        ValueError: If `name` is unknown or does not work on this machine.
    """
    global _forced
    if name not in NAMES:
        raise ValueError(f"no back-end named {name!r}; there are {', '.join(NAMES)}")
    if name == "scatter" and not has_scatter():
        raise ValueError("back-end 'scatter' needs torch-scatter: pip install 'gnnzoo[scatter]'")
    if name == "pyg_lib" and not has_pyg_lib():
        raise ValueError(
            "back-end 'pyg_lib' needs pyg-lib; see https://github.com/pyg-team/pyg-lib"
        )
    if name == "scipy" and not has_scipy():
        raise ValueError("back-end 'scipy' needs SciPy: pip install scipy")
    if name == "triton" and not has_triton():
        raise ValueError("back-end 'triton' needs Triton: pip install triton")
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


def report() -> dict[str, str]:
    """The back-end of every operation on the devices present, as in ``{"spmm/cpu": "csr"}``."""
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    return {f"{op}/{device}": choose(op, device) for device in devices for op in PREFERENCE}
