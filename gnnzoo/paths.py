"""Where things are read from and written to.

Read: ``conf``, dataset cards and tables, from the source tree where there is one, otherwise from
the copy that travels in the wheel. Written: ``./runs`` and ``./datasets`` of the folder one stands
in (``GNNZOO_RUNS``, ``GNNZOO_DATA``), never the installed package.
"""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shared_root() -> Path:
    """Folder that holds ``conf``, ``datasets`` (cards) and ``experiments`` (tables)."""
    source_tree = _PACKAGE.parent
    if (source_tree / "pyproject.toml").is_file() and (source_tree / "conf").is_dir():
        return source_tree
    return _PACKAGE / "_share"


def conf_root() -> Path:
    """Folder of the Hydra groups."""
    return shared_root() / "conf"


def cards_root() -> Path:
    """Folder of the dataset cards, ``<name>/card.yaml`` each."""
    return shared_root() / "datasets"


def experiments_root() -> Path:
    """Folder of the published tables, ``<name>/table.yaml`` each."""
    return shared_root() / "experiments"


def runs_root() -> Path:
    """Folder for run folders and the store: ``GNNZOO_RUNS`` or ``./runs``."""
    return Path(os.environ.get("GNNZOO_RUNS") or "runs").absolute()


def data_root() -> Path:
    """Folder for raw and processed data: ``GNNZOO_DATA`` or ``./datasets``."""
    return Path(os.environ.get("GNNZOO_DATA") or "datasets").absolute()


def mirrors() -> list[Path]:
    """Read-only folders of ``GNNZOO_MIRROR`` (separated like ``PATH``), searched in order."""
    listed = os.environ.get("GNNZOO_MIRROR", "").split(os.pathsep)
    return [Path(entry).expanduser().absolute() for entry in listed if entry]
