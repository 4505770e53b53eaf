"""Equal runs have equal hashes; whatever can change a number changes one of them."""

import importlib
import inspect
import sys
from dataclasses import dataclass

import pytest
from omegaconf import open_dict

from gnnzoo import identity
from gnnzoo.config import compose


def cell(*overrides: str) -> str:
    return identity.cell_hash(compose(overrides))


@pytest.mark.parametrize(
    "override",
    ["seed=7", "device=cpu", "threads=3", "run_dir=elsewhere", "rerun=true", "progress=none"],
)
def test_seed_device_and_places_are_not_part_of_the_cell(override):
    assert cell(override) == cell()


@pytest.mark.parametrize(
    "override",
    ["trainer.lr=0.02", "model=gcn", "dataset=cora", "protocol=random_per_class",
     "features.normalize=row", "deterministic=true"],
)  # fmt: skip
def test_settings_are_part_of_the_cell(override):
    assert cell(override) != cell()


def test_a_default_written_out_is_the_same_cell():
    assert cell("model=gcn", "~model.act") == cell("model=gcn")
    assert cell("model=gcn", "model.act=elu") != cell("model=gcn")
    assert cell("trainer.lr=1") == cell("trainer.lr=1.0")


def test_a_setting_added_later_leaves_old_runs_what_they_were(tmp_path, monkeypatch):
    (tmp_path / "mylab.py").write_text("from torch.nn import Module\nclass Own(Module): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mylab", raising=False)
    settings = ("model=mlp", "model._target_=mylab.Own", "trusted_targets=[mylab]")
    own = importlib.import_module("mylab").Own

    def old(in_channels, width=8): ...
    def new(in_channels, width=8, rescale=False): ...

    own.__signature__ = inspect.signature(old)
    before = cell(*settings)
    own.__signature__ = inspect.signature(new)
    assert cell(*settings) == before == cell(*settings, "+model.rescale=false")
    assert cell(*settings, "+model.rescale=true") != before
    assert cell(*settings, "+model.rescale=0") != before, "0 is not False to every model"


def test_a_run_setting_added_later_leaves_old_runs_what_they_were(monkeypatch):
    @dataclass
    class Later(identity.RunConfig):
        autotune: bool = False

    before = compose([])
    after = compose([])
    with open_dict(after.settings):
        after.settings.autotune = False
    monkeypatch.setattr(identity, "RunConfig", Later)
    assert identity.cell_hash(after) == identity.cell_hash(before)
    after.settings.autotune = True
    assert identity.cell_hash(after) != identity.cell_hash(before)


def test_a_part_of_a_default_dictionary_is_not_the_default(tmp_path, monkeypatch):
    source = "from torch.nn import Module\nclass Own(Module):\n    def __init__(self, {}): ...\n"
    (tmp_path / "mylab.py").write_text(source.format("options={'bias': True}"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mylab", raising=False)
    settings = ("model=mlp", "model._target_=mylab.Own", "trusted_targets=[mylab]")
    assert cell(*settings, "+model.options={bias:true}") == cell(*settings)
    assert cell(*settings, "+model.options={}") != cell(*settings)
    assert cell(*settings, "+model.options={bias:true,wide:true}") != cell(*settings)


def test_a_changed_default_changes_one_of_the_hashes(monkeypatch):
    composed = compose([])
    before = identity.code_hash(composed)

    @dataclass
    class Changed(identity.RunConfig):
        deterministic: bool = True

    monkeypatch.setattr(identity, "RunConfig", Changed)
    assert identity.code_hash(composed) != before


def test_a_changed_default_of_another_package_changes_the_code_hash(monkeypatch):
    scheduler = "{_target_:torch.optim.lr_scheduler.StepLR,_partial_:true,step_size:3}"
    composed = compose([f"trainer.scheduler={scheduler}"])
    before = identity.code_hash(composed)

    def changed(self, optimizer, step_size, gamma=0.5, last_epoch=-1): ...

    monkeypatch.setattr("torch.optim.lr_scheduler.StepLR.__init__", changed)
    assert identity.code_hash(composed) != before


def test_a_recipe_and_the_same_values_by_hand_are_the_same_cell():
    by_hand = (
        "tuned=none", "features.normalize=row", "model.num_hops=10", "model.dropout=0.8",
        "model.hidden_channels=64", "trainer.epochs=1000", "trainer.weight_decay=5e-3",
        "trainer.select=loss", "trainer.stopping._target_=gnnzoo.train.TrailingMean",
        "trainer.stopping.start=0.5",
    )  # fmt: skip
    assert cell("dataset=cora", *by_hand) == cell("dataset=cora")


def test_a_graph_file_counts_by_its_content(tmp_path, toy_graph):
    copy = tmp_path / "elsewhere.npz"
    copy.write_bytes(toy_graph.read_bytes())
    first = cell("dataset=file", f"dataset.path={toy_graph}")
    assert first == cell("dataset=file", f"dataset.path={copy}")
    copy.write_bytes(toy_graph.read_bytes() + b"x")
    assert first != cell("dataset=file", f"dataset.path={copy}")


@pytest.fixture
def sources(monkeypatch):
    """Pretend that a module's source reads otherwise."""
    real = identity._source

    def pretend(module: str, edit):
        for cached in (identity._imports, identity._source_digest):
            cached.cache_clear()
        monkeypatch.setattr(
            identity, "_source", lambda name: edit(real(name)) if name == module else real(name)
        )
        return identity.code_hash(compose(["model=dagnn"]))

    yield pretend
    for cached in (identity._imports, identity._source_digest):
        cached.cache_clear()


def test_comments_docstrings_and_layout_do_not_change_the_code_hash(sources):
    before = sources("gnnzoo.models.dagnn", lambda text: text)
    edited = sources(
        "gnnzoo.models.dagnn", lambda text: "# words\n\n" + text.replace('"""', '"""More. ', 1)
    )
    assert before == edited


@pytest.mark.parametrize(
    "module",
    ["gnnzoo.models.dagnn", "gnnzoo.ops.spmm", "gnnzoo.nn.features", "gnnzoo.train.backprop",
     "gnnzoo.train.selection", "gnnzoo.data.protocol", "gnnzoo.heads.metrics", "gnnzoo.assemble",
     "gnnzoo.fitting"],
)  # fmt: skip
def test_a_change_in_any_part_used_changes_the_code_hash(sources, module):
    assert sources(module, lambda text: text) != sources(module, lambda text: text + "\nx = 1\n")


@pytest.mark.parametrize(
    "module", ["gnnzoo.models.gcn", "gnnzoo.results.render", "gnnzoo.cli", "gnnzoo.recording"]
)
def test_a_change_in_parts_not_used_does_not(sources, module):
    assert sources(module, lambda text: text) == sources(module, lambda text: text + "\nx = 1\n")


def test_everything_but_comments_docstrings_and_blank_lines_counts():
    source = '''"""Über."""  # end

def f(x):  # what
    """One; two."""
    "kept"
    return f"{x} # no comment"
'''
    assert identity._bare(source) == 'def f(x):\n    "kept"\n    return f"{x} # no comment"'


@pytest.mark.parametrize("line", ["from .helpers import SCALE", "from mylab import helpers"])
def test_modules_that_a_trusted_package_imports_count(tmp_path, monkeypatch, line):
    package = tmp_path / "mylab"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "layers.py").write_text(f"{line}\nfrom gnnzoo.models import MLP as Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mylab", "mylab.layers", "mylab.helpers"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def code() -> str:
        for cached in (identity._spec, identity._source, identity._imports):
            cached.cache_clear()
        for cached in (identity._is_package, identity._source_digest):
            cached.cache_clear()
        importlib.invalidate_caches()
        return identity._source_digests(["mylab.layers"], ("gnnzoo", "mylab"))

    (package / "helpers.py").write_text("SCALE = 1\n")
    before = code()
    (package / "helpers.py").write_text("SCALE = 50\n")
    assert code() != before
