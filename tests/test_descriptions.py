"""What `gnnzoo list` says about each name, and that it is quick to say so."""

import inspect

import pytest

from gnnzoo.config import resolve_target
from gnnzoo.descriptions import describe
from gnnzoo.registry import KINDS, entry, list_names
from tests.test_architecture import modules_after


@pytest.mark.parametrize("kind", KINDS)
def test_everything_that_can_be_listed_is_described_in_plain_words(kind):
    assert list_names(kind)
    for name in list_names(kind):
        text = describe(kind, name)
        assert len(text) > 10, name
        assert "\n" not in text
        assert "``" not in text


def test_a_model_is_described_by_its_class():
    for name in list_names("models"):
        own = inspect.getdoc(resolve_target(entry("models", name)["_target_"]))
        assert " ".join(own.replace("``", "").split()).startswith(describe("models", name))


def test_a_part_of_another_package_is_described_too(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "stock.yaml").write_text("_target_: torch_geometric.nn.GCNConv\n")
    monkeypatch.setattr("gnnzoo.registry.conf_root", lambda: tmp_path)
    assert "graph convolutional operator" in describe("models", "stock")


def test_describing_imports_nothing_heavy():
    loaded = modules_after(
        "from gnnzoo.descriptions import describe; from gnnzoo.registry import KINDS, list_names; "
        "[describe(kind, name) for kind in KINDS for name in list_names(kind)]"
    )
    assert not loaded & {"torch", "torch_geometric", "optuna", "matplotlib"}
