"""Streams: the views of a graph that layers are trained on and scored on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnzoo.models import Chain, inputs
from gnnzoo.ops import Graph, SparseFeatures, side_by_side
from gnnzoo.train.forward.frozen import Stream
from gnnzoo.train.forward.graphs import label_columns, virtual_edges
from gnnzoo.train.forward.objectives import Labels
from gnnzoo.train.forward.rows import Features, with_rows


@dataclass(frozen=True)
class StreamMaker:
    """Makes streams of one encoder.

    Args:
        encoder: Whose context and start are asked for.
        transforms: What the model had computed on the data; made anew where edges are added.
        kind: ``plain``, ``virtual`` or ``columns``, see `Method`.
        bidirectional: Whether virtual nodes send too.
    """

    encoder: Chain
    transforms: Sequence[Any]
    kind: str
    bidirectional: bool = True

    def stream(
        self, fields: Mapping[str, Any], nodes: Tensor, classes: Tensor, virtual: Tensor
    ) -> Stream:
        """A stream in which some nodes have classes.

        Args:
            fields: What the encoder reads of the graph.
            nodes: ``[num_labelled]``, int64.
            classes: ``[num_labelled]``, int64.
            virtual: ``[num_classes, in_channels]``, features of virtual nodes, for that kind;
                otherwise only the number of classes counts.
        """
        if self.kind == "virtual":
            fields = self._with_virtual_nodes(fields, nodes, classes, virtual)
        elif self.kind == "columns":
            fields = self._with_columns(fields, nodes, classes, virtual.size(0))
        context = self.encoder.context(**fields)
        return Stream(self.encoder.start(context), context)

    def _with_virtual_nodes(
        self, fields: Mapping[str, Any], nodes: Tensor, classes: Tensor, virtual: Tensor
    ) -> dict[str, Any]:
        x, num_nodes = fields["x"], fields["x"].size(0)
        edge_index = self._edges(fields)
        added = virtual_edges(nodes, classes, num_nodes, self.bidirectional)
        data = Data(edge_index=torch.cat([edge_index, added], dim=1))
        data.num_nodes = num_nodes + virtual.size(0)
        data.x = with_rows(x, virtual)
        if (weight := fields.get("edge_weight")) is not None:
            data.edge_weight = torch.cat([weight, weight.new_ones(added.size(1))])
        for transform in self.transforms:
            if getattr(transform, "reads_edges", True):
                data = transform(data)
        return inputs(self.encoder, data)

    def _edges(self, fields: Mapping[str, Any]) -> Tensor:
        known = fields.get("edge_index")
        if fields.get("edge_attr") is not None or known is None:
            reason = "edges have attributes" if known is not None else "it reads no edges"
            raise ValueError(
                f"virtual nodes do not go with {type(self.encoder).__name__}: {reason}; "
                "method=train_mean needs none"
            )
        return known.edge_index if isinstance(known, Graph) else known

    def _with_columns(
        self, fields: Mapping[str, Any], nodes: Tensor, classes: Tensor, num_classes: int
    ) -> dict[str, Any]:
        kind = type(self.encoder).__name__
        if odd := set(fields) - {"x", "edge_index", "edge_weight", "graph"}:
            raise ValueError(
                f"labels cannot be appended to the features of {kind}, which reads {odd.pop()} "
                "made of them; method=sf adds nodes instead"
            )
        x: Features = fields["x"]
        own = label_columns(x.size(0), num_classes, nodes, classes, x.dtype)
        if getattr(self.encoder, "reads_sparse_features", False):
            return dict(fields) | {"x": side_by_side(x, own)}
        x = x.to_dense() if isinstance(x, SparseFeatures) else x
        return dict(fields) | {"x": torch.cat([x, own], dim=1)}


def hypotheses(labels: Labels, nodes: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For each class: training nodes with their classes, and `nodes` with that class."""
    both = torch.cat([labels.nodes, nodes])
    return [
        (both, torch.cat([labels.classes, torch.full_like(nodes, k)]))
        for k in range(labels.num_classes)
    ]
