"""Cross-validation: test parts that are disjoint."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import KFold, train_test_split

from gnnzoo.data.dataset import GraphDataset
from gnnzoo.data.protocol import (
    NodeTask,
    _node_task,
    _refuse_missing_fields,
    _split_number,
)

SHUFFLE_SEED, PART_SEED = 101, 127


@dataclass(frozen=True)
class Folds:
    """One fold is tested on, a share of the others validated on; classes are not balanced.

    The splits of "Forward Learning of Graph Neural Networks" (Park et al., ICLR 2024,
    https://arxiv.org/abs/2403.11004): scikit-learn's ``KFold(shuffle=True, random_state=101)``, and
    of fold i the rest by ``train_test_split(random_state=127 * i)``. Nodes without a label are in
    no part.

    Args:
        num_folds: Number of folds, at least 2; 5 for 64 / 16 / 20 %.
        val: Share of what is not tested on to validate on, in (0, 1).
        split: "fixed" (the first fold), "by_seed" (seed modulo the number of folds) or a fold.
        metric: Metric to select on.
        direction: As in :class:`NamedSplit`.

    Raises:
        ValueError: If a number is out of range, or a part would be empty.
    """

    num_folds: int = 5
    val: float = 0.2
    split: str | int = "by_seed"
    metric: str = "accuracy"
    direction: str | None = None

    def __call__(self, dataset: GraphDataset, seed: int) -> NodeTask:
        """Split ``dataset``; the run's ``seed`` counts with ``split="by_seed"`` only."""
        _refuse_missing_fields(dataset)
        if self.num_folds < 2 or not 0 < self.val < 1:
            raise ValueError(
                "num_folds must be at least 2 and val a share in (0, 1), "
                f"got {self.num_folds} and {self.val}"
            )
        number = _split_number(self.split, seed)
        if self.split == "by_seed":
            number %= self.num_folds
        if number >= self.num_folds:
            raise ValueError(f"fold {number} does not exist: there are {self.num_folds}")
        nodes = (dataset.data.y >= 0).nonzero().squeeze(1).numpy()
        folds = KFold(self.num_folds, shuffle=True, random_state=SHUFFLE_SEED).split(nodes)
        rest, test = list(folds)[number]
        train, val = train_test_split(rest, test_size=self.val, random_state=PART_SEED * number)
        masks = tuple(_mask(nodes[part], dataset.data.num_nodes) for part in (train, val, test))
        return _node_task(dataset, masks, number, self)


def _mask(nodes: np.ndarray, num_nodes: int) -> torch.Tensor:
    mask = torch.zeros(num_nodes, dtype=torch.bool)
    mask[torch.from_numpy(nodes)] = True
    return mask
