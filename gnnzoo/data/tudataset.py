"""Graph sets of the TUDataset collection, read by PyG, with the folds of the fair comparison.

The raw files are parsed once; what they hold is kept beside them in one file, not in PyG's
``processed`` folder, which a kill could leave half-written.
"""

import json
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data
from torch_geometric.io import read_tu_data
from torch_geometric.utils import degree

from gnnzoo.data.card import load_card
from gnnzoo.data.graph_task import GraphParts, GraphSet, check_parts
from gnnzoo.data.graph_union import graph_union
from gnnzoo.data.kept_tensors import kept_tensors
from gnnzoo.data.mirrors import combined_sha256, ensure_raw

NODE_FEATURES = ("given", "constant", "degree", "degree_onehot")
FORMAT = 1  # of the kept file; raised when the same raw files give another
MAX_DEGREE = 135  # largest with a column of its own; a fixed number says nothing of test graphs


def tudataset(
    name: str = "ENZYMES",
    node_features: str = "given",
    node_attributes: bool = True,
    check_sizes: bool = True,
) -> GraphSet:
    """Load a set of graphs to classify.

    Its split ``fair``, where there is a file of it, are the ten folds of "A Fair Comparison of
    Graph Neural Networks for Graph Classification" (Errica et al., ICLR 2020).

    Args:
        name: Name as TUDataset writes it, such as "ENZYMES" or "IMDB-BINARY".
        node_features: "given": attributes, then labels one-hot; "constant": 1; "degree": one column
            with the number of neighbours; "degree_onehot": that number one-hot, where the last
            column stands for 136 and more.
        node_attributes: Whether the given features hold attributes beside labels.
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Raises:
        MissingDataError: If the raw files are nowhere to be had.
        ValueError: If a setting is unknown, the graphs have no features to be given, or a size
            differs from the card.
    """
    if node_features not in NODE_FEATURES:
        known = ", ".join(NODE_FEATURES)
        raise ValueError(f"node_features must be one of {known}, got {node_features!r}")
    card = load_card(name.lower().replace("-", "_"))
    folder = ensure_raw(card)
    sha256 = combined_sha256(card.files["graph"], folder)
    union, num_attributes = _parsed(name, folder, sha256)
    given = union.get("x")
    num_classes = int(union.y.max()) + 1
    if check_sizes:
        card.check_sizes(
            num_graphs=union.y.numel(),
            num_nodes=union.num_nodes,
            num_edges=union.num_edges,
            num_features=0 if given is None else given.size(1),
            num_classes=num_classes,
        )
    if node_features != "given":
        union.x = _made(union, node_features)
    elif given is None:
        raise ValueError(f"{name} has no node features; node_features=degree makes some")
    elif not node_attributes:
        if given.size(1) == num_attributes:
            raise ValueError(f"{name} has no node labels; node_attributes=true gives attributes")
        union.x = given[:, num_attributes:].contiguous()
    graphs = {}
    if "folds" in card.files:
        graphs["fair"] = lambda: load_folds(_folds_file(name), union.y.numel())
    return GraphSet(
        name=card.name,
        data=union,
        num_classes=num_classes,
        sha256=sha256,
        card=card,
        graphs=graphs,
    )


def load_folds(path: Path, num_graphs: int) -> list[GraphParts]:
    """Read folds in the format of Errica et al.

    Raises:
        ValueError: If the test folds do not hold every graph once, or a fold is malformed.
    """
    folds = []
    for fold in json.loads(path.read_text(encoding="utf-8")):
        (selection,) = fold["model_selection"]
        parts = tuple(
            torch.tensor(graphs, dtype=torch.int64)
            for graphs in (selection["train"], selection["validation"], fold["test"])
        )
        check_parts(parts, num_graphs)
        folds.append(parts)
    tested = torch.cat([test for _, _, test in folds]).sort().values
    if not torch.equal(tested, torch.arange(num_graphs)):
        raise ValueError(f"the test folds of {path} do not hold each of {num_graphs} graphs once")
    return folds


def _folds_file(name: str) -> Path:
    folder = ensure_raw(load_card(name.lower().replace("-", "_")), "folds")
    return folder / f"{name}_splits.json"


def _parsed(name: str, folder: Path, sha256: str) -> tuple[Data, int]:
    """The union, and how many of its features are attributes; they come before labels."""

    def parse() -> dict[str, Tensor]:
        raw, slices, sizes = read_tu_data(str(folder), name)
        num_nodes = torch.tensor(raw._num_nodes) if raw.x is None else slices["x"].diff()
        num_edges = torch.zeros_like(num_nodes)
        counted = slices["edge_index"].diff()  # PyG counts none for graphs without any at the end
        num_edges[: counted.numel()] = counted
        found = {"edge_index": raw.edge_index, "y": raw.y, "x": raw.x}
        found |= {"edge_attr": raw.get("edge_attr"), "num_nodes": num_nodes, "num_edges": num_edges}
        found["num_attributes"] = torch.tensor(sizes["num_node_attributes"])
        return {key: value for key, value in found.items() if value is not None}

    path = folder.parent / "kept" / "graphs.safetensors"
    graphs = kept_tensors(path, f"{FORMAT} {sha256}", parse)
    num_attributes = int(graphs.pop("num_attributes"))
    return graph_union(**graphs), num_attributes


def _made(data: Data, kind: str) -> Tensor:
    if kind == "constant":
        return torch.ones(data.num_nodes, 1)
    count = degree(data.edge_index[1], data.num_nodes, dtype=torch.long)
    if kind == "degree":
        return count.float().unsqueeze(1)
    return one_hot(count.clamp(max=MAX_DEGREE + 1), MAX_DEGREE + 2).float()
