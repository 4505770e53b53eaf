"""A graph of your own, from one ``.npz`` file.

| key | holds |
|---|---|
| ``edge_index`` | ``[2, num_edges]``, integers, row 0 source and row 1 target; or the CSR arrays ``adj_data adj_indices adj_indptr adj_shape`` |
| ``x`` | ``[num_nodes, num_features]``; or the CSR arrays ``attr_data attr_indices attr_indptr attr_shape`` |
| ``y`` (or ``labels``) | ``[num_nodes]``, integers from 0; -1 for a node without a label |
| ``train_mask val_mask test_mask`` | all three or none: bool, ``[num_nodes]``, ``[num_nodes, num_splits]`` or ``[num_splits, num_nodes]`` |

Other keys are not read; nothing in the file is unpickled.
"""  # noqa: E501

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnnzoo.data.dataset import GraphDataset, Masks
from gnnzoo.data.mirrors import MissingDataError, sha256_of
from gnnzoo.data.splits import check_masks

MASK_KEYS = ("train_mask", "val_mask", "test_mask")
CSR_PARTS = ("indptr", "indices", "data", "shape")
KEYS = {
    *("edge_index", "x", "y", "labels", *MASK_KEYS),
    *(f"{prefix}_{part}" for prefix in ("adj", "attr") for part in CSR_PARTS),
}

Arrays = Mapping[str, np.ndarray]


class GraphFileError(ValueError):
    """A graph file holds something that cannot be used; the message says what and where."""


def graph_file(path: str | os.PathLike[str], directed: bool = False) -> GraphDataset:
    """Load a graph from an ``.npz`` file (keys: see the module).

    Stored masks become the splits named ``file``. A file without masks has no split of its own and
    needs a random protocol.

    Args:
        path: The file.
        directed: Keep arcs as they are; otherwise the graph is made undirected.

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
    if not directed:
        data.edge_index = to_undirected(data.edge_index, num_nodes=data.x.size(0))
    return GraphDataset(
        name="file",
        data=data,
        num_classes=int(data.y.max()) + 1,
        sha256=sha256_of(path),
        masks={} if masks is None else {"file": lambda: masks},
    )


def _read(path: Path) -> tuple[Data, Masks | None]:
    arrays = _arrays(path)
    x = _features(arrays)
    y = _labels(arrays, num_nodes=len(x))
    edge_index = _edges(arrays, num_nodes=len(x))
    return Data(x=x, edge_index=edge_index, y=y), _masks(arrays, y)


def _arrays(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):
        raise GraphFileError("not an .npz archive (or cut short); write it with numpy.savez")
    arrays: dict[str, np.ndarray] = {}
    key = "the archive"
    try:
        with np.load(path, allow_pickle=False) as stored:
            for key in KEYS & set(stored.files):
                arrays[key] = stored[key]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise GraphFileError(
                f"{key} holds pickled Python objects, which are never loaded; store plain numbers"
            ) from None
        reason = " ".join(str(error).split())
        raise GraphFileError(f"{key} cannot be read ({reason}); write the file anew") from None
    return arrays


def _features(arrays: Arrays) -> Tensor:
    stored = _dense_or_csr(arrays, "x", "attr", "node features")
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
    if key not in arrays:
        raise GraphFileError(f"no labels: neither y nor labels is in the file{_found(arrays)}")
    y = arrays[key]
    if y.dtype.kind not in "iu":
        raise GraphFileError(
            f"{key} must hold whole numbers, got {y.dtype}; save {key}.astype(numpy.int64)"
        )
    if y.shape != (num_nodes,):
        raise GraphFileError(
            f"{key} must be [{num_nodes}], one label per row of x, got {list(y.shape)}"
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


def _edges(arrays: Arrays, num_nodes: int) -> Tensor:
    if "edge_index" in arrays:
        edge_index = arrays["edge_index"]
        if edge_index.ndim != 2 or len(edge_index) != 2:
            raise GraphFileError(
                f"edge_index must be [2, num_edges], got {list(edge_index.shape)}"
                + ("; transpose it" if edge_index.ndim == 2 and edge_index.shape[1] == 2 else "")
            )
        if edge_index.dtype.kind not in "iu":
            raise GraphFileError(f"edge_index must hold whole numbers, got {edge_index.dtype}")
    else:
        indptr, indices, values, shape = _csr(arrays, "adj", "edges", "edge_index")
        if shape != (num_nodes, num_nodes):
            raise GraphFileError(
                f"adj_shape must be [{num_nodes}, {num_nodes}], as x has {num_nodes} rows, "
                f"got {list(shape)}"
            )
        weighted = np.flatnonzero(values != 1)
        if len(weighted):
            raise GraphFileError(
                f"adj_data is {values[weighted[0]]} at entry {weighted[0]}; edge weights are not "
                "read from files, so it must be 1 everywhere"
            )
        edge_index = np.stack([np.repeat(np.arange(num_nodes), np.diff(indptr)), indices])
    bad = np.argwhere((edge_index < 0) | (edge_index >= num_nodes))
    if len(bad):
        row, edge = bad[0]
        raise GraphFileError(
            f"edge {edge} names node {edge_index[row, edge]}, but x has {num_nodes} rows: "
            f"ids go from 0 to {num_nodes - 1}"
        )
    return torch.from_numpy(edge_index.astype(np.int64))


def _masks(arrays: Arrays, y: Tensor) -> Masks | None:
    present = [key for key in MASK_KEYS if key in arrays]
    if not present:
        return None
    if len(present) < len(MASK_KEYS):
        missing = [key for key in MASK_KEYS if key not in arrays]
        raise GraphFileError(f"{', '.join(missing)} missing; store all three masks or none")
    columns = [_columns(key, arrays[key], len(y)) for key in MASK_KEYS]
    widths = [column.size(1) for column in columns]
    if len(set(widths)) > 1:
        raise GraphFileError(f"the masks hold {widths} splits; they must hold equally many")
    for split in range(widths[0]):
        try:
            check_masks(tuple(column[:, split] for column in columns), y)
        except ValueError as error:
            raise GraphFileError(f"split {split}: {error}") from None
    train, val, test = columns
    return train, val, test


def _columns(key: str, mask: np.ndarray, num_nodes: int) -> Tensor:
    """One mask as ``[num_nodes, num_splits]``."""
    if mask.dtype != np.bool_:
        raise GraphFileError(
            f"{key} must be bool, one entry per node, got {mask.dtype}; "
            f"from node ids: numpy.isin(numpy.arange({num_nodes}), ids)"
        )
    if mask.shape == (num_nodes,):
        return torch.from_numpy(mask).view(-1, 1)
    if mask.ndim == 2 and mask.shape.count(num_nodes) == 2:
        raise GraphFileError(
            f"{key} is {list(mask.shape)}, with as many splits as nodes, so that its direction is "
            "unclear; store another number of splits"
        )
    if mask.ndim == 2 and num_nodes in mask.shape and 0 not in mask.shape:
        return torch.from_numpy(mask if mask.shape[0] == num_nodes else mask.T.copy())
    raise GraphFileError(
        f"{key} must be [{num_nodes}], [{num_nodes}, num_splits] or [num_splits, {num_nodes}], "
        f"got {list(mask.shape)}"
    )


def _dense_or_csr(arrays: Arrays, key: str, prefix: str, what: str) -> np.ndarray:
    if key in arrays:
        return arrays[key]
    indptr, indices, values, shape = _csr(arrays, prefix, what, key)
    bad = np.flatnonzero((indices < 0) | (indices >= shape[1]))
    if len(bad):
        raise GraphFileError(
            f"{prefix}_indices is {indices[bad[0]]} at entry {bad[0]}, but {prefix}_shape has "
            f"{shape[1]} columns"
        )
    dense = np.zeros(shape, dtype=values.dtype)
    np.add.at(dense, (np.repeat(np.arange(shape[0]), np.diff(indptr)), indices), values)
    return dense


def _csr(
    arrays: Arrays, prefix: str, what: str, instead: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """The four arrays of a CSR matrix; column indices are left to the caller to check."""
    keys = [f"{prefix}_{part}" for part in CSR_PARTS]
    missing = [key for key in keys if key not in arrays]
    if len(missing) == len(keys):
        raise GraphFileError(
            f"no {what}: neither {instead} nor {prefix}_indptr ... is in the file{_found(arrays)}"
        )
    if missing:
        raise GraphFileError(f"{', '.join(missing)} missing; CSR needs {', '.join(keys)}")
    indptr, indices, values, shape = (arrays[key] for key in keys)
    for key, array in zip(keys, (indptr, indices, values, shape), strict=True):
        if array.ndim != 1 or (key != f"{prefix}_data" and array.dtype.kind not in "iu"):
            raise GraphFileError(
                f"{key} must be a list of whole numbers, got {array.dtype} {list(array.shape)}"
            )
    if len(shape) != 2 or (shape < 1).any():
        raise GraphFileError(f"{prefix}_shape must be two positive numbers, got {shape.tolist()}")
    if (
        len(indptr) != shape[0] + 1
        or indptr[0] != 0
        or indptr[-1] != len(indices)
        or (np.diff(indptr) < 0).any()
        or len(values) != len(indices)
    ):
        raise GraphFileError(
            f"{prefix}_indptr must rise from 0 to {len(indices)} (the length of {prefix}_indices "
            f"and of {prefix}_data, which is {len(values)}) in {shape[0] + 1} entries; it has "
            f"{len(indptr)}"
        )
    return indptr, indices, values, (int(shape[0]), int(shape[1]))


def _found(arrays: Arrays) -> str:
    return f" (of the keys that are read it has: {', '.join(sorted(arrays)) or 'none'})"
