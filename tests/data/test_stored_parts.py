"""Sets in stored parts, and peptides from SMILES, load from stand-ins in their layouts."""

import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from gnnzoo import run
from gnnzoo.data import UnsafePickleError, peptides, superpixels, zinc
from gnnzoo.data.ogb_graphs import ATOM_CATEGORIES

SIZES = ((1, 3, 2, 4), (2, 3), (1, 5))  # nodes of the graphs of each part


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch, cards_without_checksums) -> Path:
    monkeypatch.setenv("GNNZOO_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror"


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def path_graph(size: int) -> torch.Tensor:
    one_way = torch.stack([torch.arange(size - 1), torch.arange(1, size)])
    return torch.cat([one_way, one_way.flip(0)], dim=1)


def check(dataset, num_outputs: int) -> None:
    assert dataset.data.ptr.diff().tolist() == [size for part in SIZES for size in part]
    assert dataset.data.edge_ptr.diff().tolist() == [2 * (s - 1) for part in SIZES for s in part]
    ((train, val, test),) = dataset.graphs["official"]()
    assert (train.tolist(), val.tolist(), test.tolist()) == ([0, 1, 2, 3], [4, 5], [6, 7])
    assert (dataset.num_classes or dataset.data.y.size(1)) == num_outputs


def write_zinc(mirror: Path, kind=dict) -> None:
    place = folder(mirror / "ZINC/raw")
    for part, sizes in zip(("train", "val", "test"), SIZES, strict=True):
        molecules = [kind(unused=torch.zeros(1))]  # which the subset leaves out
        for size in sizes:
            bonds = torch.zeros(size, size).int()
            bonds[tuple(path_graph(size))] = 2
            atoms = torch.arange(size)
            logp = torch.tensor([size / 2])
            molecules.append(kind(atom_type=atoms, bond_type=bonds, logP_SA_cycle_normalized=logp))
        (place / f"{part}.pickle").write_bytes(pickle.dumps(molecules))
        index = ",".join(str(i + 1) for i in range(len(sizes)))
        (place / f"{part}.index").write_text(f"{index}\n")


def test_zinc(mirror, workspace):
    write_zinc(mirror)
    dataset = zinc(check_sizes=False)
    check(dataset, 1)
    assert dataset.data.y[:, 0].tolist() == [0.5, 1.5, 1, 2, 1, 1.5, 0.5, 2.5]
    assert dataset.data.edge_attr.unique().tolist() == [2]
    assert dataset.target == "values"
    settings = {
        "dataset.check_sizes": False,
        "trainer.epochs": 2,
        "head.target_scaling": "standard",
    }
    record = run(dataset="zinc", model="gine", **settings)
    assert record["metric"] == "mae"
    with pytest.raises(ValueError, match="num_graphs=8, its card says 12000"):
        zinc()


def test_a_pickle_that_calls_something_is_not_opened(mirror):
    write_zinc(mirror, SimpleNamespace)
    with pytest.raises(UnsafePickleError, match=r"would call types.SimpleNamespace"):
        zinc(check_sizes=False)


@pytest.mark.parametrize(("name", "colours"), [("MNIST", 1), ("CIFAR10", 3)])
def test_superpixels(name, colours, mirror):
    parts = [
        [
            {
                "x": torch.rand(size, colours),
                "pos": torch.rand(size, 2),
                "edge_index": path_graph(size),
                "edge_attr": torch.rand(2 * (size - 1)),
                "y": torch.tensor([size % 2]),
            }
            for size in sizes
        ]
        for sizes in SIZES
    ]
    torch.save(parts, folder(mirror / name / "raw") / f"{name}_v2.pt")
    dataset = superpixels(name, check_sizes=False)
    check(dataset, 2)
    assert dataset.data.x.size(1) == colours + 2
    assert torch.equal(dataset.data.x[1:4, colours:], parts[0][1]["pos"])
    assert dataset.data.edge_attr.dim() == 2


@pytest.mark.parametrize(("name", "outputs"), [("peptides_func", 10), ("peptides_struct", 11)])
def test_stored_peptides(name, outputs, mirror):
    place = folder(mirror / name.replace("_", "-") / "raw")
    for part, sizes in zip(("train", "val", "test"), SIZES, strict=True):
        graphs = [
            (
                torch.ones(size, 9).long(),
                torch.ones(2 * (size - 1), 3).long(),
                path_graph(size),
                torch.full((1, outputs), float(size % 2)),
            )
            for size in sizes
        ]
        torch.save(graphs, place / f"{part}.pt")
    dataset = peptides(name, "stored", check_sizes=False)
    check(dataset, outputs)
    assert dataset.target == ("labels" if outputs == 10 else "values")
    assert dataset.data.node_categories == ATOM_CATEGORIES


def write_smiles(mirror: Path) -> None:
    place = folder(mirror / "peptides-functional")
    sizes = [size for part in SIZES for size in part]
    table = {"smiles": ["C" * size for size in sizes], "labels": [str([s % 2] * 10) for s in sizes]}
    pd.DataFrame(table).to_csv(folder(place / "raw") / "peptide_multi_class_dataset.csv.gz")
    split = {"train": np.arange(4), "val": np.arange(4, 6), "test": np.arange(6, 8)}
    (place / "splits_random_stratified_peptide.pickle").write_bytes(pickle.dumps(split))


def test_peptides_from_smiles_are_made_once(mirror, monkeypatch):
    write_smiles(mirror)
    made = []

    def smiles2graph(smiles):
        made.append(smiles)
        size = len(smiles)
        return {
            "num_nodes": size,
            "edge_index": path_graph(size).numpy(),
            "node_feat": np.ones((size, 9), dtype=np.int64),
            "edge_feat": np.ones((2 * (size - 1), 3), dtype=np.int64),
        }

    module = sys.modules["gnnzoo.data.peptides"]
    monkeypatch.setattr(module, "_smiles2graph", lambda: smiles2graph)
    first = peptides("peptides_func", check_sizes=False)
    check(first, 10)
    assert first.data.y[:, 0].tolist() == [1, 1, 0, 0, 0, 1, 1, 1]
    again = peptides("peptides_func", check_sizes=False)
    assert len(made) == 8
    assert torch.equal(again.data.x, first.data.x)
    assert torch.equal(again.data.edge_index, first.data.edge_index)


def test_without_rdkit_it_is_told_how_to_get_it(mirror, monkeypatch):
    write_smiles(mirror)
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(ImportError, match=r"pip install 'gnnzoo\[molecules\]'; or dataset.source"):
        peptides("peptides_func", check_sizes=False)


def test_values_come_as_stored_graphs_only():
    with pytest.raises(ValueError, match="source of peptides_struct must be one of stored, got"):
        peptides("peptides_struct", "smiles")
