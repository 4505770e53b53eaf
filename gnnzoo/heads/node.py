"""Node classification: the encoder's output are the class scores."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gnnzoo.data import NeighborBatches, NodeTask
from gnnzoo.data.neighbors import SubgraphSampler
from gnnzoo.heads.metrics import node_metric
from gnnzoo.models import encode_layerwise, inputs


@dataclass(frozen=True)
class NodeBatch:
    """Rows of a graph and their labels."""

    data: Any  # PyG Data; the encoder reads its fields
    nodes: Tensor  # [num_rows], int64
    labels: Tensor  # [num_rows], int64


class NodeHead(nn.Module):
    """Node classification with cross-entropy, on the whole graph or in mini-batches.

    Validation and test see the whole graph; of models that read no edges, the rows that are scored.

    Args:
        task: Graph, masks and labels, test labels hidden.
        metrics: Further metrics to record beside the protocol's.
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        batching: How training cuts the graph into mini-batches; None trains on the whole graph.

    Shapes:
        h, the encoder's output: ``[num_nodes, num_classes]``.
    """

    def __init__(
        self,
        task: NodeTask,
        metrics: Iterable[str] = (),
        label_smoothing: float = 0.0,
        batching: NeighborBatches | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        if isinstance(batching, Mapping):
            raise ValueError(
                f"head.batching={dict(batching)} does not say what makes the batches; "
                "batching=neighbors does"
            )
        self.num_classes = task.num_classes
        self.label_smoothing = label_smoothing
        self.metrics = {name: node_metric(name) for name in dict.fromkeys([task.metric, *metrics])}
        self._batches = {
            split: self._batch(task.data, task.data[f"{split}_mask"]) for split in ("train", "val")
        }
        self._data = task.data
        self.batching = batching
        if batching is not None:
            self._sampler = SubgraphSampler(task.data, batching.num_neighbors, task.transforms)
        self._test_nodes = task.data.test_mask.nonzero().squeeze(1)

    @staticmethod
    def _batch(data: Any, mask: Tensor) -> NodeBatch:
        nodes = mask.nonzero().squeeze(1)
        return NodeBatch(data, nodes, data.y[nodes])

    @property
    def width(self) -> int:
        """Channels that the encoder has to return."""
        return self.num_classes

    @property
    def modes(self) -> dict[str, str]:
        """Metric names, the selected one first, each with ``"max"``: higher is better."""
        return dict.fromkeys(self.metrics, "max")

    def batches(self, split: str) -> Iterator[NodeBatch]:
        """Batches of ``"train"`` or ``"val"``: one, the whole graph, or samples to train on."""
        whole = self._batches[split]
        if split != "train" or self.batching is None:
            yield whole
            return
        for part, seeds in self.batching.epoch(self._sampler, whole.nodes):
            rows = torch.arange(seeds.numel(), device=seeds.device)
            yield NodeBatch(part, rows, self._data.y[seeds])

    def loss(self, h: Tensor, batch: NodeBatch) -> Tensor:
        """Mean cross-entropy over the batch's rows."""
        return cross_entropy(h[batch.nodes], batch.labels, label_smoothing=self.label_smoothing)

    def evaluate(
        self, encoder: nn.Module, splits: Iterable[str] = ("val",)
    ) -> dict[str, dict[str, float]]:
        """Loss and metrics per split; all splits share one pass."""
        batches = {split: self._batches[split] for split in splits}
        h = self._encoded(encoder, torch.cat([batch.nodes for batch in batches.values()]))
        parts = h.split([batch.nodes.numel() for batch in batches.values()])
        scored = zip(batches.items(), parts, strict=True)
        return {split: self._score(part, batch.labels) for (split, batch), part in scored}

    def test(self, encoder: nn.Module, labels: Tensor) -> dict[str, float]:
        """Metrics on the test nodes, whose labels only the caller holds.

        Args:
            encoder: The finished encoder.
            labels: Labels of the test nodes in ascending node order, ``[num_test]``, int64.
        """
        h = self._encoded(encoder, self._test_nodes)
        return self._score(h, labels.to(h.device))

    def _encoded(self, encoder: nn.Module, nodes: Tensor) -> Tensor:
        """What the encoder returns for some nodes in evaluation."""
        training = encoder.training
        encoder.eval()
        with torch.inference_mode():
            if self.batching is None:
                h = encoder(**inputs(encoder, self._data))[nodes]
            elif hasattr(self.batching, "rows"):
                rows = self.batching.rows(self._sampler, nodes)
                h = torch.cat([encoder(**inputs(encoder, part)) for part in rows])
            else:
                h = encode_layerwise(encoder, self._data, self.batching.memory_mib)[nodes]
        encoder.train(training)
        return h

    def _score(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        logits = logits.float()
        scores = {"loss": cross_entropy(logits, labels).item()}
        for name, metric in self.metrics.items():
            scores[name] = metric(logits, labels, self.num_classes).item()
        return scores
