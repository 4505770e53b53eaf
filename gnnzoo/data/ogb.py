"""Node sets of the Open Graph Benchmark, loaded by ogb but without its traps.

Under torch 2.6 or newer ogb cannot load the file it has just processed; it asks on standard input
when a release file is missing or a download is large; it prints on standard output; and importing
it starts a look-up of its newest version on the network. All four are dealt with here.
"""

import contextlib
import io
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage
from torch_geometric.utils import to_undirected

from gnnzoo.data.card import load_card
from gnnzoo.data.dataset import GraphDataset, Masks
from gnnzoo.data.mirrors import combined_sha256, dataset_lock, ensure_raw


def ogb_node(name: str = "ogbn-arxiv", check_sizes: bool = True) -> GraphDataset:
    """Load a node set of OGB, made undirected, with its published split as masks ``official``.

    Args:
        name: Name as OGB writes it, "ogbn-arxiv" or "ogbn-products" (1.4 GB to download).
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Raises:
        MissingDataError: If the raw files are nowhere to be had.
        ValueError: If the sizes differ from the card.
    """
    card = load_card(name.replace("-", "_"))
    folder = ensure_raw(card)
    with dataset_lock(card.name):
        raw, index, num_classes, undirected = _load(name, folder)
    y = raw.y.view(-1)
    edge_index = raw.edge_index
    if check_sizes:
        card.check_sizes(
            num_nodes=raw.x.size(0),
            num_edges=edge_index.size(1),
            num_features=raw.x.size(1),
            num_classes=num_classes,
        )
    if not undirected:
        edge_index = to_undirected(edge_index, num_nodes=len(y))
    return GraphDataset(
        name=card.name,
        data=Data(x=raw.x, edge_index=edge_index, y=y),
        num_classes=num_classes,
        sha256=combined_sha256(card.files["graph"], folder),
        card=card,
        masks={"official": lambda: _masks(index, len(y))},
    )


def safe_globals() -> contextlib.AbstractContextManager[None]:
    """Let ``torch.load(weights_only=True)`` read PyG ``Data``, which ogb's files and ours hold."""
    return torch.serialization.safe_globals([Data, DataEdgeAttr, DataTensorAttr, GlobalStorage])


def _load(name: str, folder: Path) -> tuple[Data, dict[str, Tensor], int, bool]:
    """Load through ogb.

    Returns:
        The graph, the split, the number of classes, and whether ogb adds the inverse edges itself
        (sorting the 120 million of ogbn-products once more would cost minutes).
    """

    def read(dataset: Any) -> tuple[Data, dict[str, Tensor], int]:
        return dataset[0], dataset.get_idx_split(), dataset.num_classes

    with safe_globals(), quietly():
        found, undirected = read_ogb(name, folder, "nodeproppred", "PygNodePropPredDataset", read)
    return *found, undirected


def read_ogb(
    name: str, folder: Path, task: str, class_name: str, read: Callable[[Any], Any]
) -> tuple[Any, bool]:
    """Read an ogb data set; a processed file that a kill has left broken is made again.

    Args:
        name: Name as OGB writes it.
        folder: Where its raw files lie.
        task: ogb's module of the task, such as "nodeproppred".
        class_name: The data set class in it.
        read: Called with the data set.

    Returns:
        What `read` gives, and whether ogb has put both directions of each edge into the graph.
    """
    processed = folder / "processed"
    dataset_class, settings = _import_ogb(name, task, class_name)
    settings["dir_path"] = str(folder)  # this folder and no other, as ogb would look for one itself
    for attempt in (1, 2):
        for note in processed.glob("pre_*.pt"):
            note.unlink()  # PyG would unpickle it, and it says nothing: there is no transform
        try:
            return read(dataset_class(name, meta_dict=settings)), _adds_inverse(settings)
        except Exception:
            if attempt == 2 or not processed.is_dir():
                raise
            shutil.rmtree(processed)
    raise AssertionError("unreachable")


def _adds_inverse(settings: dict[str, Any]) -> bool:
    return settings["add_inverse_edge"] == "True"


def _import_ogb(name: str, task: str, class_name: str) -> tuple[Any, dict[str, Any]]:
    """ogb's dataset class and its settings for one data set.

    The package that ogb's start-up thread asks the network with is kept from it.
    """
    import pandas as pd

    blocked = "outdated" not in sys.modules
    if blocked:
        sys.modules["outdated"] = None  # type: ignore[assignment]
    try:
        module = import_module(f"ogb.{task}")
    finally:
        if blocked:
            del sys.modules["outdated"]
    master = Path(module.__file__).with_name("master.csv")
    table = pd.read_csv(master, index_col=0, keep_default_na=False)
    return getattr(module, class_name), dict(table[name])


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Send what ogb prints to standard error, and let it find no one to ask."""
    stdin, sys.stdin = sys.stdin, io.StringIO()
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            yield
    finally:
        sys.stdin = stdin


def _masks(index: dict[str, Tensor], num_nodes: int) -> Masks:
    masks = torch.zeros(3, num_nodes, dtype=torch.bool)
    for mask, part in zip(masks, ("train", "valid", "test"), strict=True):
        mask[index[part]] = True
    return masks[0], masks[1], masks[2]
