"""gnnzoo: recent graph neural networks, one import, one override or one table away.

Submodules load when they are first asked for, so ``from gnnzoo.nn import DAGNNProp`` costs
torch and PyTorch Geometric only.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "run": "gnnzoo.executor",
    "create_model": "gnnzoo.registry",
    "list_models": "gnnzoo.registry",
    "load_dataset": "gnnzoo.registry",
}

_SUBMODULES = ("data", "heads", "models", "nn", "ops", "results", "train")

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _SUBMODULES:
        return import_module(f"gnnzoo.{name}")
    raise AttributeError(f"module 'gnnzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBMODULES])
