"""Plain arrays and CSR matrices out of an ``.npz`` file, or one sentence about what is wrong."""

import zipfile
import zlib
from collections.abc import Mapping, Set
from pathlib import Path

import numpy as np

Arrays = Mapping[str, np.ndarray]


class GraphFileError(ValueError):
    """A graph file holds something that cannot be used; the message says what and where."""


def csr_keys(prefix: str) -> list[str]:
    """The keys under which a CSR matrix is stored."""
    return [f"{prefix}_{part}" for part in ("indptr", "indices", "data", "shape")]


def read_arrays(path: Path, keys: Set[str]) -> Arrays:
    """The arrays stored under ``keys``, as far as they are there; nothing is unpickled."""
    if not zipfile.is_zipfile(path):
        raise GraphFileError("not an .npz archive (or cut short); write it with numpy.savez")
    arrays: dict[str, np.ndarray] = {}
    key = "the archive"
    try:
        with np.load(path, allow_pickle=False) as stored:
            for key in sorted(keys & set(stored.files)):
                arrays[key] = np.asarray(stored[key])
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise GraphFileError(
                f"{key} holds pickled Python objects, which are never loaded; store plain numbers"
            ) from None
        reason = " ".join(str(error).split())
        raise GraphFileError(f"{key} cannot be read ({reason}); write the file anew") from None
    return arrays


def dense_or_csr(arrays: Arrays, key: str, prefix: str, what: str) -> np.ndarray:
    """A matrix stored as ``key``, or as CSR arrays with ``prefix``."""
    if key in arrays:
        return arrays[key]
    indptr, indices, values, shape = read_csr(arrays, prefix, what, key)
    bad = np.flatnonzero((indices < 0) | (indices >= shape[1]))
    if len(bad):
        raise GraphFileError(
            f"{prefix}_indices is {indices[bad[0]]} at entry {bad[0]}, but {prefix}_shape has "
            f"{shape[1]} columns"
        )
    dense = np.zeros(shape, dtype=values.dtype)
    np.add.at(dense, (np.repeat(np.arange(shape[0]), np.diff(indptr)), indices), values)
    return dense


def read_csr(
    arrays: Arrays, prefix: str, what: str, instead: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """The four arrays of a CSR matrix; column indices are left to the caller to check."""
    keys = csr_keys(prefix)
    missing = [key for key in keys if key not in arrays]
    if len(missing) == len(keys):
        raise GraphFileError(
            f"no {what}: neither {instead} nor {prefix}_indptr ... is in the file{found(arrays)}"
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
    indptr = indptr.astype(np.int64)  # unsigned differences would wrap around
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


def found(arrays: Arrays) -> str:
    """What a message about a missing key says about the others."""
    return f" (of the keys that are read it has: {', '.join(sorted(arrays)) or 'none'})"
