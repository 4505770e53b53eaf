"""A learned vector per node, for graphs without features."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from gnnzoo.nn.checks import check_count


class NodeEmbedding(nn.Module):
    """An encoder that reads a learned embedding of the nodes instead of features.

    The embedding starts as random orthogonal columns, as published for ogbl-ddi by NCN (Wang, Yang
    and Zhang, ICLR 2024, https://arxiv.org/abs/2302.00890).

    Args:
        encoder: Any encoder whose first argument is ``x``; it reads ``[num_nodes, channels]``.
        num_nodes: Number of nodes.
        channels: Width of the embedding.

    Shapes:
        x: ``[num_nodes]``, int64, ids of nodes.
        returns: What the encoder returns.
    """

    def __init__(self, encoder: nn.Module, num_nodes: int, channels: int) -> None:
        super().__init__()
        check_count("num_nodes", num_nodes, 1)
        check_count("channels", channels, 1)
        self.encoder = encoder
        self.embedding = nn.Embedding(num_nodes, channels)
        nn.init.orthogonal_(self.embedding.weight)

    @property
    def reads_as(self) -> nn.Module:
        """Whose signature names the fields of the data."""
        return self.encoder

    @property
    def layers(self) -> nn.ModuleList:
        return self.encoder.layers

    def param_groups(self) -> Mapping[str, list[nn.Parameter]]:
        """``embedding`` and those of the encoder."""
        own = self.encoder.param_groups() if hasattr(self.encoder, "param_groups") else {}
        own = own or {"encoder": list(self.encoder.parameters())}
        return {"embedding": [self.embedding.weight], **own}

    def forward(self, x: Tensor, **fields: Any) -> Tensor:
        return self.encoder(x=self.embedding(x), **fields)
