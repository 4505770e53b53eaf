"""What every data set builder returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor
from torch_geometric.data import Data

from gnnzoo.data.card import Card

Masks = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class GraphDataset:
    """One graph with node labels, before any protocol has split it.

    Attributes:
        name: Name of the data set, one word.
        data: ``x``, ``edge_index`` (undirected unless the set is directed) and ``y``, where -1
            stands for a node without a label.
        num_classes: Number of classes.
        sha256: Checksum of the raw content.
        card: Its card; None for a file of the user's own.
        masks: Named published splits; each makes train, validation and test masks, bool,
            ``[num_nodes]`` or ``[num_nodes, num_splits]``.
    """

    name: str
    data: Data
    num_classes: int
    sha256: str
    card: Card | None = None
    masks: Mapping[str, Callable[[], Masks]] = field(default_factory=dict)
