"""Activations by name."""

from torch import nn
from torch_geometric.nn.resolver import activation_resolver


def make_activation(act: str | None) -> nn.Module:
    """The activation of a name, as PyG resolves it; the identity for None.

    Raises:
        ValueError: If there is none of that name.
    """
    if act is None:
        return nn.Identity()
    try:
        return activation_resolver(act)
    except ValueError:
        raise ValueError(
            f"act must name an activation of torch.nn, such as relu, elu, gelu or tanh, got {act!r}"
        ) from None
