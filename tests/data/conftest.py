"""Every test writes into its own data root and sees no mirror unless it asks for one."""

import os
from pathlib import Path

import pytest

from gnnzoo.data import load_card
from gnnzoo.paths import data_root, mirrors

# Read before any test changes the environment.
REAL_PLACES = [data_root(), *mirrors()]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root; the network is off."""
    monkeypatch.setenv("GNNZOO_DATA", str(tmp_path / "root"))
    monkeypatch.delenv("GNNZOO_MIRROR", raising=False)

    def refuse(address: str, timeout: float) -> None:
        assert timeout > 0
        raise OSError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return tmp_path / "root"


@pytest.fixture
def real_mirror(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place that holds the published files of Cora and CiteSeer; skips where there is none."""
    needed = [
        f"{group.folder}/{name}"
        for card in (load_card("cora"), load_card("citeseer"))
        for group in card.files.values()
        for name in group.sha256
    ]
    for place in REAL_PLACES:
        if all((place / name).is_file() for name in needed):
            monkeypatch.setenv("GNNZOO_MIRROR", os.fspath(place))
            return place
    pytest.skip("the raw files of Cora and CiteSeer are neither in the data root nor in a mirror")
