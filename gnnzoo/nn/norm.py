"""Norms by name."""

from torch import nn

from gnnzoo.nn.checks import check_choice

NORMS = (None, "batch_norm", "layer_norm")


def make_norm(norm: str | None, channels: int) -> nn.Module:
    """The norm of a name over `channels`; the identity for None.

    Raises:
        ValueError: If the name is unknown.
    """
    check_choice("norm", norm, NORMS)
    if norm is None:
        return nn.Identity()
    return nn.BatchNorm1d(channels) if norm == "batch_norm" else nn.LayerNorm(channels)


def reset(*modules: nn.Module | None) -> None:
    """Reset those that have something to reset."""
    for module in modules:
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
