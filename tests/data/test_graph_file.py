"""Graph files: what is read, and one clear sentence for everything that cannot be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from gnnzoo.data import (
    GraphFileError,
    MissingDataError,
    NamedSplit,
    RandomLinks,
    RandomPerClass,
    graph_file,
)

NODES = 6


def content() -> dict[str, np.ndarray]:
    nodes = np.arange(NODES)
    return {
        "edge_index": np.array([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]),
        "x": np.eye(NODES, 4, dtype=np.float64),
        "y": nodes % 2,
        "train_mask": nodes < 2,
        "val_mask": (nodes >= 2) & (nodes < 4),
        "test_mask": nodes >= 4,
    }


def csr(prefix: str, dense: np.ndarray) -> dict[str, np.ndarray]:
    matrix = scipy.sparse.csr_matrix(dense)
    return {
        f"{prefix}_data": matrix.data,
        f"{prefix}_indices": matrix.indices,
        f"{prefix}_indptr": matrix.indptr,
        f"{prefix}_shape": np.array(matrix.shape),
    }


def adjacency() -> np.ndarray:
    dense = np.zeros((NODES, NODES))
    dense[tuple(content()["edge_index"])] = 1
    return dense


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(arrays: dict[str, np.ndarray]) -> Path:
        np.savez(tmp_path / "graph.npz", **arrays)
        return tmp_path / "graph.npz"

    return write


def test_a_complete_file_is_loaded_and_made_undirected(write):
    dataset = graph_file(write(content()))
    assert dataset.data.x.dtype == torch.float32
    assert dataset.data.edge_index.size(1) == 10
    assert dataset.data.is_undirected()
    assert dataset.num_classes == 2
    task = NamedSplit("file")(dataset, seed=0)
    assert task.data.train_mask.tolist() == [True, True, False, False, False, False]


def test_a_directed_file_keeps_its_arcs(write):
    dataset = graph_file(write(content()), directed=True)
    assert dataset.data.edge_index.tolist() == content()["edge_index"].tolist()


def test_csr_arrays_hold_the_same_graph(write):
    dense = graph_file(write(content()), directed=True).data
    arrays = content()
    arrays |= csr("adj", adjacency()) | csr("attr", arrays.pop("x"))
    del arrays["edge_index"]
    arrays["labels"] = arrays.pop("y")
    sparse = graph_file(write(arrays), directed=True).data
    for key in ("x", "edge_index", "y"):
        assert torch.equal(dense[key], sparse[key])


@pytest.mark.parametrize("transpose", [False, True])
def test_several_splits_may_lie_in_rows_or_columns(write, transpose):
    arrays = content()
    masks = [arrays[key] for key in ("train_mask", "val_mask", "test_mask")]
    for key, shift in (("train_mask", 0), ("val_mask", 1), ("test_mask", 2)):
        columns = np.stack([masks[shift], masks[(shift + 1) % 3]], axis=1)
        arrays[key] = columns.T if transpose else columns
    dataset = graph_file(write(arrays))
    numbers = [NamedSplit("file", "by_seed")(dataset, seed).split_number for seed in range(3)]
    assert numbers == [0, 1, 0]
    assert NamedSplit("file", split=1)(dataset, 0).data.train_mask.nonzero().view(-1).tolist() == [
        2,
        3,
    ]


def test_a_file_without_masks_asks_for_a_random_protocol(write):
    arrays = {key: value for key, value in content().items() if "mask" not in key}
    dataset = graph_file(write(arrays))
    with pytest.raises(ValueError, match=r"graph.npz has no split .*none.; protocol=random_shares"):
        NamedSplit("file")(dataset, seed=0)
    assert RandomPerClass(1, 1, None)(dataset, seed=0).data.test_mask.sum() == 3


def test_nodes_without_a_label_may_be_outside_the_masks(write):
    arrays = content()
    arrays["y"][5] = -1
    arrays["test_mask"][5] = False
    assert graph_file(write(arrays)).data.y[5] == -1


def test_keys_that_are_not_read_are_named(write):
    names = np.array(["a", None], dtype=object)
    path = write({**content(), "names": names, "edge_wieght": np.ones(5)})
    with pytest.warns(UserWarning, match="graph.npz: not read: edge_wieght, names .*edge_weight"):
        assert graph_file(path).num_classes == 2


WEIGHTS = np.array([1.0, 2.0, 0.5, 0.0, 4.0])


def test_edge_weights_reach_the_task(write):
    dataset = graph_file(write({**content(), "edge_weight": WEIGHTS}))
    task = NamedSplit("file")(dataset, seed=0)
    dense = torch.zeros(NODES, NODES)
    dense[tuple(task.data.edge_index)] = task.data.edge_weight
    expected = torch.zeros(NODES, NODES)
    expected[tuple(torch.from_numpy(content()["edge_index"]))] = torch.tensor(WEIGHTS).float()
    assert torch.equal(dense, expected + expected.T)


def test_an_edge_given_in_both_directions_has_the_mean_weight(write):
    both = np.array([[0, 1, 2], [1, 0, 3]])
    data = graph_file(write({"edge_index": both, "edge_weight": np.array([1, 3, 5])})).data
    assert data.edge_index.tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]
    assert data.edge_weight.tolist() == [2, 2, 5, 5]


def test_values_of_a_csr_matrix_are_weights_unless_all_are_one(write):
    assert "edge_weight" not in graph_file(write(with_adj())).data
    data = graph_file(write(with_adj(adj_data=WEIGHTS)), directed=True).data
    assert data.edge_weight.tolist() == WEIGHTS.tolist()


REMARKS = {
    "gaps": (
        {"y": np.array([0, 5, 0, 5, 0, 5])},
        "no node has the label 1, 2, 3, 4, which count as classes",
    ),
    "large gaps": (
        {"y": np.arange(60) % 2 * 50},
        "no node has the label 1, 2, 3, 4, 5 and 44 more, which",
    ),
    "one class": ({"y": np.full(6, 0)}, "every label is 0; a single class leaves nothing to learn"),
    "no edges": ({"edge_index": np.zeros((2, 0), dtype=int)}, "there are no edges"),
}


@pytest.mark.parametrize(("changes", "message"), REMARKS.values(), ids=REMARKS.keys())
def test_what_is_likely_a_mistake_is_told_with_the_file(write, changes, message):
    arrays = {"edge_index": content()["edge_index"], "y": content()["y"]}
    with pytest.warns(UserWarning, match=f"graph.npz: {message}"):
        graph_file(write(arrays | changes))


@pytest.mark.parametrize("others", [["x"], ["y"], [], ["x", "y"]], ids=str)
def test_edges_are_enough_to_predict_links(write, others):
    arrays = {key: value for key, value in content().items() if key in ["edge_index", *others]}
    dataset = graph_file(write(arrays))
    assert dataset.data.num_nodes == NODES
    assert dataset.num_classes == (2 if "y" in others else 0)
    assert (dataset.data.x is None, dataset.data.y is None) == (
        "x" not in others,
        "y" not in others,
    )
    task = RandomLinks(val=0.2, test=0.2)(dataset, seed=0)
    assert ("x" in task.data) == ("x" in others)
    assert task.data.num_nodes == NODES
    assert task.train_links.size(1) == 3


def test_nodes_without_edges_are_told_by_num_nodes_or_by_the_shape_of_a_matrix(write):
    ring = np.array([[0, 1, 2], [1, 2, 0]])
    assert graph_file(write({"edge_index": ring})).data.num_nodes == 3
    told = graph_file(write({"edge_index": ring, "num_nodes": np.array(9)}))
    assert told.data.num_nodes == 9
    dense = np.zeros((7, 7))
    dense[tuple(ring)] = 1
    assert graph_file(write(csr("adj", dense))).data.num_nodes == 7
    assert graph_file(write({"edge_index": ring[:, :0]})).data.num_nodes == 1


def changed(key: str, change: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    arrays = content()
    arrays[key] = change(arrays[key])
    return arrays


def put(value: float, *place: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[place] = value
        return array

    return change


def without(*keys: str, **more: np.ndarray) -> dict[str, np.ndarray]:
    return {key: value for key, value in content().items() if key not in keys} | more


def with_adj(**changes: np.ndarray) -> dict[str, np.ndarray]:
    return without("edge_index") | csr("adj", adjacency()) | changes


def with_attr(**changes: np.ndarray) -> dict[str, np.ndarray]:
    return without("x") | csr("attr", content()["x"]) | changes


BAD = {
    "id too large": (changed("edge_index", put(6, 1, 3)), "edge 3 names node 6, but x has 6 rows"),
    "negative id": (changed("edge_index", put(-1, 0, 2)), "edge 2 names node -1"),
    "float ids": (
        changed("edge_index", lambda a: a.astype(float)),
        r"got float64; edge_index.astype\(int\)",
    ),
    "edges in rows": (changed("edge_index", lambda a: a.T), r"got \[5, 2\]; transpose it"),
    "no edges": (without("edge_index"), "no edges: neither edge_index nor adj_indptr"),
    "NaN": (changed("x", put(np.nan, 2, 1)), "x holds nan in row 2, column 1"),
    "infinity": (changed("x", put(np.inf, 0, 3)), "x holds inf in row 0, column 3"),
    "overflow": (changed("x", put(1e300, 0, 0)), r"x holds 1e\+300 in row 0, column 0"),
    "complex x": (changed("x", lambda a: a.astype(complex)), "real numbers, got complex128"),
    "flat x": (changed("x", lambda a: a[:, 0]), r"num_features\], .* got \[6\]"),
    "empty x": (changed("x", lambda a: a[:, :0]), r"got \[6, 0\]"),
    "no edges nor x": (without("x", "y", "edge_index"), "no edges: neither edge_index nor adj_in"),
    "half an attr": (without("x", attr_data=np.ones(5)), "attr_shape missing; CSR needs"),
    "id too large for y": (
        {"edge_index": np.array([[0], [6]]), "y": content()["y"]},
        "edge 0 names node 6, but there are 6 labels: ids go from 0 to 5",
    ),
    "id too large for num_nodes": (
        {"edge_index": np.array([[0], [6]]), "num_nodes": np.array(6)},
        "names node 6, but num_nodes is 6: ids go",
    ),
    "negative id alone": ({"edge_index": np.array([[0], [-1]])}, "edge 0 names node -1, but"),
    "ids with gaps": (
        {"edge_index": np.array([[0], [10**12]])},
        r"names node 1000000000000, but there are 1 edges; .* num_nodes",
    ),
    "several num_nodes": (
        {"edge_index": np.array([[0], [1]]), "num_nodes": np.array([2, 2])},
        r"num_nodes must be one positive whole number, got \[2 2\]",
    ),
    "no num_nodes": (
        {"edge_index": np.array([[0], [1]]), "num_nodes": np.array(0)},
        "one positive whole number, got 0",
    ),
    "float labels": (changed("y", lambda a: a / 2), r"class numbers from 0, got float64"),
    "short labels": (changed("y", lambda a: a[:-1]), r"y must be \[6\].* got \[5\]"),
    "one-hot labels": (changed("y", lambda a: np.eye(2, dtype=int)[a]), r"got \[6, 2\]"),
    "label -2": (changed("y", put(-2, 1)), "y is -2 at node 1"),
    "label 2020": (changed("y", put(2020, 4)), "y is 2020 at node 4"),
    "unlabelled": (changed("y", lambda a: a * 0 - 1), "-1 everywhere"),
    "overlap": (changed("val_mask", put(True, 1)), "split 0: node 1 is in both train_mask and val"),
    "empty mask": (changed("test_mask", lambda a: a & False), "test_mask is empty"),
    "unlabelled in mask": (changed("y", put(-1, 5)), "test_mask holds node 5, which has no label"),
    "two masks": (without("val_mask"), "val_mask missing; store all three masks or none"),
    "index mask": (changed("train_mask", lambda a: np.array([0, 1])), "must be bool.*numpy.isin"),
    "short mask": (
        changed("train_mask", lambda a: a[:-1]),
        r"train_mask must be \[6\].*\[5\]",
    ),
    "square mask": (
        changed("train_mask", lambda a: np.tile(a, (6, 1))),
        r"train_mask is \[6, 6\].* direction is unclear",
    ),
    "unequal masks": (
        changed("train_mask", lambda a: np.stack([a, a])),
        r"the masks hold \[2, 1, 1\] splits",
    ),
    "pickle": (changed("y", lambda a: a.astype(object)), "y holds pickled Python objects.*never"),
    "negative weight": (
        without(edge_weight=np.array([1, 1, -0.5, 1, 1])),
        "edge_weight is -0.5 at edge 2; weights must be finite and not negative",
    ),
    "endless weight": (with_adj(adj_data=np.array([1, np.inf, 1, 1, 1])), "is inf at edge 1"),
    "short weights": (without(edge_weight=np.ones(4)), r"must be \[5\].* got float64 \[4\]"),
    "adj shape": (
        with_adj(adj_shape=np.array([6, 7])),
        r"adj_shape must be \[6, 6\].*\[6, 7\]",
    ),
    "adj id": (with_adj(adj_indices=np.array([1, 2, 3, 4, 9])), "edge 4 names node 9"),
    "half a CSR": (without("edge_index", adj_data=np.ones(5)), "adj_shape missing; CSR needs"),
    "attr id": (with_attr(attr_indices=np.array([0, 1, 2, 4])), "attr_indices is 4 at entry 3"),
    "attr indptr": (
        with_attr(attr_indptr=np.array([0, 1, 2])),
        "indptr must rise from 0 to 4",
    ),
    "falling indptr": (
        with_attr(attr_indptr=np.array([0, 1, 4, 2, 4, 4, 4], dtype=np.uint64)),
        "indptr must rise from 0 to 4",
    ),
    "attr shape": (with_attr(attr_shape=np.array([6])), "attr_shape must be two positive numbers"),
    "attr float ids": (with_attr(attr_indices=np.ones(4)), "attr_indices must be a list of whole"),
}


@pytest.mark.parametrize(("arrays", "message"), BAD.values(), ids=BAD.keys())
def test_bad_content_is_refused_in_one_sentence(write, arrays, message):
    path = write(arrays)
    with pytest.raises(GraphFileError, match=message) as caught:
        graph_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"a,b\n1,2\n", b"\x80\x04N.", b"PK\x03\x04cut short"])
def test_what_is_not_an_archive_is_refused(tmp_path, raw):
    path = tmp_path / "graph.npz"
    path.write_bytes(raw)
    with pytest.raises(GraphFileError, match=r"not an \.npz archive"):
        graph_file(path)


def test_a_file_of_torch_save_is_called_that(tmp_path):
    torch.save({"edge_index": torch.zeros(2, 3)}, tmp_path / "graph.pt")
    with pytest.raises(GraphFileError, match=r"graph.pt: a file of torch.save.*numpy.savez"):
        graph_file(tmp_path / "graph.pt")


def test_a_damaged_archive_is_refused(write):
    path = write(content())
    raw = bytearray(path.read_bytes())
    start = raw.index(b"x.npy") + 5
    raw[start : start + 200] = bytes(200)
    path.write_bytes(raw)
    with pytest.raises(GraphFileError, match=r"x cannot be read .*write the file anew"):
        graph_file(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"no graph file at .*nowhere.npz; .*dataset.path="):
        graph_file(tmp_path / "nowhere.npz")
