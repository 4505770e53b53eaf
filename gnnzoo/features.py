"""What stands for the features of nodes: those of the data set, degrees, ids or an embedding."""

from inspect import signature
from typing import Any

import torch
from torch import nn

from gnnzoo.config import ConfigError
from gnnzoo.data import DegreeFeatures
from gnnzoo.models import NodeEmbedding

KINDS = ("auto", "given", "degree", "ids", "embedding")


def choose_kind(features: Any, data: Any, encoder_type: Any) -> str:
    """The kind of features an encoder gets; ``auto`` learns an embedding where there are none.

    Args:
        features: The run's settings of features.
        data: PyG ``Data``.
        encoder_type: Class of the encoder; with ``reads_features = False`` it needs none.

    Raises:
        ConfigError: If the kind is unknown, or given features are asked for and there are none.
    """
    kind = features.kind
    if kind not in KINDS:
        raise ConfigError(f"features.kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not getattr(encoder_type, "reads_features", True):
        return "given"
    if kind == "auto":
        return "embedding" if data.x is None else "given"
    if kind == "given" and data.x is None:
        raise ConfigError("this graph has no features; features.kind=embedding learns some")
    if kind == "ids" and "num_embeddings" not in signature(encoder_type).parameters:
        raise ConfigError(
            f"features.kind=ids needs an encoder that embeds ids and {encoder_type.__name__} does "
            "not; features.kind=embedding works with all"
        )
    if kind in ("ids", "embedding") and features.sparse == "always":
        raise ConfigError(f"features.sparse=always does not go with features.kind={kind}")
    return kind


def edge_transforms(kind: str) -> list[Any]:
    """Transforms that come before those of the model."""
    return [DegreeFeatures()] if kind == "degree" else []


def add_ids(data: Any, kind: str) -> Any:
    """Node ids as ``x``, where they or an embedding of them stand for features."""
    if kind in ("ids", "embedding"):
        data = data.clone()
        data.num_nodes = data.num_nodes  # PyG would read it off the features
        data.x = torch.arange(data.num_nodes)
    return data


def num_channels(features: Any, data: Any, kind: str) -> int:
    """Width that the encoder reads; of ids it is how many there are."""
    if kind == "embedding":
        return features.embedding_channels
    if kind == "ids":
        return data.num_nodes
    return 0 if data.x is None else data.x.size(-1)


def embedded(encoder: nn.Module, features: Any, data: Any, kind: str) -> nn.Module:
    """The encoder, on top of a learned embedding where that is the kind."""
    if kind != "embedding":
        return encoder
    return NodeEmbedding(encoder, data.num_nodes, features.embedding_channels)
