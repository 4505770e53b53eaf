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
        memory_mib: Working memory in MiB of validation and test, as in `NeighborBatches`.

    Raises:
        ValueError: If a setting is out of range.
    """

    batch_size: int = 512
    memory_mib: float = 1024

    def __post_init__(self) -> None:
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ValueError(f"batch_size must be a whole number from 1, got {self.batch_size!r}")
        if not self.memory_mib > 0:
            raise ValueError(f"memory_mib must be positive, got {self.memory_mib!r}")

    @property
    def num_neighbors(self) -> tuple[int, ...]:
        """None at any hop."""
        return ()

    def epoch(self, sampler: SubgraphSampler, nodes: Tensor) -> Iterator[tuple[Data, Tensor]]:
        """Rows that together are those of all of `nodes`, each with the nodes they are of."""
        order = nodes[torch.randperm(nodes.numel(), device=nodes.device)]
        for seeds in order.tensor_split(max(-(-nodes.numel() // self.batch_size), 1)):
            part = Data(num_nodes=seeds.numel())
            for key, value in sampler.of_nodes.items():
                part[key] = take_rows(value, seeds)
            yield part, seeds
