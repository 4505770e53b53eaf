"""A graph of your own, from one ``.npz`` file.

| key | holds |
|---|---|
| ``edge_index`` | ``[2, num_edges]``, integers, row 0 source and row 1 target; or the CSR arrays ``adj_data adj_indices adj_indptr adj_shape`` |
| ``edge_weight`` | ``[num_edges]``, finite numbers from 0; with CSR arrays ``adj_data``, where it is not 1 throughout |
| ``x`` | ``[num_nodes, num_features]``; or the CSR arrays ``attr_data attr_indices attr_indptr attr_shape`` |
| ``y`` (or ``labels``) | ``[num_nodes]``, integers from 0; -1 for a node without a label |
| ``train_mask val_mask test_mask`` | all three or none: bool, ``[num_nodes]``, ``[num_nodes, num_splits]`` or ``[num_splits, num_nodes]`` |
| ``num_nodes`` | read where neither features, labels nor ``adj_shape`` tell; otherwise the largest id does |

To predict links, edges are enough (and weights are left out); to classify nodes, features and labels
are needed too. A warning names keys that are not read; nothing in the file is unpickled.
"""  # noqa: E501

import os
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnnzoo.data.dataset import GraphDataset, Masks
from gnnzoo.data.mirrors import MissingDataError, sha256_of
from gnnzoo.data.npz import (
    Arrays,
    GraphFileError,
    csr_keys,
    dense_or_csr,
    read_arrays,
    read_csr,
)
from gnnzoo.data.stored_masks import MASK_KEYS, stored_masks

MOST_NODES_PER_END = 10  # of an edge, where nothing but the ids tells how many nodes there are
KEYS = {"edge_index", "edge_weight", "x", "y", "labels", "num_nodes", *MASK_KEYS}
KEYS |= {*csr_keys("adj"), *csr_keys("attr")}


def graph_file(path: str | os.PathLike[str], directed: bool = False) -> GraphDataset:
    """A graph of your own, from an .npz file.

    The module says which keys are read. Stored masks become the splits named ``file``; a file
    without masks needs a random protocol. Without features ``x`` is left out, without labels ``y``
    and the masks. A warning tells what is likely a mistake.

    Args:
        path: The file.
        directed: Keep arcs as they are; otherwise the graph is made undirected, and an edge given
            in both directions has the mean of their weights.

    Raises:
        MissingDataError: If there is no such file.
        GraphFileError: If its content cannot be used.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingDataError(
            f"no graph file at {path.absolute()}; give an .npz file with dataset.path=..."
        )
    try:
        data, masks = _read(path)
    except GraphFileError as error:
        raise GraphFileError(f"{path}: {error}") from None
    for remark in [*_unread(path), *_remarks(data)]:
        warnings.warn(f"{path}: {remark}", stacklevel=2)
    if not directed:
        data = _undirected(data)
    return GraphDataset(
        name=path.name,
        data=data,
        num_classes=0 if data.y is None else int(data.y.max()) + 1,
        sha256=sha256_of(path),
        masks={} if masks is None else {"file": lambda: masks},
    )


def _read(path: Path) -> tuple[Data, Masks | None]:
    arrays = read_arrays(path, KEYS)
    if any(key.endswith("/data.pkl") for key in _stored_keys(path)):
        raise GraphFileError("a file of torch.save, which is not read; write it with numpy.savez")
    x = _features(arrays) if arrays.keys() & {"x", *csr_keys("attr")} else None
    num_nodes, told_by = _count_nodes(arrays, x)
    y = _labels(arrays, num_nodes) if arrays.keys() & {"y", "labels"} else None
    edge_index, values = _edges(arrays, num_nodes, told_by)
    data = Data(edge_index=edge_index, num_nodes=num_nodes)
    if (weights := arrays.get("edge_weight", values)) is not None:
        data.edge_weight = _weights(weights, edge_index.size(1))
    if x is not None:
        data.x = x
    if y is None:
        return data, None
    data.y = y
    return data, stored_masks(arrays, y)


def _count_nodes(arrays: Arrays, x: Tensor | None) -> tuple[int, str]:
    """How many nodes there are, and in words where that is told."""
    labels = arrays.get("y", arrays.get("labels"))
    if x is not None:
        return len(x), f"x has {len(x)} rows"
    if labels is not None and labels.ndim:
        return len(labels), f"there are {len(labels)} labels"
    if "edge_index" not in arrays:
        _, _, _, (num_nodes, _) = read_csr(arrays, "adj", "edges", "edge_index")
        return num_nodes, f"adj_shape begins with {num_nodes}"
    if "num_nodes" in arrays:
        count = arrays["num_nodes"]
        if count.size != 1 or count.dtype.kind not in "iu" or count.item() < 1:
            raise GraphFileError(f"num_nodes must be one positive whole number, got {count}")
        return count.item(), f"num_nodes is {count.item()}"
    ids = arrays["edge_index"]
    largest = int(ids.max()) if ids.size and ids.dtype.kind in "iu" else 0
    if largest > MOST_NODES_PER_END * ids.size:
        raise GraphFileError(
            f"edge_index names node {largest}, but there are {ids.size // 2} edges; number nodes "
            "from 0 without large gaps, or tell how many there are as num_nodes"
        )
    return max(largest, 0) + 1, "there are no negative ones"


def _features(arrays: Arrays) -> Tensor:
    stored = dense_or_csr(arrays, "x", "attr", "node features")
    if stored.ndim != 2 or 0 in stored.shape:
        raise GraphFileError(
            f"x must be [num_nodes, num_features], neither of them 0, got {list(stored.shape)}"
        )
    if stored.dtype.kind not in "fiub":
        raise GraphFileError(f"x must hold real numbers, got {stored.dtype}")
    with np.errstate(over="ignore"):
        x = stored.astype(np.float32)
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        row, column = bad[0]
        raise GraphFileError(
            f"x holds {stored[row, column]} in row {row}, column {column} ({len(bad)} such "
            "entries); every feature must be a finite 32-bit number"
        )
    return torch.from_numpy(x)


def _labels(arrays: Arrays, num_nodes: int) -> Tensor:
    key = "y" if "y" in arrays else "labels"
    y = arrays[key]
    if y.dtype.kind not in "iu":
        raise GraphFileError(
            f"{key} must hold class numbers from 0, got {y.dtype} of shape {list(y.shape)}; names "
            f"become numbers by numpy.unique({key}, return_inverse=True)[1], one-hot rows by "
            f"{key}.argmax(1)"
        )
    if y.shape != (num_nodes,):
        raise GraphFileError(
            f"{key} must be [{num_nodes}], one label per node, got {list(y.shape)}"
        )
    bad = np.flatnonzero((y < -1) | (y >= num_nodes))
    if len(bad):
        raise GraphFileError(
            f"{key} is {y[bad[0]]} at node {bad[0]}; classes are numbered from 0 without large "
            "gaps, and -1 stands for a node without a label"
        )
    if y.max() < 0:
        raise GraphFileError(f"{key} is -1 everywhere; some nodes need a label")
    return torch.from_numpy(y.astype(np.int64))


def _edges(arrays: Arrays, num_nodes: int, told_by: str) -> tuple[Tensor, np.ndarray | None]:
    """The edges, and the values of a CSR matrix that are not all 1."""
    values = None
    if "edge_index" in arrays:
        edge_index = arrays["edge_index"]
        if edge_index.ndim != 2 or len(edge_index) != 2:
            raise GraphFileError(
                f"edge_index must be [2, num_edges], got {list(edge_index.shape)}"
                + ("; transpose it" if edge_index.ndim == 2 and edge_index.shape[1] == 2 else "")
            )
        if edge_index.dtype.kind not in "iu":
            raise GraphFileError(
                f"edge_index must hold whole numbers, got {edge_index.dtype}; "
                "edge_index.astype(int) makes them of whole floats"
            )
    else:
        indptr, indices, values, shape = read_csr(arrays, "adj", "edges", "edge_index")
        if shape != (num_nodes, num_nodes):
            raise GraphFileError(
                f"adj_shape must be [{num_nodes}, {num_nodes}], as {told_by}, got {list(shape)}"
            )
        edge_index = np.stack([np.repeat(np.arange(num_nodes), np.diff(indptr)), indices])
        values = None if (values == 1).all() else values
    bad = np.argwhere((edge_index < 0) | (edge_index >= num_nodes))
    if len(bad):
        row, edge = bad[0]
        raise GraphFileError(
            f"edge {edge} names node {edge_index[row, edge]}, but {told_by}: "
            f"ids go from 0 to {num_nodes - 1}"
        )
    return torch.from_numpy(edge_index.astype(np.int64)), values


def _weights(stored: np.ndarray, num_edges: int) -> Tensor:
    if stored.shape != (num_edges,) or stored.dtype.kind not in "fiub":
        raise GraphFileError(
            f"edge_weight must be [{num_edges}], a real number per edge, "
            f"got {stored.dtype} {list(stored.shape)}"
        )
    with np.errstate(over="ignore"):
        weights = stored.astype(np.float32)
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise GraphFileError(
            f"edge_weight is {stored[bad[0]]} at edge {bad[0]}; weights must be finite and not "
            "negative (without edge_weight, and with adj_data of ones, every edge counts the same)"
        )
    return torch.from_numpy(weights)


def _undirected(data: Data) -> Data:
    weights = data.edge_weight if "edge_weight" in data else None
    edge_index, weights = to_undirected(data.edge_index, weights, data.num_nodes, reduce="mean")
    data.edge_index = edge_index
    if weights is not None:
        data.edge_weight = weights
    return data


def _stored_keys(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as stored:
        return sorted(stored.files)


def _unread(path: Path) -> list[str]:
    keys = [key for key in _stored_keys(path) if key not in KEYS]
    return [f"not read: {', '.join(keys)} (a file may hold {', '.join(sorted(KEYS))})"] * bool(keys)


def _remarks(data: Data) -> list[str]:
    """What can be used but is likely a mistake."""
    found = []
    if data.edge_index.size(1) == 0:
        found.append("there are no edges")
    if data.y is None:
        return found
    classes = data.y[data.y >= 0].unique().tolist()
    if len(classes) == 1:
        found.append(f"every label is {classes[0]}; a single class leaves nothing to learn")
    if num_unused := max(classes) + 1 - len(classes):
        unused = sorted(set(range(max(classes))) - set(classes))
        more = f" and {num_unused - 5} more" if num_unused > 5 else ""
        found.append(
            f"no node has the label {', '.join(map(str, unused[:5]))}{more}, which count as "
            "classes all the same; numpy.unique(y, return_inverse=True)[1] numbers labels without "
            "gaps"
        )
    return found
