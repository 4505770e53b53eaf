"""Optimisers over named parameter groups."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def parameter_groups(encoder: nn.Module, head: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Named parameter groups of both modules: their own ``param_groups()`` or one group each.

    Raises:
        ValueError: If the groups overlap or miss a parameter.
    """
    groups: dict[str, list[nn.Parameter]] = {}
    for name, module in (("encoder", encoder), ("predictor", head)):
        own = module.param_groups() if hasattr(module, "param_groups") else {}
        own = own or {name: list(module.parameters())}
        listed = [id(parameter) for group in own.values() for parameter in group]
        if sorted(listed) != sorted({id(parameter) for parameter in module.parameters()}):
            raise ValueError(f"{type(module).__name__}.param_groups() is not disjoint and complete")
        groups |= {key: parameters for key, parameters in own.items() if parameters}
    return groups


def make_optimizer(
    name: str,
    groups: Mapping[str, list[nn.Parameter]],
    lr: float,
    weight_decay: float,
    overrides: Mapping[str, Mapping[str, Any]],
) -> torch.optim.Optimizer:
    """An optimiser whose groups may have rates and decays of their own.

    Raises:
        ValueError: If the optimiser, a group or one of its settings is unknown.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {name!r}")
    if unknown := set(overrides) - set(groups):
        raise ValueError(
            f"trainer.groups names {', '.join(sorted(unknown))}; this encoder and head have: "
            f"{', '.join(groups) or 'no parameters'}"
        )
    for group, settings in overrides.items():
        if odd := set(settings) - {"lr", "weight_decay"}:
            raise ValueError(f"trainer.groups.{group} takes lr and weight_decay, got {odd.pop()!r}")
    parts = [
        {"params": parameters, "name": group, **overrides.get(group, {})}
        for group, parameters in groups.items()
    ]
    return OPTIMIZERS[name](parts, lr=lr, weight_decay=weight_decay, fused=True)
