"""Protocols of link prediction: which links are held out, and which pairs stand against them."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import RandomLinkSplit
from torch_geometric.utils import to_undirected

from gnnzoo.data.dataset import GraphDataset
from gnnzoo.data.link_checks import check_links
from gnnzoo.data.link_splits import check_shares, draw_parts, generator_seed, undirected_links
from gnnzoo.data.links import LinkParts, LinkSplit, LinkTask, links_sha256
from gnnzoo.data.negatives import distinct_non_links
from gnnzoo.data.weighted_links import ProtocolTask, WeightedSplit, joined_edges, weights_of


@dataclass(frozen=True)
class RandomLinks:
    """The random split that NCN publishes Planetoid numbers for: 70 / 10 / 20 % of the links.

    A pool as large as the test part is drawn beside it; its first part validates, in the ratio
    ``val`` to ``test``, and the rest of it goes back to training. Validation stands against as many
    negatives as the pool has links, the test against as many as it has itself: different pairs that
    are no link of the whole graph. Directed graphs are made undirected first, self-loops dropped.

    Paper: "Neural Common Neighbor with Completion for Link Prediction" (Wang, Yang and Zhang, ICLR
    2024), https://arxiv.org/abs/2302.00890, setting of its released code.
    Differs from it: negatives are drawn by number instead of from a matrix of all pairs.

    Args:
        val: Share of the links to validate on, at most ``test``.
        test: Share of the links to test on.
        val_edges_at_test: Whether the test passes messages along validation links too.
        split: "by_seed" (the run's seed), "fixed" (generator seed 0) or a generator seed.
        metric: Metric to select on.

    Raises:
        ValueError: If the shares are out of range or leave a part without links.
    """

    val: float = 0.1
    test: float = 0.2
    val_edges_at_test: bool = False
    split: str | int = "by_seed"
    metric: str = "hits@100"

    def __call__(self, dataset: GraphDataset, seed: int) -> LinkTask:
        """Split ``dataset``; the run's ``seed`` counts with ``split="by_seed"`` only."""
        number = generator_seed(self.split, seed)
        generator = torch.Generator().manual_seed(number)
        links = undirected_links(dataset)
        train, val, test, num_pool = draw_parts(links, self.val, self.test, generator)
        num_negatives = (num_pool, test.size(1))
        num_nodes = dataset.data.num_nodes
        negatives = distinct_non_links(links, num_nodes, sum(num_negatives), generator)
        val_negatives, test_negatives = negatives.split(num_negatives, dim=1)
        parts = LinkParts(train, LinkSplit(val, val_negatives), LinkSplit(test, test_negatives))
        return link_task(dataset, parts, number, self.metric, self.val_edges_at_test)


@dataclass(frozen=True)
class PyGRandomLinks:
    """PyG's ``RandomLinkSplit``: the test passes messages along validation links too.

    Args:
        val: Share of the links to validate on.
        test: Share of the links to test on.
        num_negatives: Negatives per positive of the part.
        val_edges_at_test: As in PyG; False keeps validation links out of the test's messages.
        split: "by_seed" (the run's seed), "fixed" (seed 0) or a seed.
        metric: Metric to select on.

    Raises:
        ValueError: If the shares are out of range or leave a part without links.
    """

    val: float = 0.1
    test: float = 0.2
    num_negatives: float = 1.0
    val_edges_at_test: bool = True
    split: str | int = "by_seed"
    metric: str = "hits@100"

    def __call__(self, dataset: GraphDataset, seed: int) -> LinkTask:
        """Split ``dataset``; the run's ``seed`` counts with ``split="by_seed"`` only."""
        check_shares(self.val, self.test)
        number = generator_seed(self.split, seed)
        links = undirected_links(dataset)
        both = torch.cat([links, links.flip(0)], dim=1)
        split = RandomLinkSplit(
            num_val=self.val,
            num_test=self.test,
            is_undirected=True,
            neg_sampling_ratio=self.num_negatives,
            add_negative_train_samples=False,
        )
        with _global_seed(number):
            train, val, test = split(Data(edge_index=both, num_nodes=dataset.data.num_nodes))
        parts = LinkParts(train.edge_label_index, _labelled(val), _labelled(test))
        return link_task(dataset, parts, number, self.metric, self.val_edges_at_test)


@dataclass(frozen=True)
class NamedLinks:
    """A split of links that was published with the data set.

    Args:
        links: Name of the published split, a key of ``dataset.links``.
        val_edges_at_test: Whether the test passes messages along validation links too.
        metric: Metric to select on.

    Raises:
        ValueError: If the data set has no such split.
    """

    links: str = "official"
    val_edges_at_test: bool = False
    metric: str = "hits@50"

    def __call__(self, dataset: GraphDataset, seed: int) -> LinkTask:
        """Split ``dataset``; the run's ``seed`` does not count."""
        if self.links not in dataset.links:
            known = f"its splits: {', '.join(dataset.links)}" if dataset.links else "it has none"
            raise ValueError(
                f"{dataset.name} has no split of links named {self.links!r} ({known}); "
                "protocol=planetoid_links draws one"
            )
        parts = dataset.links[self.links]()
        return link_task(dataset, parts, 0, self.metric, self.val_edges_at_test, published=True)


def link_task(
    dataset: GraphDataset,
    parts: LinkParts,
    number: int,
    metric: str,
    val_edges_at_test: bool = False,
    published: bool = False,
) -> LinkTask:
    """Join a split with the data set it is of, and check it against leakage.

    Weights of edges stay with the links of each message graph.
    """
    num_nodes = dataset.data.num_nodes
    if dataset.data.get("edge_attr") is not None:
        warnings.warn("edge_attr is not used when links are predicted", stacklevel=3)
    data = Data(num_nodes=num_nodes)
    if dataset.data.x is not None:
        data.x = dataset.data.x
    edge_index = parts.edge_index
    if edge_index is None:
        edge_index = to_undirected(parts.train, num_nodes=num_nodes)
    data.edge_index = edge_index
    weight = weights_of(dataset.data, edge_index)
    if weight is not None:
        data.edge_weight = weight
    test = parts.test
    if val_edges_at_test:
        seen = _with_links(dataset.data, edge_index, weight, parts)
        test = WeightedSplit(test.positives, test.negatives, *seen)
    task = ProtocolTask(
        data=data,
        train_links=parts.train,
        val=parts.val,
        test=test,
        split_number=number,
        split_sha256=links_sha256(num_nodes, parts.train, parts.val, test),
        metric=metric,
        num_test_negatives=test.negatives.size(-1),
    )
    check_links(task, published)
    return task


def _with_links(
    data: Data, edge_index: Tensor, weight: Tensor | None, parts: LinkParts
) -> tuple[Tensor, Tensor | None]:
    """Message edges of training and validation links, and their weights if there are some."""
    links, num_nodes = parts.val.positives, data.num_nodes
    if weight is None:
        return to_undirected(torch.cat([edge_index, links], dim=1), num_nodes=num_nodes), None
    own = getattr(parts, "val_weight", None)
    own = weights_of(data, links) if own is None else own
    return joined_edges(edge_index, weight, links, own, num_nodes)


def _labelled(data: Data) -> LinkSplit:
    links, label = data.edge_label_index, data.edge_label
    return LinkSplit(links[:, label == 1], links[:, label == 0])


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    """Seed what PyG draws from, and put it back as it was."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
