"""Protocols of tasks on whole graphs: which graphs are trained, validated and tested on."""

from dataclasses import dataclass

import numpy as np
import torch

from gnnzoo.data.dataset import GraphDataset
from gnnzoo.data.graph_task import GraphParts, GraphSet, GraphTask, graph_task


@dataclass(frozen=True)
class NamedGraphs:
    """A split of graphs that was published with the data set.

    Args:
        parts: Name of the published splits, a key of ``dataset.graphs``.
        split: "fixed" (the first), "by_seed" (seed modulo the number of splits) or a number.
        metric: Metric to select on.

    Raises:
        ValueError: If the data set has no such splits, or fewer than asked for.
    """

    parts: str
    split: str | int = "fixed"
    metric: str = "accuracy"

    def __call__(self, dataset: GraphDataset, seed: int) -> GraphTask:
        """Split ``dataset``; the run's ``seed`` counts with ``split="by_seed"`` only."""
        known = _graph_set(dataset).graphs
        if self.parts not in known:
            has = f"its splits: {', '.join(known)}" if known else "it has none"
            raise ValueError(
                f"{dataset.name} has no split of graphs named {self.parts!r} ({has}); "
                "protocol=graph_folds draws some"
            )
        splits = known[self.parts]()
        number = _number(self.split, seed, len(splits))
        return graph_task(dataset, splits[number], number, self.metric)


@dataclass(frozen=True)
class GraphFolds:
    """Ten-fold assessment with an inner hold-out, drawn here: for sets without published folds.

    As in "A Fair Comparison of Graph Neural Networks for Graph Classification" (Errica, Podda,
    Bacciu and Micheli, ICLR 2020), https://arxiv.org/abs/1912.09893: folds have the same share of
    each class; each is tested on once; of the other graphs a tenth, again stratified, validates.

    Args:
        num_folds: Number of folds.
        val_share: Share of the graphs outside the test fold to validate on, in (0, 1).
        fold_seed: Seed that draws the folds; the run's seed does not.
        split: "fixed" (the first fold), "by_seed" (seed modulo the number of folds) or a number.
        metric: Metric to select on.

    Raises:
        ValueError: If a setting is out of range, or targets are no classes.
    """

    num_folds: int = 10
    val_share: float = 0.1
    fold_seed: int = 0
    split: str | int = "by_seed"
    metric: str = "accuracy"

    def __post_init__(self) -> None:
        if self.num_folds < 2:
            raise ValueError(f"num_folds must be at least 2, got {self.num_folds}")
        if not 0.0 < self.val_share < 1.0:
            raise ValueError(f"val_share must be in (0, 1), got {self.val_share}")

    def __call__(self, dataset: GraphDataset, seed: int) -> GraphTask:
        """Split ``dataset``; the run's ``seed`` counts with ``split="by_seed"`` only."""
        if _graph_set(dataset).target != "classes":
            raise ValueError(
                f"folds are stratified by class, but {dataset.name} has {dataset.target}; "
                "its published split works: protocol=official_graphs"
            )
        number = _number(self.split, seed, self.num_folds)
        parts = self._fold(dataset.data.y.numpy(), number)
        return graph_task(dataset, parts, number, self.metric)

    def _fold(self, y: np.ndarray, number: int) -> GraphParts:
        from sklearn.model_selection import StratifiedKFold, train_test_split

        folds = StratifiedKFold(self.num_folds, shuffle=True, random_state=self.fold_seed)
        rest, test = list(folds.split(np.zeros(len(y)), y))[number]
        train, val = train_test_split(
            rest, test_size=self.val_share, random_state=self.fold_seed + number, stratify=y[rest]
        )
        return tuple(torch.from_numpy(np.sort(part)) for part in (train, val, test))


def _number(split: str | int, seed: int, num_splits: int) -> int:
    if split == "fixed":
        return 0
    if split == "by_seed":
        return seed % num_splits
    if isinstance(split, int) and not isinstance(split, bool) and 0 <= split < num_splits:
        return split
    raise ValueError(
        f"split must be fixed, by_seed or a number from 0 to {num_splits - 1}, got {split!r}"
    )


def _graph_set(dataset: GraphDataset) -> GraphSet:
    if not isinstance(dataset, GraphSet):
        raise ValueError(
            f"{dataset.name} is one graph; this protocol splits many, such as dataset=digits_grid"
        )
    return dataset
