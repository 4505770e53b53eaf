"""The small networks that neural common neighbour's predictors are made of.

Linear, dropout, layer norm and ReLU come in the order of the published code, which is not the same
in all of them.
"""

from torch import nn

from gnnzoo.nn.features import FeatureDropout


def node_block(channels: int, dropout: float, layer_norm: bool) -> nn.Sequential:
    """h: what is added to a node's embedding before its neighbourhoods are pooled."""
    return nn.Sequential(
        nn.Linear(channels, channels),
        FeatureDropout(dropout),
        nn.ReLU(),
        *dense_layer(channels, dropout, layer_norm),
    )


def overlap_block(
    in_channels: int, channels: int, dropout: float, layer_norm: bool, tail_act: bool
) -> nn.Sequential:
    """f: of a pooled neighbourhood, or of its size. Ends in a ReLU with `tail_act`."""
    return nn.Sequential(
        nn.Linear(in_channels, channels),
        FeatureDropout(dropout),
        nn.ReLU(),
        *dense_layer(channels, dropout, layer_norm),
        *([] if tail_act else [nn.Linear(channels, channels)]),
    )


def product_block(channels: int, dropout: float, layer_norm: bool, tail_act: bool) -> nn.Sequential:
    """g: of the product of two embeddings. Ends in a ReLU with `tail_act`."""
    return nn.Sequential(
        *dense_layer(channels, dropout, layer_norm),
        *([] if tail_act else [nn.Linear(channels, channels)]),
    )


def score_block(channels: int, dropout: float, layer_norm: bool, two_layer: bool) -> nn.Sequential:
    """o: from the sum of the branches to one logit."""
    return nn.Sequential(
        *dense_layer(channels, dropout, layer_norm),
        *(dense_layer(channels, dropout, layer_norm) if two_layer else []),
        nn.Linear(channels, 1),
    )


def chance_block(channels: int) -> nn.Sequential:
    """The learned prior of a completed link, as a logit: Linear, ReLU, Linear."""
    return nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 1))


def dense_layer(channels: int, dropout: float, layer_norm: bool) -> list[nn.Module]:
    """Linear, layer norm, dropout, ReLU."""
    norm = [nn.LayerNorm(channels)] if layer_norm else []
    return [nn.Linear(channels, channels), *norm, FeatureDropout(dropout), nn.ReLU()]


def reset(module: nn.Module) -> None:
    """Start every layer below a module anew."""
    for part in module.modules():
        if part is not module and hasattr(part, "reset_parameters"):
            part.reset_parameters()
