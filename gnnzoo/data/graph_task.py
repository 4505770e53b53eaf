"""Tasks on whole graphs: their data sets, their splits, and what training may see of them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.data.dataset import GraphDataset

HIDDEN_CLASS = -1
TARGETS = ("classes", "labels", "values")

GraphParts = tuple[Tensor, Tensor, Tensor]  # graphs to train, validate and test on


@dataclass(frozen=True)
class GraphSet(GraphDataset):
    """Many graphs with a target each, before any protocol has split them.

    Attributes:
        data: Their union, see `gnnzoo.data.graph_union`. Integer features are categories; then
            ``node_categories`` and ``edge_categories`` (tuples) say how many there are per column.
        target: "classes": ``y`` ``[num_graphs]``, int64; "labels": ``[num_graphs, num_labels]``,
            float32, 0 or 1, NaN where unknown; "values": the same with numbers to regress on.
        graphs: Named published splits; each makes one or several triples of graphs.
    """

    target: str = "classes"
    graphs: Mapping[str, Callable[[], Sequence[GraphParts]]] = field(default_factory=dict)

    @property
    def num_graphs(self) -> int:
        return self.data.ptr.numel() - 1


@dataclass(frozen=True)
class GraphTask:
    """One split of a data set for tasks on whole graphs.

    Attributes:
        data: The union of all graphs. In ``y`` the targets of every graph outside training and
            validation are hidden: -1, or NaN.
        train: ``[num_train]``, int64: graphs to train on.
        val: Graphs to validate on.
        test_graphs: Graphs to test on.
        test: Their targets, in order; kept apart, so that training cannot read them.
        target: As in `GraphSet`.
        num_outputs: Number of classes, labels or values.
        split_number: Which fixed split, or the seed that drew a random one.
        split_sha256: Checksum of the three parts.
        metric: Metric to select on and to report.
        transforms: What the model had computed on ``data``.
    """

    data: Data
    train: Tensor
    val: Tensor
    test_graphs: Tensor
    test: Tensor
    target: str
    num_outputs: int
    split_number: int
    split_sha256: str
    metric: str
    transforms: tuple[BaseTransform, ...] = ()

    def without_test(self) -> "GraphTask":
        """The same task without the targets of the test graphs."""
        return replace(self, test=self.test[:0])


def graph_task(dataset: GraphSet, parts: GraphParts, number: int, metric: str) -> GraphTask:
    """Split a data set, and hide what is to be hidden.

    Raises:
        ValueError: If the data set holds a single graph, or the parts overlap, are empty or name
            graphs out of range.
    """
    parts = tuple(part.long() for part in parts)
    check_parts(parts, dataset.num_graphs)
    train, val, test = parts
    y, seen = dataset.data.y, torch.zeros(dataset.num_graphs, dtype=torch.bool)
    seen[torch.cat([train, val])] = True
    hidden = torch.full_like(y, HIDDEN_CLASS if dataset.target == "classes" else torch.nan)
    data = dataset.data.clone()
    data.y = torch.where(seen.view(-1, *[1] * (y.dim() - 1)), y, hidden)
    return GraphTask(
        data=data,
        train=train,
        val=val,
        test_graphs=test,
        test=y[test],
        target=dataset.target,
        num_outputs=dataset.num_classes if dataset.target == "classes" else y.size(1),
        split_number=number,
        split_sha256=parts_sha256(parts, dataset.num_graphs),
        metric=metric,
    )


def check_parts(parts: GraphParts, num_graphs: int) -> None:
    """Check one split: parts that are not empty, do not overlap, and name graphs that are there.

    Raises:
        ValueError: If they do.
    """
    names = ("training", "validation", "test")
    for name, part in zip(names, parts, strict=True):
        if part.numel() == 0:
            raise ValueError(f"the {name} part is empty; every part of a split needs a graph")
        low, high = int(part.min()), int(part.max())
        if low < 0 or high >= num_graphs:
            odd = low if low < 0 else high
            raise ValueError(f"the {name} part names graph {odd}, there are {num_graphs} from 0")
    graphs, times = torch.cat(parts).unique(return_counts=True)
    if (times > 1).any():
        raise ValueError(f"graph {int(graphs[times > 1][0])} comes twice in one split")


def parts_sha256(parts: GraphParts, num_graphs: int) -> str:
    """Checksum that identifies a split of graphs, whatever the order within its parts."""
    digest = hashlib.sha256(str(num_graphs).encode())
    for part in parts:
        digest.update(f" {part.numel()} ".encode())
        digest.update(part.sort().values.numpy().astype("<i8").tobytes())
    return digest.hexdigest()
