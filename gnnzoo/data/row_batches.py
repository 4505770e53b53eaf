"""Mini-batches of models that read no edges: some nodes' rows, gathered."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnzoo.data.neighbors import SubgraphSampler
from gnnzoo.ops import take_rows


@dataclass(frozen=True)
class RowBatches:
    """How a head cuts the nodes of a graph into mini-batches of rows.

    For models whose propagation was done once (`ADPA`, `DGMLP`) and those that read no edges
    (`MLP`). A batch holds the rows of its nodes of every field that has one per node, but no
    labels and no edges: a model that needs edges says that it misses them. An epoch goes through
    all training nodes in random order, in batches of nearly equal size, with random numbers from
    torch's global generator.

    Args:
        batch_size: Most training nodes per batch.
        eval_batch_size: Most rows gathered at a time in validation and test.

    Raises:
        ValueError: If a setting is out of range.
    """

    batch_size: int = 512
    eval_batch_size: int = 8192

    def __post_init__(self) -> None:
        for name in ("batch_size", "eval_batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}")

    @property
    def num_neighbors(self) -> tuple[int, ...]:
        """None at any hop."""
        return ()

    def epoch(self, sampler: SubgraphSampler, nodes: Tensor) -> Iterator[tuple[Data, Tensor]]:
        """Rows that together are those of all of `nodes`, each with the nodes they are of."""
        order = nodes[torch.randperm(nodes.numel(), device=nodes.device)]
        for seeds in order.tensor_split(max(-(-nodes.numel() // self.batch_size), 1)):
            yield _gathered(sampler, seeds), seeds

    def rows(self, sampler: SubgraphSampler, nodes: Tensor) -> Iterator[Data]:
        """Rows of `nodes` in their order, some at a time, to be scored."""
        return (_gathered(sampler, part) for part in nodes.split(self.eval_batch_size))


def _gathered(sampler: SubgraphSampler, nodes: Tensor) -> Data:
    part = Data(num_nodes=nodes.numel())
    for key, value in sampler.of_nodes.items():
        part[key] = take_rows(value, nodes)
    return part
