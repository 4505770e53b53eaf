"""Build the parts of a run from its settings."""

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from gnnzoo.config import Composed, ConfigError, build, resolve_target
from gnnzoo.data import (
    GraphDataset,
    GraphTask,
    LinkTask,
    NodeTask,
    RowNormalizeFeatures,
    SparsifyFeatures,
)
from gnnzoo.features import (
    add_ids,
    choose_kind,
    edge_channels,
    embedded,
    input_transforms,
    num_channels,
)


@dataclass
class Parts:
    """The built parts of one run."""

    dataset: GraphDataset
    task: NodeTask | LinkTask | GraphTask
    encoder: nn.Module
    head: nn.Module
    trainer: Any


def build_parts(composed: Composed, device: torch.device) -> Parts:
    """Data set, split, transforms, encoder, head and trainer, as the settings say."""
    settings, trusted = composed.settings, composed.trusted()
    dataset = build(settings.dataset, trusted)
    task = build(settings.protocol, trusted)(dataset, settings.seed)
    torch.manual_seed(settings.seed)
    model = OmegaConf.to_container(settings.model, resolve=True)
    transforms = [build(node, trusted) for node in model.pop("transform", None) or []]
    encoder_type = resolve_target(model["_target_"], trusted)
    kind = choose_kind(settings.features, task.data, encoder_type)
    transforms = input_transforms(settings.features, kind) + transforms
    data = add_ids(task.data, kind)
    data = prepare(data, transforms, settings.features, encoder_type, device)
    task = replace(task, data=data, transforms=tuple(transforms))
    head = build(settings.head, trusted, task=task.without_test()).to(device)
    if hasattr(head, "check"):
        head.check(encoder_type)
    elif getattr(encoder_type, "returns_graphs", False):
        raise ConfigError(
            f"{encoder_type.__name__} embeds whole graphs, not nodes; head=graph goes with it"
        )
    if head.width == 0 and getattr(encoder_type, "reads_features", True):
        raise ConfigError(
            "head.predictor reads no embeddings; model=none trainer=none goes with it"
        )
    samples = getattr(head, "batching", None) is not None
    if samples and getattr(encoder_type, "fits_one_graph", False):
        raise ConfigError(
            f"{encoder_type.__name__} has weights for each node of one graph and cannot be trained "
            "on sampled parts of it; batching=full trains on the whole graph"
        )
    known = {name: getattr(data, name) for name in getattr(encoder_type, "needs", ())}
    if "num_edge_features" in known:
        known["num_edge_features"] = edge_channels(data, head.width)
    known["in_channels"] = num_channels(settings.features, data, kind, head.width)
    known["out_channels"] = head.width
    trainer, make = build(settings.trainer, trusted), partial(build, model, trusted)
    if hasattr(trainer, "plan"):  # it decides on the widths of layers, and adds to them
        encoder = trainer.plan(encoder_type, model, make, known, task.without_test())
    else:
        encoder = make(**known)
    encoder = embedded(encoder, settings.features, data, kind, head.width).to(device)
    if samples:
        _warn_of_short_samples(encoder, len(head.batching.num_neighbors))
    return Parts(dataset, task, encoder, head, trainer)


def _warn_of_short_samples(encoder: nn.Module, num_hops: int) -> None:
    """Say so where layers look at neighbours that no sample holds."""
    layers = getattr(encoder, "layers", [])
    hops = sum(getattr(layer, "num_hops", getattr(layer, "reach", 1) or 0) for layer in layers)
    if hops > num_hops:
        warnings.warn(
            f"head.batching.num_neighbors samples {num_hops} hops, but {type(encoder).__name__} "
            f"looks {hops} far; give one number for each",
            stacklevel=3,
        )


def prepare(
    data: Any, transforms: list[Any], features: Any, encoder_type: Any, device: torch.device
) -> Any:
    """Apply feature settings and the model's transforms; sparse features are always made last."""
    if features.normalize not in ("none", "row"):
        raise ConfigError(f"features.normalize must be none or row, got {features.normalize!r}")
    if features.sparse not in ("auto", "always", "never"):
        raise ConfigError(f"features.sparse must be auto, always or never, got {features.sparse!r}")
    if features.normalize == "row":
        data = RowNormalizeFeatures()(data)
    for transform in transforms:
        data = transform(data)
    reads_sparse = getattr(encoder_type, "reads_sparse_features", False)
    if features.sparse == "always" and not reads_sparse:
        raise ConfigError(
            f"{encoder_type.__name__} does not read sparse features; features.sparse=auto"
        )
    if features.sparse == "always":
        data = SparsifyFeatures(max_density=1.0)(data)
    elif features.sparse == "auto" and reads_sparse and device.type == "cpu" and "ptr" not in data:
        data = SparsifyFeatures()(data)
    return data.to(device)


def choose_device(name: str) -> torch.device:
    """The device of a ``device`` setting; ``auto`` takes CUDA where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device must be auto, cpu or cuda, got {name!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device={name}, but torch sees no CUDA device; device=cpu works")
    return device
