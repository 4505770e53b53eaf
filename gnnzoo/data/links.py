"""Tasks of link prediction: their parts, and what identifies a split."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform


@dataclass(frozen=True)
class LinkSplit:
    """Pairs to score in validation or in test.

    Attributes:
        positives: ``[2, num_positives]``, int64: true links, each once.
        negatives: Pairs that are no links: ``[2, num_negatives]``, shared by all positives, or
            ``[2, num_positives, num_own]``, some of its own for each positive.
        edge_index: ``[2, num_edges]``, both directions: edges to pass messages along when this part
            is scored; None for those of training.
    """

    positives: Tensor
    negatives: Tensor
    edge_index: Tensor | None = None


@dataclass(frozen=True)
class LinkParts:
    """A split of links as it was published or drawn, before it is joined with a data set.

    Attributes:
        train: ``[2, num_train]``, int64: links to train on.
        val: Pairs to validate on.
        test: Pairs to test on.
        edge_index: Message edges of training, both directions; None for those of ``train``.
    """

    train: Tensor
    val: LinkSplit
    test: LinkSplit
    edge_index: Tensor | None = None


@dataclass(frozen=True)
class LinkTask:
    """One split of a graph for link prediction.

    Attributes:
        data: ``x`` where nodes have features, ``edge_index`` (the message graph of training, both
            directions) and ``num_nodes``.
        train_links: ``[2, num_train]``, int64: links to train on, each once in one direction. Only
            where a publisher lists a link several times (ogbl-collab) it is here as often.
        val: Pairs to validate on.
        test: Pairs to test on.
        split_number: Which fixed split, or the seed that drew a random one.
        split_sha256: Checksum of all pairs.
        metric: Metric to select on and to report.
        transforms: What the model had computed on ``data``. A head that takes edges away computes
            anew what ``reads_edges``.
    """

    data: Data
    train_links: Tensor
    val: LinkSplit
    test: LinkSplit
    split_number: int
    split_sha256: str
    metric: str
    transforms: tuple[BaseTransform, ...] = ()

    def without_test(self) -> "LinkTask":
        """The same task with nothing in its test part, for all who train."""
        pairs, others = self.test.positives, self.test.negatives
        empty = LinkSplit(pairs.new_empty(2, 0), others.new_empty(2, 0, *others.shape[2:]))
        return replace(self, test=empty)


def link_keys(pairs: Tensor, num_nodes: int) -> Tensor:
    """One number for each pair, the same for both of its directions.

    Shapes:
        pairs: ``[2, ...]``, integer.
        returns: ``[...]``, int64.
    """
    low, high = torch.minimum(pairs[0], pairs[1]), torch.maximum(pairs[0], pairs[1])
    return low.long() * num_nodes + high


def links_sha256(num_nodes: int, train: Tensor, val: LinkSplit, test: LinkSplit) -> str:
    """Checksum that identifies a split of links: the number of nodes and all pairs, in order."""
    digest = hashlib.sha256(str(num_nodes).encode())
    for pairs in (train, val.positives, val.negatives, test.positives, test.negatives):
        digest.update(str(list(pairs.shape)).encode())
        digest.update(np.ascontiguousarray(pairs.long().cpu().numpy()))
    return digest.hexdigest()
