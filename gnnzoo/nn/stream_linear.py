"""A linear map of its own for each of several streams."""

import math

import torch
from torch import Tensor, nn

from gnnzoo.nn.checks import check_count


class StreamLinear(nn.Module):
    """`nn.Linear` for each stream, initialised as that.

    Args:
        in_channels: Width of a stream.
        out_channels: Width of its result.
        num_streams: Number of streams.

    Shapes:
        x: ``[num_rows, num_streams, ..., in_channels]``, floating point.
        returns: ``[num_rows, num_streams, ..., out_channels]``.
    """

    def __init__(self, in_channels: int, out_channels: int, num_streams: int) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("num_streams", num_streams, 1)
        self.weight = nn.Parameter(torch.empty(num_streams, out_channels, in_channels))
        self.bias = nn.Parameter(torch.empty(num_streams, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.weight.size(2))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.einsum("bs...i,soi->bs...o", x, self.weight)
        shape = (self.weight.size(0), *[1] * (x.dim() - 3), self.weight.size(1))
        return out + self.bias.view(shape)

    def __repr__(self) -> str:
        num_streams, out_channels, in_channels = self.weight.shape
        return f"{type(self).__name__}({in_channels}, {out_channels}, num_streams={num_streams})"
