"""Search hyper-parameters on validation scores alone and write the winner down as a recipe.

What is named here loads when it is first asked for, so that a mistake in a space is told at once.
"""

from importlib import import_module
from typing import Any

_LAZY = {
    "Search": "gnnzoo.tune.search",
    "draw": "gnnzoo.tune.space",
    "load_space": "gnnzoo.tune.space",
    "tune": "gnnzoo.tune.study",
}

__all__ = ["Search", "draw", "load_space", "tune"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'gnnzoo.tune' has no attribute {name!r}")
