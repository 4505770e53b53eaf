"""Every test writes into its own data root and sees no mirror unless it asks for one."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import gnnzoo.data
from gnnzoo.data import load_card
from gnnzoo.paths import cards_root, conf_root, data_root, mirrors

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
def real_places() -> list[Path]:
    """The data root and the mirrors that the tests were started with."""
    return REAL_PLACES


@pytest.fixture
def use_real(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Look for the published files of some data sets; skips where they are not."""

    def use_real(*names: str) -> Path:
        needed = [
            f"{group.folder}/{file}"
            for name in names
            for group in load_card(name).files.values()
            for file in group.sha256
        ]
        for place in REAL_PLACES:
            if all((place / file).is_file() for file in needed):
                monkeypatch.setenv("GNNZOO_MIRROR", os.fspath(place))
                return place
        pytest.skip(f"the raw files of {', '.join(names)} are in no data root or mirror")

    return use_real


@pytest.fixture
def real_mirror(use_real: Callable[..., Path]) -> Path:
    """A place that holds the published files of Cora and CiteSeer; skips where there is none."""
    return use_real("cora", "citeseer")


@pytest.fixture(scope="session")
def copied_cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of cards that know no checksum."""
    copied = tmp_path_factory.mktemp("cards")
    for path in cards_root().glob("*/card.yaml"):
        copy = copied / path.parent.name / "card.yaml"
        copy.parent.mkdir()
        text = path.read_text(encoding="utf-8")
        copy.write_text(re.sub(": [0-9a-f]{64}", ": null", text), encoding="utf-8")
    return copied


@pytest.fixture
def cards_without_checksums(copied_cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards by which stand-ins pass for the published files."""
    monkeypatch.setattr("gnnzoo.data.card.cards_root", lambda: copied_cards)


@pytest.fixture
def default_protocol(tmp_path: Path) -> Callable[[str], Any]:
    """The protocol that a data set has by default for node classification."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/main.yaml").write_text(f"hydra: {{searchpath: ['file://{conf_root()}']}}\n")

    def default_protocol(name: str) -> Any:
        with initialize_config_dir(str(tmp_path / "conf"), version_base=None):
            composed = compose("main", [f"+protocol={name}/node"])
        settings = OmegaConf.to_container(composed.protocol)
        return getattr(gnnzoo.data, settings.pop("_target_").rpartition(".")[2])(**settings)

    return default_protocol
