"""Layers from anywhere as a chain, and their data as a task."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gnnzoo.data import NodeTask
from gnnzoo.models import Chain
from gnnzoo.models.chain import Context
from gnnzoo.ops import Graph, as_graph


@dataclass(frozen=True)
class EdgeContext(Context):
    """A `Context` with the edges as they came.

    Args:
        edge_index: ``[2, num_edges]``, int64.
    """

    edge_index: Tensor | None = None


class Link(nn.Module):
    """A layer that is called with ``(x, edge_index)`` as a link of a chain."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, context: EdgeContext) -> Tensor:
        ours = hasattr(self.layer, "reach")  # gnnzoo's own read the graph that is made already
        return self.layer(x, context.graph if ours else context.edge_index)

    def operators(self, context: Context, dtype: torch.dtype) -> Any:
        offered = getattr(self.layer, "operators", None)
        return None if offered is None else offered(context.graph, context.edge_weight, dtype)

    def combine(self, parts: Any) -> Tensor:
        return self.layer.combine(parts)


class LayerChain(Chain):
    """A list of layers, PyG's or gnnzoo's, each called with ``(x, edge_index)``.

    Args:
        layers: In their order.
    """

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers.extend(Link(layer) for layer in layers)

    def context(self, x: Tensor, edge_index: Tensor | Graph) -> EdgeContext:
        graph = as_graph(edge_index, x.size(0))
        return EdgeContext(x, graph, edge_index=graph.edge_index)

    def forward(self, x: Tensor, edge_index: Tensor | Graph) -> Tensor:
        return self.fold(self.context(x, edge_index))


def node_task(data: Data, num_classes: int | None = None) -> NodeTask:
    """The task of a ``Data`` with ``train_mask`` and ``val_mask``; other labels are not read.

    Raises:
        ValueError: If a mask is missing, empty or two-dimensional, or both share a node.
    """
    for name in ("train_mask", "val_mask"):
        mask = data.get(name)
        if mask is None or mask.dim() != 1 or not mask.any():
            raise ValueError(
                f"data.{name} must be a mask [num_nodes] of at least one node; of several splits "
                "take a column"
            )
    train, val = data.train_mask, data.val_mask
    if shared := int((train & val).sum()):
        raise ValueError(f"train_mask and val_mask share {shared} nodes")
    if num_classes is None:
        num_classes = int(data.y[train].max()) + 1
    own = Data(
        x=data.x,
        edge_index=data.edge_index,
        y=torch.where(train | val, data.y, -1),
        train_mask=train,
        val_mask=val,
        test_mask=torch.zeros_like(train),
    )
    return NodeTask(own, own.y[:0], num_classes, 0, "", "accuracy")
