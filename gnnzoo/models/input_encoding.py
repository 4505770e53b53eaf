"""What stands between the fields of the data and an encoder that reads numbers."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gnnzoo.nn import CategoryEmbedding
from gnnzoo.ops import SparseFeatures

FLIPPED = "laplacian_pe"  # the sign of an eigenvector means nothing


class InputEncoding(nn.Module):
    """An encoder that reads embedded categories, and encodings of where nodes are.

    Categories of nodes and edges become learned vectors, see `gnnzoo.nn.CategoryEmbedding`. An
    encoding of position is batch-normalised, mapped by a linear layer and put beside the features.
    In training the eigenvectors of each graph (field ``laplacian_pe``) have random signs.

    Args:
        encoder: Any encoder whose first argument is ``x``.
        channels: Width of embedded categories.
        node_categories: Number of categories per column of ``x``; None: ``x`` are numbers.
        edge_categories: The same of ``edge_attr``, where the encoder reads it.
        encodings: Columns of each field that encodes positions.
        encoding_channels: Width that each of them is mapped to.

    Shapes:
        x: ``[num_nodes, num_columns]``, int64; or ``[num_nodes, in_channels]``.
        edge_attr: ``[num_edges, num_columns]``, int64; or as the encoder reads it.
        encodings: ``[num_nodes, columns]``, floating point, each by the name of its field.
        returns: What the encoder returns.
    """

    def __init__(
        self,
        encoder: nn.Module,
        channels: int,
        node_categories: Sequence[int] | None = None,
        edge_categories: Sequence[int] | None = None,
        encodings: Mapping[str, int] | None = None,
        encoding_channels: int = 16,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.nodes = CategoryEmbedding(node_categories, channels) if node_categories else None
        self.edges = None
        if edge_categories and reads_edge_attr(encoder):
            self.edges = CategoryEmbedding(edge_categories, channels)
        self.encodings = nn.ModuleDict(
            {
                name: nn.Sequential(nn.BatchNorm1d(columns), nn.Linear(columns, encoding_channels))
                for name, columns in (encodings or {}).items()
            }
        )
        self.passes_batch = "batch" in _names(encoder)

    @property
    def reads_as(self) -> nn.Module:
        """Whose signature names the fields of the data."""
        return self.encoder

    @property
    def reads_too(self) -> tuple[str, ...]:
        """Further fields that are needed."""
        return (*self.encodings, *(["batch"] if FLIPPED in self.encodings else []))

    @property
    def layers(self) -> nn.ModuleList:
        return self.encoder.layers

    def param_groups(self) -> Mapping[str, list[nn.Parameter]]:
        """``embedding``, ``encoding`` and those of the encoder."""
        own = self.encoder.param_groups() if hasattr(self.encoder, "param_groups") else {}
        own = own or {"encoder": list(self.encoder.parameters())}
        tables = [table.weight for table in (self.nodes, self.edges) if table is not None]
        return {"embedding": tables, "encoding": list(self.encodings.parameters()), **own}

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        **fields: Any,
    ) -> Tensor:
        if self.nodes is not None:
            x = self.nodes(x)
        if self.encodings:
            x = x.to_dense() if isinstance(x, SparseFeatures) else x
            parts = [self._encoding(name, fields.pop(name), batch) for name in self.encodings]
            x = torch.cat([x, *parts], dim=1)
        if edge_attr is not None:
            fields["edge_attr"] = edge_attr if self.edges is None else self.edges(edge_attr)
        if self.passes_batch:
            fields["batch"] = batch
        return self.encoder(x=x, **fields)

    def _encoding(self, name: str, value: Tensor, batch: Tensor | None) -> Tensor:
        if name == FLIPPED and self.training and value.size(0):
            num_graphs = 1 if batch is None else int(batch[-1]) + 1
            coin = torch.rand(num_graphs, value.size(1), device=value.device) < 0.5
            sign = torch.where(coin, 1.0, -1.0).to(value.dtype)
            value = value * (sign if batch is None else sign.index_select(0, batch))
        return self.encodings[name](value)


def reads_edge_attr(encoder: nn.Module) -> bool:
    """Whether an encoder reads features of edges, as it was built."""
    return "edge_attr" in _names(encoder) and getattr(encoder, "edge_features", "data") == "data"


def _names(encoder: nn.Module) -> Mapping[str, Any]:
    return inspect.signature(type(encoder).forward).parameters
