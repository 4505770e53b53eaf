"""What stands for the features of nodes: those of the data set, degrees, ids or an embedding."""

from inspect import signature
from typing import Any

import torch
from torch import nn

from gnnzoo.config import ConfigError
from gnnzoo.data import DegreeFeatures, LaplacianEncoding, OneHotCategories, RandomWalkEncoding
from gnnzoo.models import InputEncoding, NodeEmbedding

KINDS = ("auto", "given", "degree", "ids", "embedding", "onehot")
COMPUTED_ONCE = {"smoothed", "patterns", "maps"}  # fields made of the features as they are


def choose_kind(features: Any, data: Any, encoder_type: Any) -> str:
    """The kind of features an encoder gets; ``auto`` learns an embedding where there are none.

    Args:
        features: The run's settings of features.
        data: PyG ``Data``.
        encoder_type: Class of the encoder; with ``reads_features = False`` it needs none.

    Returns:
        One of ``KINDS`` or "categories": given ones that are embedded.

    Raises:
        ConfigError: If the kind is unknown, or given features are asked for and there are none.
    """
    kind = features.kind
    if kind not in KINDS:
        raise ConfigError(f"features.kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not getattr(encoder_type, "reads_features", True):
        return "given"
    per_node = kind in ("ids", "embedding") or (kind == "auto" and data.x is None)
    if per_node and data.get("ptr") is not None:
        raise ConfigError(
            f"features.kind={kind} would learn a vector for each node, which says nothing of other "
            "graphs; features.kind=degree works with any"
        )
    if kind == "auto":
        kind = "embedding" if data.x is None else "given"
    if kind == "given" and data.x is None:
        raise ConfigError("this graph has no features; features.kind=embedding learns some")
    if kind == "ids" and "num_embeddings" not in signature(encoder_type).parameters:
        raise ConfigError(
            f"features.kind=ids needs an encoder that embeds ids and {encoder_type.__name__} does "
            "not; features.kind=embedding works with all"
        )
    if kind in ("ids", "embedding") and features.sparse == "always":
        raise ConfigError(f"features.sparse=always does not go with features.kind={kind}")
    return _of_categories(kind, features, data, encoder_type)


def _of_categories(kind: str, features: Any, data: Any, encoder_type: Any) -> str:
    """The same where given features may be categories; what is computed once needs numbers."""
    computed = bool(COMPUTED_ONCE & set(signature(encoder_type.forward).parameters))
    if computed and _encodings(features):
        raise ConfigError(
            f"{encoder_type.__name__} reads features that are computed once, which encodings of "
            "position would not be part of; leave features.random_walk_steps and "
            "features.laplacian_vectors at 0"
        )
    if data.get("node_categories") is None:
        if kind == "onehot":
            raise ConfigError("features.kind=onehot is for categories; these features are numbers")
        return kind
    if kind == "given":
        kind = "onehot" if computed else "categories"
    if kind == "categories" and (features.normalize != "none" or features.sparse == "always"):
        raise ConfigError(
            "features.normalize and features.sparse are for numbers, but these are categories, "
            "which are embedded; features.kind=onehot makes numbers of them"
        )
    return kind


def _encodings(features: Any) -> dict[str, int]:
    """Columns of each encoding of position that is asked for."""
    asked = {
        "random_walk_pe": features.random_walk_steps,
        "laplacian_pe": features.laplacian_vectors,
    }
    return {name: columns for name, columns in asked.items() if columns}


def input_transforms(features: Any, kind: str) -> list[Any]:
    """Transforms that come before those of the model."""
    made = {"degree": [DegreeFeatures()], "onehot": [OneHotCategories()]}.get(kind, [])
    if features.random_walk_steps:
        made.append(RandomWalkEncoding(features.random_walk_steps))
    if features.laplacian_vectors:
        made.append(LaplacianEncoding(features.laplacian_vectors))
    return made


def add_ids(data: Any, kind: str) -> Any:
    """Node ids as ``x``, where they or an embedding of them stand for features."""
    if kind in ("ids", "embedding"):
        data = data.clone()
        data.num_nodes = data.num_nodes  # PyG would read it off the features
        data.x = torch.arange(data.num_nodes)
    return data


def num_channels(features: Any, data: Any, kind: str, width: int) -> int:
    """Width that the encoder reads; of ids it is how many there are, of categories `width`."""
    beside = len(_encodings(features)) * features.encoding_channels
    if kind == "embedding":
        return features.embedding_channels + beside
    if kind == "ids":
        return data.num_nodes
    if kind == "categories":
        return width + beside
    return (0 if data.x is None else data.x.size(-1)) + beside


def edge_channels(data: Any, width: int) -> int:
    """Width of the edge features that the encoder reads; embedded categories have `width`."""
    return data.num_edge_features if data.get("edge_categories") is None else width


def embedded(encoder: nn.Module, features: Any, data: Any, kind: str, width: int) -> nn.Module:
    """The encoder, on top of embeddings and encodings where there are some."""
    encodings = _encodings(features)
    edge_categories = data.get("edge_categories")
    if kind == "categories" or edge_categories or encodings:
        encoder = InputEncoding(
            encoder,
            width,
            data.node_categories if kind == "categories" else None,
            edge_categories,
            encodings,
            features.encoding_channels,
        )
    if kind != "embedding":
        return encoder
    return NodeEmbedding(encoder, data.num_nodes, features.embedding_channels)
