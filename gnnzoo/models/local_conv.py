"""Convolutions by name, for blocks that have one beside a global part."""

from torch import nn

from gnnzoo.nn import GatedGCNConv, GCNConv, GINConv, SAGEConv
from gnnzoo.nn.checks import check_choice

CONVS = ("gatedgcn", "gcn", "sage", "gin", None)


def local_conv(name: str | None, channels: int) -> nn.Module | None:
    """The convolution of a name, as wide as its input; None for None.

    Raises:
        ValueError: If the name is unknown.
    """
    check_choice("conv", name, CONVS)
    if name is None:
        return None
    if name == "gatedgcn":
        return GatedGCNConv(channels, channels, channels)
    if name == "gin":
        inner = nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels)
        return GINConv(nn.Sequential(*inner))
    return {"gcn": GCNConv, "sage": SAGEConv}[name](channels, channels)
