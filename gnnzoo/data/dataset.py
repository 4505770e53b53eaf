"""What every data set builder returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnnzoo.data.card import Card

Masks = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class GraphDataset:
    """One graph, before any protocol has split it.

    Attributes:
        name: Name of the data set, one word.
        data: ``edge_index`` (undirected unless the set is directed), ``x`` where nodes have
            features, and ``y`` where they have labels, -1 for a node without one; ``num_nodes``;
            perhaps ``edge_weight`` and ``edge_attr``.
        sha256: Checksum of the raw content.
        num_classes: Number of classes; 0 where nodes have no labels.
        card: Its card; None for a file of the user's own.
        masks: Named published splits of nodes; each makes train, validation and test masks, bool,
            ``[num_nodes]`` or ``[num_nodes, num_splits]``.
        links: Named published splits of links; each makes a ``LinkParts``.
    """

    name: str
    data: Data
    sha256: str
    num_classes: int = 0
    card: Card | None = None
    masks: Mapping[str, Callable[[], Masks]] = field(default_factory=dict)
    links: Mapping[str, Callable[[], Any]] = field(default_factory=dict)


def published(
    card: Card,
    data: Data,
    *,
    sha256: str,
    masks: Mapping[str, Callable[[], Masks]],
    keep_arcs: bool,
    check_sizes: bool,
    num_features: int | None = None,
) -> GraphDataset:
    """A data set as its builder returns it: undirected unless asked for, sizes checked.

    Args:
        card: The card of the set.
        data: ``x``, ``edge_index`` and ``y`` as read; other fields are left out.
        sha256: Checksum of the raw content.
        masks: Its published splits.
        keep_arcs: Leave ``edge_index`` as it is; otherwise it is made undirected.
        check_sizes: Hold the sizes against the card.
        num_features: Held against the card instead of the width of ``x``.

    Raises:
        ValueError: If a size differs from the card.
    """
    x, edge_index, y = data.x, data.edge_index, data.y
    if not keep_arcs:
        edge_index = to_undirected(edge_index, num_nodes=len(y))
    num_classes = int(y.max()) + 1
    if check_sizes:
        card.check_sizes(
            num_nodes=x.size(0),
            num_edges=edge_index.size(1),
            num_features=x.size(1) if num_features is None else num_features,
            num_classes=num_classes,
        )
    return GraphDataset(
        name=card.name,
        data=Data(x=x, edge_index=edge_index, y=y),
        num_classes=num_classes,
        sha256=sha256,
        card=card,
        masks=masks,
    )
