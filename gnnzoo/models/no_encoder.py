"""No encoder at all: for scorers that read the graph only."""

import torch
from torch import Tensor, nn


class NoEncoder(nn.Module):
    """Gives no embeddings: an empty tensor, whatever the graph.

    Args:
        in_channels, out_channels: Not used.

    Shapes:
        returns: ``[0]``.
    """

    reads_features = False

    def __init__(self, in_channels: int = 0, out_channels: int = 0) -> None:
        super().__init__()

    def forward(self) -> Tensor:
        return torch.empty(0)
