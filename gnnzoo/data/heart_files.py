"""The split and the negatives that the authors of HeaRT published."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gnnzoo.data.card import Card, RawFiles
from gnnzoo.data.dataset import GraphDataset
from gnnzoo.data.link_splits import undirected_links
from gnnzoo.data.links import LinkParts, LinkSplit, link_keys
from gnnzoo.data.mirrors import MissingDataError, ensure_raw

PARTS = ("train", "valid", "test")
RELEASED = (*(f"{part}_pos.txt" for part in PARTS), *(f"heart_{p}_samples.npy" for p in PARTS[1:]))
HOMEPAGE = "https://github.com/Juanhui28/HeaRT"


def released_parts(dataset: GraphDataset) -> LinkParts:
    """The split and the negatives that the authors of HeaRT published for a citation graph.

    They are looked for in ``HeaRT/<name>`` of the data root and of the mirrors: ``train_pos.txt``,
    ``valid_pos.txt``, ``test_pos.txt`` (two node numbers a line) and ``heart_valid_samples.npy``,
    ``heart_test_samples.npy`` (``[num_positives, num_own, 2]``, integers). Nothing is unpickled.

    Raises:
        MissingDataError: If a file is nowhere to be had.
        ValueError: If the files do not fit the data set.
    """
    folder = _released_folder(dataset.name)
    links = {part: _read_pairs(folder / f"{part}_pos.txt") for part in PARTS}
    num_nodes = dataset.data.num_nodes
    theirs = link_keys(torch.cat(list(links.values()), dim=1), num_nodes).unique()
    ours = link_keys(undirected_links(dataset), num_nodes)
    if not torch.equal(theirs, ours):
        raise ValueError(
            f"{folder} does not hold the links of {dataset.name}: {len(theirs)} links there, "
            f"{len(ours)} here, {int(torch.isin(theirs, ours).sum())} in both"
        )
    splits = [
        LinkSplit(links[part], _read_samples(folder / f"heart_{part}_samples.npy"))
        for part in PARTS[1:]
    ]
    return LinkParts(links["train"], *splits)


def _released_folder(name: str) -> Path:
    files = RawFiles(folder=f"HeaRT/{name}", sha256=dict.fromkeys(RELEASED))
    card = Card(name, "", "", "", "", HOMEPAGE, {}, {"heart": files})
    try:
        return ensure_raw(card, "heart")
    except MissingDataError as error:
        missing = str(error).partition("; looked in")[0]
        raise MissingDataError(
            f"the split and negatives that HeaRT published are not here: {missing} in the data "
            f"root or a mirror (GNNZOO_MIRROR); get them from {HOMEPAGE}, or protocol.mode=fixed "
            "makes negatives of our own, which is another benchmark"
        ) from None


def _read_pairs(path: Path) -> Tensor:
    try:
        pairs = np.array(path.read_text(encoding="utf-8").split(), dtype=np.int64).reshape(-1, 2)
    except ValueError as error:
        raise ValueError(f"{path} must hold two node numbers a line ({error})") from None
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]  # as the authors do
    return torch.from_numpy(pairs).t().contiguous()


def _read_samples(path: Path) -> Tensor:
    try:
        samples = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} is no plain array of numbers ({error})") from None
    if samples.ndim != 3 or samples.shape[2] != 2 or samples.dtype.kind not in "iu":
        raise ValueError(
            f"{path} must hold integers of shape [num_positives, num_own, 2], got {samples.dtype} "
            f"of shape {list(samples.shape)}"
        )
    return torch.from_numpy(samples.astype(np.int64)).permute(2, 0, 1).contiguous()
