"""Link prediction: pairs of nodes that may be linked, scored by a predictor on any encoder."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from gnnzoo.data import LinkSplit, LinkTask, UniformNegatives
from gnnzoo.data.links import link_keys
from gnnzoo.data.weighted_links import ProtocolTask, WeightedSplit
from gnnzoo.heads.link_metrics import least_negatives, link_metric
from gnnzoo.heads.message_graph import MessageGraph
from gnnzoo.models import inputs
from gnnzoo.models.trained import load_part
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
            "copies", as in its released code: a link that is listed several times stays in sight
            until all its copies are in the batch.
        negatives: Draws training negatives, see `gnnzoo.data.negatives`; uniform non-links of the
            training graph if None.
        eval_batch_size: Most pairs scored at a time in validation and test.
        metrics: Further metrics to record beside the protocol's.
        path: ``weights.safetensors`` of a finished run whose predictor this one starts as; NCNC may
            start from NCN.

    Shapes:
        h, the encoder's output: ``[num_nodes, channels]``.

    Raises:
        ValueError: If a setting is out of range or does not go with the task, validation or test
            has too few negatives for a metric, or `path` has no weights that fit.
    """

    def __init__(
        self,
        task: LinkTask,
        predictor: nn.Module,
        batch_size: int = 1024,
        target_link_removal: bool | str = True,
        negatives: Callable[[Graph, int], Tensor] | None = None,
        eval_batch_size: int = 65536,
        metrics: Iterable[str] = (),
        path: str | None = None,
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
        if target_link_removal not in (True, False, "copies"):
            raise ValueError(
                f"target_link_removal must be true, false or copies, got {target_link_removal!r}"
            )
        fixed = [t for t in task.transforms if getattr(t, "keeps_edges_in_features", False)]
        if fixed and target_link_removal:
            raise ValueError(
                f"{type(fixed[0]).__name__} makes features of edges that stay in them when links "
                "are taken away; head.target_link_removal=false"
            )
        if path is not None:
            load_part(predictor, path, "head.predictor", predictor.new_parts)
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
        keys = link_keys(self._links, self._graph.graph.num_nodes)
        self._link, self._num_copies = keys.unique(return_inverse=True, return_counts=True)[1:]
        self._check_negatives("validation", self._val.negatives.size(-1))
        if isinstance(task, ProtocolTask):
            self._check_negatives("the test", task.num_test_negatives)
        if task.data.get("edge_weight") is not None and not self._weighs_edges():
            warnings.warn(
                f"{type(predictor).__name__} counts every edge once; edge_weight is not used",
                stacklevel=2,
            )

    def _check_negatives(self, part: str, count: int) -> None:
        for name in self.metrics:
            if least_negatives(name) > count:
                raise ValueError(
                    f"{name} needs at least {least_negatives(name)} negatives, {part} has "
                    f"{count}; protocol.metric=auc works with any number"
                )

    def _weighs_edges(self) -> bool:
        """Whether weights of edges count: encoders read them, and so do some heuristics."""
        reads = getattr(self.predictor, "reads_edge_weight", False)
        return reads or self.predictor.in_channels is not None

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
        self.predictor.start_epoch()
        order = torch.randperm(self._links.size(1), device=self._links.device)
        negatives = self._drawn()
        for rows in order.split(self.batch_size):
            if rows.numel() * 2 < self.batch_size:
                return
            positives = self._links[:, rows]
            seen = self._graph
            if self.target_link_removal:
                seen = seen.without(positives[:, self._gone(rows)])
            pairs = torch.cat([positives, negatives[:, rows]], dim=1)
            yield LinkBatch(seen.data, seen.graph, pairs, rows.numel())

    def _gone(self, rows: Tensor) -> Tensor | slice:
        """Which of some training links are taken out of sight."""
        if self.target_link_removal != "copies":
            return slice(None)
        here = torch.bincount(self._link[rows], minlength=self._num_copies.numel())
        return (here == self._num_copies)[self._link[rows]]

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
            weight = getattr(split, "edge_weight", None)
            seen = self._graph.with_edges(split.edge_index, weight)
        positives, negatives = self._scores_of(encoder, seen, split)
        scores = {"loss": _loss(positives, negatives).item()}
        return scores | {
            name: metric(positives, negatives) for name, metric in self.metrics.items()
        }

    def _scores_of(
        self, encoder: nn.Module, seen: MessageGraph, split: LinkSplit
    ) -> tuple[Tensor, Tensor]:
        models = (encoder, self.predictor)
        training = [model.training for model in models]
        try:
            for model in models:
                model.eval()
            with torch.inference_mode():
                h = encoder(**inputs(encoder, seen.data))
                score = self.predictor.scorer(h, seen.graph, **self._weights_of(seen))
                parts = _parts(split, self.eval_batch_size)
                scores = torch.cat([score(part).float() for part in parts])
        finally:
            for model, was in zip(models, training, strict=True):
                model.train(was)
        positives, negatives = scores.tensor_split([split.positives.size(1)])
        return positives, negatives.view(split.negatives.shape[1:])

    def _weights_of(self, seen: MessageGraph) -> dict[str, Tensor]:
        weight = seen.data.get("edge_weight")
        reads = getattr(self.predictor, "reads_edge_weight", False)
        return {"edge_weight": weight} if reads and weight is not None else {}


def _parts(split: LinkSplit, size: int) -> Iterator[Tensor]:
    """Positives and then negatives, some at a time: never all of them in one more tensor."""
    positives, negatives = split.positives, split.negatives.flatten(1)
    num_positives = positives.size(1)
    for start in range(0, num_positives + negatives.size(1), size):
        first = positives[:, start : start + size]
        begin = max(start - num_positives, 0)
        rest = negatives[:, begin : max(start + size - num_positives, 0)]
        yield torch.cat([first, rest], dim=1)


def _moved(split: LinkSplit, device: torch.device) -> WeightedSplit:
    fields = (split.positives, split.negatives, split.edge_index)
    fields += (getattr(split, "edge_weight", None),)
    return WeightedSplit(*(None if field is None else field.to(device) for field in fields))


def _loss(positives: Tensor, negatives: Tensor) -> Tensor:
    return -logsigmoid(positives).mean() - logsigmoid(-negatives).mean()
