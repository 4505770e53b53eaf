"""Small graphs in the raw layouts of published data sets, written where a card says."""

import json
import pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse

from gnnzoo.data import load_card

NUM_FEATURES = 5
NUM_CLASSES = 3
NUM_SPLITS = 10


@dataclass(frozen=True)
class StandIn:
    """A graph with an arc that goes both ways, one that goes one way, a self-loop and a repeat."""

    num_nodes: int

    @classmethod
    def of(cls, builder: str) -> "StandIn":
        """As few nodes as the default protocols of a family of data sets need."""
        return cls(1700 if builder in ("attributed", "planetoid") else 60)

    @property
    def y(self) -> np.ndarray:
        return np.arange(self.num_nodes) % NUM_CLASSES

    @property
    def x(self) -> np.ndarray:
        return np.eye(NUM_FEATURES)[np.arange(self.num_nodes) % NUM_FEATURES]

    @property
    def arcs(self) -> np.ndarray:
        """``[num_arcs, 2]``."""
        nodes = np.arange(self.num_nodes - 1)
        ring = np.stack([nodes, nodes + 1], axis=1)
        return np.concatenate([ring, [[1, 0], [3, 3], [4, 5]]])

    def masks(self, part: int) -> np.ndarray:
        """``[NUM_SPLITS, num_nodes]``; part 0 trains, 1 validates, 2 tests, 3 is left."""
        turned = np.arange(self.num_nodes) + np.arange(NUM_SPLITS)[:, None]
        return turned % 4 == part

    def edges(self, directed: bool, self_loops: bool) -> set[tuple[int, int]]:
        """What should be loaded."""
        edges = {(int(source), int(target)) for source, target in self.arcs}
        if not directed:
            edges |= {(target, source) for source, target in edges}
        return edges if self_loops else {edge for edge in edges if edge[0] != edge[1]}


def write_geom_gcn(name: str, place: Path) -> None:
    graph, card = StandIn.of("geom_gcn"), load_card(name)
    folder = _folder(place / card.files["graph"].folder)
    rows = [_row(node, graph, words=name.startswith("actor")) for node in range(graph.num_nodes)]
    (folder / "out1_node_feature_label.txt").write_text(_lines("node_id\tfeature\tlabel", rows))
    arcs = [f"{source}\t{target}" for source, target in graph.arcs]
    (folder / "out1_graph_edges.txt").write_text(_lines("node_id\tnode_id", arcs))
    _write_splits(card.files["geom-gcn"].sha256, folder, graph)


def _row(node: int, graph: StandIn, words: bool) -> str:
    """Features as a list of zeros and ones, or as the numbers of the words that occur."""
    values = graph.x[node].astype(int)
    shown = np.flatnonzero(values) if words else values
    return f"{node}\t{','.join(map(str, shown))}\t{graph.y[node]}"


def write_heterophilous(name: str, place: Path) -> None:
    graph = StandIn.of("heterophilous")
    arrays = {f"{part}_masks": graph.masks(i) for i, part in enumerate(("train", "val", "test"))}
    arrays |= {"node_features": graph.x.astype(np.float32), "node_labels": graph.y}
    _save(name, "graph", place, edges=graph.arcs, **arrays)


def write_attributed(name: str, place: Path) -> None:
    graph = StandIn.of("attributed")
    adjacency = np.unique(graph.arcs, axis=0)
    values = np.ones(len(adjacency), dtype=np.float32)
    shape = (graph.num_nodes, graph.num_nodes)
    arrays = _csr("adj", scipy.sparse.csr_matrix((values, adjacency.T), shape))
    arrays |= _csr("attr", scipy.sparse.csr_matrix(2 * graph.x))
    _save(name, "graph", place, labels=graph.y, **arrays)
    if "luo2024" in load_card(name).files:
        masks = {part: graph.masks(i)[0] for i, part in enumerate(("train", "valid", "test"))}
        nodes = {part: np.flatnonzero(mask) for part, mask in masks.items()}
        _save(name, "luo2024", place, **nodes)


def write_wikics(name: str, place: Path) -> None:
    graph = StandIn.of("wikics")
    links = [[] for _ in range(graph.num_nodes)]
    for source, target in graph.arcs.tolist():
        links[source].append(target)
    test = graph.masks(2)[0]
    turned = (np.arange(graph.num_nodes) + np.arange(20)[:, None]) % 3
    content = {
        "features": graph.x.tolist(),
        "labels": graph.y.tolist(),
        "links": links,
        "train_masks": ((turned == 0) & ~test).tolist(),
        "val_masks": ((turned == 1) & ~test).tolist(),
        "stopping_masks": ((turned == 2) & ~test).tolist(),
        "test_mask": test.tolist(),
    }
    folder = _folder(place / load_card(name).files["graph"].folder)
    (folder / "data.json").write_text(json.dumps(content))


def write_telegram(name: str, place: Path) -> None:
    graph = StandIn.of("telegram")
    counts = np.full(len(graph.arcs), 7)
    matrix = scipy.sparse.csr_matrix((counts, graph.arcs.T), (graph.num_nodes, graph.num_nodes))
    folder = _folder(place / load_card(name).files["graph"].folder)
    scipy.sparse.save_npz(folder / "telegram_adj.npz", matrix)
    np.save(folder / "telegram_labels.npy", graph.y)


def write_planetoid(name: str, place: Path, num_test: int = 40) -> None:
    graph, card = StandIn.of("planetoid"), load_card(name)
    folder = _folder(place / card.files["graph"].folder)
    num_train, rest = 20 * NUM_CLASSES, graph.num_nodes - num_test
    x, y = scipy.sparse.csr_matrix(graph.x), np.eye(NUM_CLASSES, dtype=np.int32)[graph.y]
    neighbours = defaultdict(list)
    for source, target in graph.arcs.tolist():
        neighbours[source].append(target)
        neighbours[target].append(source)
    content = {
        **{"x": x[:num_train], "allx": x[:rest], "tx": x[rest:]},
        **{"y": y[:num_train], "ally": y[:rest], "ty": y[rest:]},
        "graph": neighbours,
    }
    for part, value in content.items():
        # Protocol 3 names functions as Python 2 did; later ones hide the names on the stack.
        (folder / f"ind.{name}.{part}").write_bytes(pickle.dumps(value, protocol=3))
    index = "".join(f"{node}\n" for node in range(rest, graph.num_nodes))
    (folder / f"ind.{name}.test.index").write_text(index)
    splits = card.files["geom-gcn"]
    _write_splits(splits.sha256, _folder(place / splits.folder), graph)


def write_tudataset(name: str, place: Path) -> None:
    """Ten graphs: a path of three nodes and an isolated one; the last has no edge."""
    card = load_card(name.lower().replace("-", "_"))
    folder = _folder(place / card.files["graph"].folder)
    path = [(1, 2), (2, 1), (2, 3), (3, 2)]
    arcs = [(4 * graph + i, 4 * graph + j) for graph in range(9) for i, j in path]
    arcs = 2 * arcs if name.startswith("IMDB") else arcs
    nodes = range(40)
    columns = {
        "A": [f"{i}, {j}" for i, j in arcs],
        "graph_indicator": [node // 4 + 1 for node in nodes],
        "graph_labels": [-1 + 2 * (graph % 2) for graph in range(10)],
        "node_labels": [node % 3 + 1 for node in nodes],
        "node_attributes": [node + 0.5 for node in nodes],
        "edge_labels": [i % 2 for i, _ in arcs],
    }
    for file in card.files["graph"].sha256:
        rows = columns[file.removeprefix(f"{name}_").removesuffix(".txt")]
        (folder / file).write_text("".join(f"{row}\n" for row in rows))
    if "folds" in card.files:
        folds = [
            {
                "test": [graph],
                "model_selection": [
                    {
                        "train": [(graph + step) % 10 for step in range(3, 10)],
                        "validation": [(graph + step) % 10 for step in (1, 2)],
                    }
                ],
            }
            for graph in range(10)
        ]
        target = _folder(place / card.files["folds"].folder) / f"{name}_splits.json"
        target.write_text(json.dumps(folds))


WRITERS: dict[str, Callable[[str, Path], None]] = {
    "geom_gcn": write_geom_gcn,
    "heterophilous": write_heterophilous,
    "attributed": write_attributed,
    "wikics": write_wikics,
    "telegram": write_telegram,
    "planetoid": write_planetoid,
}


def _write_splits(names: object, folder: Path, graph: StandIn) -> None:
    for split, name in enumerate(sorted(names)):
        keys = enumerate(("train_mask", "val_mask", "test_mask"))
        masks = {key: graph.masks(part)[split].astype(np.uint8) for part, key in keys}
        np.savez(folder / name, **masks)


def _save(name: str, group: str, place: Path, **arrays: np.ndarray) -> None:
    files = load_card(name).files[group]
    (file,) = files.sha256
    np.savez(_folder(place / files.folder) / file, **arrays)


def _csr(prefix: str, matrix: scipy.sparse.csr_matrix) -> dict[str, np.ndarray]:
    return {
        f"{prefix}_data": matrix.data,
        f"{prefix}_indices": matrix.indices,
        f"{prefix}_indptr": matrix.indptr,
        f"{prefix}_shape": np.array(matrix.shape),
    }


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _lines(header: str, rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in [header, *rows])
