"""Link prediction: pairs of nodes that may be linked, scored by a predictor on any encoder."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from gnnzoo.data import LinkSplit, LinkTask, UniformNegatives
from gnnzoo.heads.link_metrics import least_negatives, link_metric
from gnnzoo.heads.message_graph import MessageGraph
from gnnzoo.models import inputs
from gnnzoo.nn.checks import check_count
from gnnzoo.ops import Graph


@dataclass(frozen=True)
class LinkBatch:
    """Pairs to score, and the graph that encoder and predictor may see while they do."""

    data: Any  # PyG Data; the encoder reads its fields
    graph: Graph
    pairs: Tensor  # [2, num_pairs], int64, positives first
    num_positives: int


class LinkHead(nn.Module):
    r"""Link prediction with one negative per training link.

    .. math:: -\frac{1}{|P|} \sum_{p \in P} \ln \sigma(z_p) -
        \frac{1}{|Q|} \sum_{q \in Q} \ln \sigma(-z_q)

    Every epoch draws new negatives Q and goes through the training links in random order. A last
    batch of less than half the size is left out. Random numbers come from torch's global generator.

    Args:
        task: Training graph and links; the test links are hidden.
        predictor: Scores pairs, called with ``(h, graph, pairs)``; see `gnnzoo.nn`.
        batch_size: Training links per step.
        target_link_removal: Whether encoder and predictor see the training graph without the links
            of the batch (Wang, Yang and Zhang, ICLR 2024, https://arxiv.org/abs/2302.00890).
        negatives: Draws training negatives, see `gnnzoo.data.negatives`; uniform non-links of the
            training graph if None.
        eval_batch_size: Most pairs scored at a time in validation and test.
        metrics: Further metrics to record beside the protocol's.

    Shapes:
        h, the encoder's output: ``[num_nodes, channels]``.

    Raises:
        ValueError: If a setting is out of range, or validation has too few negatives for a metric.
    """

    def __init__(
        self,
        task: LinkTask,
        predictor: nn.Module,
        batch_size: int = 1024,
        target_link_removal: bool = True,
        negatives: Callable[[Graph, int], Tensor] | None = None,
        eval_batch_size: int = 65536,
        metrics: Iterable[str] = (),
    ) -> None:
        super().__init__()
        check_count("batch_size", batch_size, 1)
        check_count("eval_batch_size", eval_batch_size, 1)
        if not isinstance(task, LinkTask):
            raise ValueError("this head predicts links, but the protocol splits nodes; head=node")
        if batch_size > task.train_links.size(1):
            raise ValueError(
                f"head.batch_size={batch_size} is more than the {task.train_links.size(1)} "
                "training links; the largest that works is that number"
            )
        self.predictor = predictor
        self.batch_size = batch_size
        self.target_link_removal = target_link_removal
        self.eval_batch_size = eval_batch_size
        self.metrics = {name: link_metric(name) for name in dict.fromkeys([task.metric, *metrics])}
        self._sample = UniformNegatives() if negatives is None else negatives
        device = task.data.edge_index.device
        self._graph = MessageGraph(task.data, task.transforms)
        self._links = task.train_links.to(device)
        self._val = _moved(task.val, device)
        for name in self.metrics:
            if least_negatives(name) > self._val.negatives.size(-1):
                raise ValueError(
                    f"{name} needs at least {least_negatives(name)} negatives, validation has "
                    f"{self._val.negatives.size(-1)}; protocol.metric=auc works with any number"
                )

    @property
    def width(self) -> int:
        """Channels that the encoder has to return."""
        return self.predictor.in_channels or 0

    @property
    def modes(self) -> dict[str, str]:
        """Metric names, the selected one first, each with ``"max"``: higher is better."""
        return dict.fromkeys(self.metrics, "max")

    def batches(self, split: str) -> Iterator[LinkBatch]:
        """Batches of ``"train"``: links in random order, as many negatives, the graph to see."""
        if split != "train":
            raise KeyError(split)
        order = torch.randperm(self._links.size(1), device=self._links.device)
        negatives = self._drawn()
        for rows in order.split(self.batch_size):
            if rows.numel() * 2 < self.batch_size:
                return
            positives = self._links[:, rows]
            seen = self._graph.without(positives) if self.target_link_removal else self._graph
            pairs = torch.cat([positives, negatives[:, rows]], dim=1)
            yield LinkBatch(seen.data, seen.graph, pairs, rows.numel())

    def whole_batch(self) -> LinkBatch:
        """All training links and as many negatives, drawn now, on the whole training graph."""
        pairs = torch.cat([self._links, self._drawn()], dim=1)
        return LinkBatch(self._graph.data, self._graph.graph, pairs, self._links.size(1))

    def _drawn(self) -> Tensor:
        extra = {"sources": self._links[0]} if getattr(self._sample, "keeps_source", False) else {}
        return self._sample(self._graph.graph, self._links.size(1), **extra)

    def loss(self, h: Tensor, batch: LinkBatch) -> Tensor:
        """Mean negative log-likelihood of positives plus that of negatives."""
        scores = self.predictor(h, batch.graph, batch.pairs)
        return _loss(*scores.tensor_split([batch.num_positives]))

    def evaluate(
        self, encoder: nn.Module, splits: Iterable[str] = ("val",)
    ) -> dict[str, dict[str, float]]:
        """Loss and metrics of the validation links; training links are not scored."""
        return {"val": self._score(encoder, self._val)} if "val" in splits else {}

    def test(self, encoder: nn.Module, links: LinkSplit) -> dict[str, float]:
        """Metrics on the test links, which only the caller holds."""
        return self._score(encoder, _moved(links, self._links.device))

    def _score(self, encoder: nn.Module, split: LinkSplit) -> dict[str, float]:
        seen = self._graph
        if split.edge_index is not None:
            seen = self._graph.with_edges(split.edge_index)
        positives, negatives = self._scores_of(encoder, seen, split)
        scores = {"loss": _loss(positives, negatives).item()}
        return scores | {
            name: metric(positives, negatives) for name, metric in self.metrics.items()
        }

    def _scores_of(
        self, encoder: nn.Module, seen: MessageGraph, split: LinkSplit
    ) -> tuple[Tensor, Tensor]:
        pairs = torch.cat([split.positives, split.negatives.flatten(1)], dim=1)
        models = (encoder, self.predictor)
        training = [model.training for model in models]
        try:
            for model in models:
                model.eval()
            with torch.inference_mode():
                h = encoder(**inputs(encoder, seen.data))
                score = self.predictor.scorer(h, seen.graph)
                parts = pairs.split(self.eval_batch_size, dim=1)
                scores = torch.cat([score(part).float() for part in parts])
        finally:
            for model, was in zip(models, training, strict=True):
                model.train(was)
        positives, negatives = scores.tensor_split([split.positives.size(1)])
        return positives, negatives.view(split.negatives.shape[1:])


def _moved(split: LinkSplit, device: torch.device) -> LinkSplit:
    edges = split.edge_index
    return LinkSplit(
        split.positives.to(device),
        split.negatives.to(device),
        None if edges is None else edges.to(device),
    )


def _loss(positives: Tensor, negatives: Tensor) -> Tensor:
    return -logsigmoid(positives).mean() - logsigmoid(-negatives).mean()
