"""OGB's molecules load offline from its own layout, with the split and the categories it means."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from gnnzoo import run
from gnnzoo.data import NamedGraphs, ogb_graphs
from gnnzoo.data.ogb_graphs import ATOM_CATEGORIES, BOND_CATEGORIES

NUM_GRAPHS = 12
LABELS = {"molbace": lambda g: g % 2, "molesol": lambda g: g / 4}


def write_stand_in(name: str, folder: Path, atom: int = 7) -> None:
    """Molecules of one to three atoms in a row; the first of each four is a single atom."""

    def table(file: str, rows: list) -> None:
        path = folder / f"{file}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, header=False, index=False)

    sizes = [1 if graph % 4 == 0 else 1 + graph % 4 for graph in range(NUM_GRAPHS)]
    bonds = [[(i, i + 1) for i in range(size - 1)] for size in sizes]
    table("raw/edge", [bond for molecule in bonds for bond in molecule])
    table("raw/edge-feat", [[i % 5, 5, 1] for molecule in bonds for i, _ in molecule])
    table(
        "raw/node-feat",
        [[atom, 4, i, 11, 9, 5, 5, 1, i % 2] for size in sizes for i in range(size)],
    )
    table("raw/num-node-list", [[size] for size in sizes])
    table("raw/num-edge-list", [[size - 1] for size in sizes])
    table("raw/graph-label", [[LABELS[name](graph)] for graph in range(NUM_GRAPHS)])
    for part, graphs in (("train", range(6)), ("valid", range(6, 9)), ("test", range(9, 12))):
        table(f"split/scaffold/{part}", [[graph] for graph in graphs])
    (folder / "RELEASE_v1.txt").write_text("stand-in\n")


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch, cards_without_checksums) -> Path:
    for name in LABELS:
        write_stand_in(name, tmp_path / f"mirror/ogb/ogbg_{name}")
    monkeypatch.setenv("GNNZOO_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror/ogb"


@pytest.mark.parametrize("name", LABELS)
def test_a_stand_in_loads_with_its_split(name, stand_ins, capsys):
    dataset = ogb_graphs(f"ogbg-{name}", check_sizes=False)
    assert dataset.name == f"ogbg_{name}"
    assert dataset.target == ("values" if name == "molesol" else "labels")
    data = dataset.data
    assert data.ptr.diff().tolist() == [1, 2, 3, 4] * 3
    assert data.edge_ptr.diff().tolist() == [0, 2, 4, 6] * 3
    assert data.edge_index[:, 2:6].tolist() == [[3, 4, 4, 5], [4, 3, 5, 4]]
    assert data.x.dtype == torch.int64
    assert data.edge_attr[2:6].tolist() == [[0, 5, 1], [0, 5, 1], [1, 5, 1], [1, 5, 1]]
    assert data.y[:, 0].tolist() == [LABELS[name](graph) for graph in range(NUM_GRAPHS)]
    ((train, val, test),) = dataset.graphs["official"]()
    assert torch.cat([train, val, test]).tolist() == list(range(NUM_GRAPHS))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("model", ["gine", "gatedgcn", "gcn", "sgc", "fingerprint"])
@pytest.mark.parametrize("name", LABELS)
def test_a_stand_in_trains(name, model, stand_ins, workspace):
    record = run(
        dataset=f"ogbg_{name}",
        model=model,
        **{
            "dataset.check_sizes": False,
            "trainer.epochs": 2,
            "trainer.stopping": None,
            "head.batch_size": 3,
            "head.hidden_channels": 8,
        },
    )
    assert record["metric"] == ("rmse" if name == "molesol" else "roc_auc")
    mode = record["metrics"][record["metric"]]["mode"]
    assert mode == ("min" if name == "molesol" else "max")


def test_the_sizes_of_tables_are_ogbs():
    from ogb.utils.features import get_atom_feature_dims, get_bond_feature_dims

    assert list(ATOM_CATEGORIES) == get_atom_feature_dims()
    assert list(BOND_CATEGORIES) == get_bond_feature_dims()


def test_a_category_out_of_range_is_named(stand_ins):
    write_stand_in("molbace", stand_ins / "ogbg_molbace", atom=119)
    with pytest.raises(ValueError, match=r"atom 0 of ogbg_molbace has 119 in column 0"):
        ogb_graphs("ogbg-molbace", check_sizes=False)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "sizes", "positives"),
    [("molbace", (1210, 151, 152), (0.40, 0.86, 0.53)), ("molfreesolv", (513, 64, 65), None)],
)
def test_the_published_molecules(name, sizes, positives, use_real):
    use_real(f"ogbg_{name}")
    dataset = ogb_graphs(f"ogbg-{name}")
    task = NamedGraphs("official", metric="roc_auc")(dataset, seed=0)
    parts = (task.train, task.val, task.test_graphs)
    assert tuple(map(len, parts)) == sizes
    if positives:
        found = [dataset.data.y[part].mean().item() for part in parts]
        assert found == pytest.approx(positives, abs=0.01)
    else:
        alone = (dataset.data.ptr.diff() == 1).nonzero().flatten()
        assert len(alone) == 3
        assert torch.isin(alone, task.train).all()
