"""Graph sets of the TUDataset collection, read by PyG, with the folds of the fair comparison.

The raw files are parsed at every start instead of keeping PyG's ``processed`` folder: there is no
cache that a kill could leave half-written.
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
from gnnzoo.data.mirrors import combined_sha256, ensure_raw

NODE_FEATURES = ("given", "constant", "degree", "degree_onehot")
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
    raw, slices, sizes = read_tu_data(str(folder), name)
    union = _union(raw, slices)
    num_classes = int(union.y.max()) + 1
    if check_sizes:
        card.check_sizes(
            num_graphs=union.y.numel(),
            num_nodes=union.num_nodes,
            num_edges=union.num_edges,
            num_features=0 if raw.x is None else raw.x.size(1),
            num_classes=num_classes,
        )
    if node_features != "given":
        union.x = _made(union, node_features)
    elif raw.x is None:
        raise ValueError(f"{name} has no node features; node_features=degree makes some")
    elif not node_attributes:
        if sizes["num_node_labels"] == 0:
            raise ValueError(f"{name} has no node labels; node_attributes=true gives attributes")
        union.x = raw.x[:, sizes["num_node_attributes"] :].contiguous()
    graphs = {}
    if "folds" in card.files:
        graphs["fair"] = lambda: load_folds(_folds_file(name), union.y.numel())
    return GraphSet(
        name=card.name,
        data=union,
        num_classes=num_classes,
        sha256=combined_sha256(card.files["graph"], folder),
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


def _union(raw: Data, slices: dict[str, Tensor]) -> Data:
    """The union; PyG counts no edges for graphs without any at the end."""
    num_nodes = torch.tensor(raw._num_nodes) if raw.x is None else slices["x"].diff()
    num_edges = torch.zeros_like(num_nodes)
    counted = slices["edge_index"].diff()
    num_edges[: counted.numel()] = counted
    return graph_union(raw.edge_index, num_nodes, num_edges, raw.y, raw.x, raw.get("edge_attr"))


def _made(data: Data, kind: str) -> Tensor:
    if kind == "constant":
        return torch.ones(data.num_nodes, 1)
    count = degree(data.edge_index[1], data.num_nodes, dtype=torch.long)
    if kind == "degree":
        return count.float().unsqueeze(1)
    return one_hot(count.clamp(max=MAX_DEGREE + 1), MAX_DEGREE + 2).float()
