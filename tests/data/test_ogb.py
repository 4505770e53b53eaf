"""ogb sets load offline from ogb's own layout, without a question and after a kill."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from gnnzoo.data import MissingDataError, NamedSplit, ogb_node

NODES = 5


def write_stand_in(folder: Path, split: str) -> None:
    """A graph of five nodes in OGB's layout."""

    def table(name: str, rows: list) -> None:
        path = folder / f"{name}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, header=False, index=False)

    table("raw/edge", [[0, 1], [1, 2], [3, 4]])
    table("raw/node-feat", [[0.5 * node, 1.5] for node in range(NODES)])
    table("raw/node-label", [[node % 3] for node in range(NODES)])
    table("raw/node_year", [[2015 + node] for node in range(NODES)])
    table("raw/num-node-list", [[NODES]])
    table("raw/num-edge-list", [[3]])
    table(f"split/{split}/train", [[0], [1], [2]])
    table(f"split/{split}/valid", [[3]])
    table(f"split/{split}/test", [[4]])
    (folder / "RELEASE_v1.txt").write_text("stand-in\n")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with stand-ins of both sets; the folder of ogbn-arxiv."""
    write_stand_in(tmp_path / "mirror/ogb/ogbn_arxiv", "time")
    write_stand_in(tmp_path / "mirror/ogb/ogbn_products", "sales_ranking")
    monkeypatch.setenv("GNNZOO_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror/ogb/ogbn_arxiv"


@pytest.mark.parametrize(("name", "num_classes"), [("ogbn-arxiv", 40), ("ogbn-products", 47)])
def test_a_stand_in_loads_undirected_with_its_official_split(name, num_classes, stand_in, capsys):
    dataset = ogb_node(name, check_sizes=False)
    assert dataset.name == name.replace("-", "_")
    assert dataset.num_classes == num_classes
    assert dataset.data.y.tolist() == [0, 1, 2, 0, 1]
    assert dataset.data.x[2].tolist() == [1.0, 1.5]
    assert dataset.data.edge_index.size(1) == 6
    assert dataset.data.is_undirected()
    task = NamedSplit("official")(dataset, seed=3)
    assert task.data.y.tolist() == [0, 1, 2, 0, -1]
    assert task.test_labels.tolist() == [1]
    assert capsys.readouterr().out == ""


def test_the_processed_file_is_used_and_made_again_when_broken(stand_in, root):
    first = ogb_node(check_sizes=False)
    processed = root / "ogb/ogbn_arxiv/processed/geometric_data_processed.pt"
    whole = processed.read_bytes()
    written = processed.stat().st_mtime_ns
    ogb_node(check_sizes=False)
    assert processed.stat().st_mtime_ns == written
    processed.write_bytes(whole[: len(whole) // 2])
    (processed.parent / "pre_transform.pt").write_bytes(b"")
    again = ogb_node(check_sizes=False)
    assert torch.equal(first.data.x, again.data.x)
    assert processed.stat().st_size == len(whole)


def test_the_sizes_are_held_against_the_card(stand_in):
    with pytest.raises(ValueError, match="num_nodes=5, its card says 169343"):
        ogb_node()


def test_a_missing_release_file_is_an_error_and_not_a_question(stand_in):
    for name in ("arxiv", "products"):
        (stand_in.with_name(f"ogbn_{name}") / "RELEASE_v1.txt").unlink()
        with pytest.raises(MissingDataError, match=rf"ogb/ogbn_{name}/RELEASE_v1.txt; looked in"):
            ogb_node(f"ogbn-{name}", check_sizes=False)


def test_importing_ogb_does_not_ask_the_network():
    code = (
        "import socket, threading\n"
        "def refuse(*args, **kwargs): raise SystemExit('network')\n"
        "socket.getaddrinfo = refuse\n"
        "from gnnzoo.data.ogb import _import_ogb\n"
        "import sys\n"
        "assert 'ogb' not in sys.modules\n"
        "_import_ogb('ogbn-arxiv', 'nodeproppred', 'PygNodePropPredDataset')\n"
        "assert 'ogb' in sys.modules and 'outdated' not in sys.modules\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
