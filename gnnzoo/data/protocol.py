"""Protocols: how a data set is split, and what training may see of it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import is_undirected

from gnnzoo.data.dataset import GraphDataset, Masks
from gnnzoo.data.direction import Direction, choose_direction
from gnnzoo.data.splits import check_masks, random_per_class, random_shares, split_sha256

HIDDEN = -1  # label of every node that is neither trained nor validated on


@dataclass(frozen=True)
class NodeTask:
    """One split of a data set for node classification.

    Attributes:
        data: ``x``, ``edge_index``, ``y``, ``train_mask``, ``val_mask``, ``test_mask``. In ``y``
            the label of every node outside training and validation is -1.
        test_labels: Labels of the nodes of ``data.test_mask``, in order; kept apart, so that
            training cannot read them.
        num_classes: Number of classes.
        split_number: Which fixed split, or the seed that drew a random one.
        split_sha256: Checksum of the three masks.
        metric: Metric to select on and to report.
        transforms: What the model had computed on ``data``. A head that takes edges away computes
            anew what ``reads_edges``.
        direction: Whether arcs were kept; None where the protocol leaves the edges alone.
    """

    data: Data
    test_labels: Tensor
    num_classes: int
    split_number: int
    split_sha256: str
    metric: str
    transforms: tuple[BaseTransform, ...] = ()
    direction: Direction | None = None

    @property
    def test(self) -> Tensor:
        """What only the test score may be computed from: the test labels."""
        return self.test_labels

    def without_test(self) -> "NodeTask":
        """The same task without the labels of the test nodes."""
        return replace(self, test_labels=self.test_labels.new_empty(0))


@dataclass(frozen=True)
class NamedSplit:
    """A split that was published with the data set.

    Args:
        masks: Name of the published splits, a key of ``dataset.masks``.
        split: "fixed" (the first), "by_seed" (seed modulo the number of splits) or a number.
        metric: Metric to select on.
        direction: Of a directed graph: "directed" keeps the arcs, "undirected" gives each its
            reverse, "auto" asks AMUD (reconstructed) with the training labels of the split; None
            leaves the edges as the data set has them.

    Raises:
        ValueError: If the data set has no such splits, or fewer than asked for.
    """

    masks: str
    split: str | int = "fixed"
    metric: str = "accuracy"
    direction: str | None = None

    def __call__(self, dataset: GraphDataset, seed: int) -> NodeTask:
        """Split ``dataset``; the run's ``seed`` counts with ``split="by_seed"`` only."""
        _refuse_missing_fields(dataset)
        if self.masks not in dataset.masks:
            known = f"its splits: {', '.join(dataset.masks)}" if dataset.masks else "it has none"
            raise ValueError(
                f"{dataset.name} has no split named {self.masks!r} ({known}); "
                "protocol=random_shares draws one"
            )
        stored = dataset.masks[self.masks]()
        columns = [mask.reshape(len(mask), -1) for mask in stored]  # [num_nodes, num_splits] each
        num_splits = columns[0].size(1)
        number = _split_number(self.split, seed)
        if self.split == "by_seed":
            number %= num_splits
        if number >= num_splits:
            raise ValueError(
                f"split {number} does not exist: {dataset.name} has {num_splits} "
                f"{self.masks!r} splits, numbered from 0"
            )
        train, val, test = (column[:, number].contiguous() for column in columns)
        return _node_task(dataset, (train, val, test), number, self)


@dataclass(frozen=True)
class RandomPerClass:
    """A random split with the same number of training nodes in each class.

    The defaults are those of Planetoid's random splits.

    Args:
        num_train_per_class: Training nodes per class.
        num_val: Validation nodes, from all classes together; None with ``num_val_per_class``.
        num_test: Test nodes; None takes all that are left.
        split: "fixed" (generator seed 0), "by_seed" (the run's seed) or a generator seed.
        metric: Metric to select on.
        num_val_per_class: Validation nodes per class, instead of ``num_val``.
        direction: As in :class:`NamedSplit`.

    Raises:
        ValueError: If a class or the graph has too few nodes.
    """

    num_train_per_class: int = 20
    num_val: int | None = 500
    num_test: int | None = 1000
    split: str | int = "by_seed"
    metric: str = "accuracy"
    num_val_per_class: int | None = None
    direction: str | None = None

    def __call__(self, dataset: GraphDataset, seed: int) -> NodeTask:
        """Split ``dataset``; the run's ``seed`` counts with ``split="by_seed"`` only."""
        _refuse_missing_fields(dataset)
        number = _split_number(self.split, seed)
        masks = random_per_class(
            dataset.data.y,
            dataset.num_classes,
            self.num_train_per_class,
            self.num_val,
            self.num_test,
            seed=number,
            num_val_per_class=self.num_val_per_class,
        )
        return _node_task(dataset, masks, number, self)


@dataclass(frozen=True)
class RandomShares:
    """A random split with the same shares of each class.

    Args:
        train: Share of each class to train on, in (0, 1).
        val: Share of each class to validate on; what is left is tested on.
        split: "fixed" (generator seed 0), "by_seed" (the run's seed) or a generator seed.
        metric: Metric to select on.
        direction: As in :class:`NamedSplit`.

    Raises:
        ValueError: If the shares leave a part without nodes.
    """

    train: float = 0.6
    val: float = 0.2
    split: str | int = "by_seed"
    metric: str = "accuracy"
    direction: str | None = None

    def __call__(self, dataset: GraphDataset, seed: int) -> NodeTask:
        """Split ``dataset``; the run's ``seed`` counts with ``split="by_seed"`` only."""
        _refuse_missing_fields(dataset)
        number = _split_number(self.split, seed)
        masks = random_shares(
            dataset.data.y, dataset.num_classes, self.train, self.val, seed=number
        )
        return _node_task(dataset, masks, number, self)


def _split_number(split: str | int, seed: int) -> int:
    if split == "fixed":
        return 0
    if split == "by_seed":
        return seed
    if isinstance(split, int) and not isinstance(split, bool) and split >= 0:
        return split
    raise ValueError(f"split must be fixed, by_seed or a number from 0, got {split!r}")


def _refuse_missing_fields(dataset: GraphDataset) -> None:
    for key, what in (("y", "labels"), ("x", "features")):
        if getattr(dataset.data, key) is None:
            raise ValueError(
                f"{dataset.name} has no node {what} ({key}), which classifying nodes needs; heads "
                "that predict links, such as head=dot, do without"
            )


def _node_task(
    dataset: GraphDataset,
    masks: Masks,
    number: int,
    protocol: NamedSplit | RandomPerClass | RandomShares,
) -> NodeTask:
    labels = dataset.data.y
    check_masks(masks, labels)
    train, val, test = masks
    data = Data(
        x=dataset.data.x,
        edge_index=dataset.data.edge_index,
        y=torch.where(train | val, labels, HIDDEN),
        train_mask=train,
        val_mask=val,
        test_mask=test,
        num_nodes=len(labels),
    )
    for key in ("edge_weight", "edge_attr"):
        if key in dataset.data:
            data[key] = dataset.data[key]
    choice = None
    if protocol.direction is not None:
        _refuse_lost_arcs(dataset, protocol.direction)
        data, choice = choose_direction(data, protocol.direction, train)
    return NodeTask(
        data=data,
        test_labels=labels[test],
        num_classes=dataset.num_classes,
        split_number=number,
        split_sha256=split_sha256(masks),
        metric=protocol.metric,
        direction=choice,
    )


def _refuse_lost_arcs(dataset: GraphDataset, direction: str) -> None:
    """Arcs that the data set itself made undirected cannot be kept."""
    edges, num_nodes = dataset.data.edge_index, dataset.data.num_nodes
    if direction == "directed" and is_undirected(edges, num_nodes=num_nodes):
        raise ValueError(
            f"protocol.direction=directed, but the edges of {dataset.name} are undirected as "
            f"loaded; dataset={dataset.name}_directed keeps the arcs of a published graph, "
            "dataset.directed=true those of a file"
        )
