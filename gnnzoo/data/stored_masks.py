"""The masks of a graph file: one or several splits of its nodes."""

import numpy as np
import torch
from torch import Tensor

from gnnzoo.data.dataset import Masks
from gnnzoo.data.npz import Arrays, GraphFileError
from gnnzoo.data.splits import check_masks

MASK_KEYS = ("train_mask", "val_mask", "test_mask")


def stored_masks(arrays: Arrays, y: Tensor) -> Masks | None:
    """Training, validation and test masks, ``[num_nodes, num_splits]`` each; None without any.

    Raises:
        GraphFileError: If they do not fit each other or the labels ``y``.
    """
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
            f"from 0 and 1: {key}.astype(bool); "
            f"from ids: numpy.isin(numpy.arange({num_nodes}), ids)"
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
