"""Tasks on whole graphs: classes, labels or values of graphs whose nodes any encoder embeds."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gnnzoo.data import GraphTask, UnionBatches
from gnnzoo.heads.graph_metrics import graph_metric
from gnnzoo.models import inputs
from gnnzoo.nn import GraphPooling
from gnnzoo.nn.activation import make_activation
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.nn.graph_pooling import POOLINGS

LOSSES = (None, "mse", "l1")
SCALINGS = ("none", "standard")


@dataclass(frozen=True)
class GraphBatch:
    """Some graphs as one, and their targets."""

    data: Any  # PyG Data; the encoder reads its fields
    targets: Tensor  # [num_graphs] or [num_graphs, num_tasks]


class GraphHead(nn.Module):
    r"""Pool the nodes of each graph and map the result to scores.

    .. math:: z_g = \mathrm{MLP}(\mathrm{pool}_{i \in g} h_i)

    The loss is cross-entropy for classes, binary cross-entropy over the known labels, and mean
    squared or absolute error over the known values. An epoch goes through all training graphs in
    random order, in batches of nearly equal size, with random numbers from torch's global
    generator. Validation and test score runs of graphs in the order of the data set.

    Args:
        task: Graphs and targets, those of the test graphs hidden.
        hidden_channels: Width of the node embeddings.
        pooling: ``sum``, ``mean``, ``max`` or ``attention``; see `gnnzoo.nn.GraphPooling`.
        num_layers: Linear layers of the MLP.
        dropout: Share dropped before every layer of the MLP but the first.
        act: Name of the activation between them.
        shrink: Whether each layer is half as wide as the one before.
        loss: Of values ``mse`` or ``l1``; None: ``mse``, or ``l1`` where the metric is ``mae``.
        target_scaling: Of values, ``none``, or ``standard``: learn them with the mean and deviation
            of the training part taken out. Metrics are in original units either way.
        batch_size: Most training graphs per step.
        eval_batch_rows: Most nodes and edges scored at a time in validation and test; one graph of
            more is scored by itself.
        metrics: Further metrics to record beside the protocol's.

    Shapes:
        h, the encoder's output: ``[num_nodes, hidden_channels]``, or ``[num_graphs,
        hidden_channels]`` of an encoder that pools itself (``returns_graphs``).

    Raises:
        ValueError: If a setting is out of range or does not go with the targets.
    """

    def __init__(
        self,
        task: GraphTask,
        hidden_channels: int = 64,
        pooling: str = "mean",
        num_layers: int = 2,
        dropout: float = 0.0,
        act: str = "relu",
        shrink: bool = False,
        loss: str | None = None,
        target_scaling: str = "none",
        batch_size: int = 32,
        eval_batch_rows: int = 100_000,
        metrics: Iterable[str] = (),
    ) -> None:
        super().__init__()
        if not isinstance(task, GraphTask):
            raise ValueError(
                "this head predicts of whole graphs, but the protocol splits nodes or links of "
                "one; head=node, or a data set of many graphs such as dataset=digits_grid"
            )
        check_count("hidden_channels", hidden_channels, 1)
        check_choice("pooling", pooling, POOLINGS)
        check_count("num_layers", num_layers, 1)
        check_probability("dropout", dropout)
        check_choice("loss", loss, LOSSES)
        check_choice("target_scaling", target_scaling, SCALINGS)
        check_count("batch_size", batch_size, 1)
        check_count("eval_batch_rows", eval_batch_rows, 1)
        if task.target != "values" and (loss is not None or target_scaling != "none"):
            raise ValueError(f"head.loss and head.target_scaling are for values, not {task.target}")
        self.target, self.batch_size, self.eval_batch_rows = (
            task.target,
            batch_size,
            eval_batch_rows,
        )
        self.l1 = loss == "l1" or (loss is None and task.metric == "mae")
        names = dict.fromkeys([task.metric, *metrics])
        self.metrics = {name: graph_metric(name, task.target) for name in names}
        self.width = hidden_channels
        self.pooling = GraphPooling(pooling, hidden_channels)
        self.mlp = _mlp(hidden_channels, task.num_outputs, num_layers, dropout, act, shrink)
        device = task.data.edge_index.device
        self._union, self._targets = UnionBatches(task.data), task.data.y
        self._graphs = {"train": task.train.to(device), "val": task.val.to(device)}
        self._test_graphs = task.test_graphs.to(device)
        self._fixed: list[GraphBatch] | None = None  # of validation, the same in every epoch
        shift, scale = self._scaling(target_scaling)
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    def _scaling(self, kind: str) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the training values, per task; 0 and 1 if not asked for."""
        if kind == "none":
            one = torch.ones(1, device=self._targets.device)
            return one - 1, one
        known = self._targets[self._graphs["train"]].double()
        mean = known.nanmean(dim=0)
        spread = (known - mean).square().nanmean(dim=0).sqrt()
        return mean.float(), torch.where(spread > 0, spread, 1.0).float()

    @property
    def modes(self) -> dict[str, str]:
        """Metric names, the selected one first, each with ``"max"`` or ``"min"``."""
        return {name: mode for name, (_, mode) in self.metrics.items()}

    @property
    def step_rows(self) -> int:
        """Nodes and edges of a training step, about."""
        rows = self._union.ptr[-1] + self._union.edge_ptr[-1]
        return int(rows) * self.batch_size // max(self._union.ptr.numel() - 1, 1)

    def check(self, encoder_type: type) -> None:
        """Refuse an encoder that cannot embed graphs it has not seen, and take one that pools.

        Raises:
            ValueError: If its weights belong to the nodes of one graph, or it embeds nothing.
        """
        if not getattr(encoder_type, "reads_features", True):
            raise ValueError(
                f"{encoder_type.__name__} embeds nothing that could be pooled; model=gin does"
            )
        if getattr(encoder_type, "fits_one_graph", False):
            raise ValueError(
                f"{encoder_type.__name__} has weights for each node of one graph and says nothing "
                "of other graphs; model=gin works with head=graph"
            )
        if getattr(encoder_type, "returns_graphs", False):
            self.pooling = None

    def batches(self, split: str) -> Iterator[GraphBatch]:
        """Batches of ``"train"``, in random order, or of ``"val"``, always the same."""
        graphs = self._graphs[split]
        if split == "val":
            if self._fixed is None:
                self._fixed = list(self._in_order(graphs))
            yield from self._fixed
            return
        order = graphs[torch.randperm(graphs.numel(), device=graphs.device)]
        # Nearly equal sizes: no last batch of a single graph, which batch norm would refuse.
        for chosen in order.tensor_split(max(-(-graphs.numel() // self.batch_size), 1)):
            yield GraphBatch(self._union.take(chosen), self._targets[chosen])

    def _in_order(self, graphs: Tensor) -> Iterator[GraphBatch]:
        for chosen in self._union.consecutive(graphs, self.eval_batch_rows):
            yield GraphBatch(self._union.take(chosen), self._targets[chosen])

    def scores(self, h: Tensor, batch: GraphBatch) -> Tensor:
        """``[num_graphs, num_outputs]``: logits, or values on the scale that is learnt."""
        return self.mlp(h if self.pooling is None else self.pooling(h, batch.data.ptr))

    def loss(self, h: Tensor, batch: GraphBatch) -> Tensor:
        """Mean over the known targets of the batch; without any, a zero that has a gradient."""
        return self._loss(self.scores(h, batch), batch.targets)

    def _loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        if self.target == "classes":
            return F.cross_entropy(scores, targets)
        known = ~targets.isnan()
        scores = scores[known]
        if self.target == "labels":
            losses = F.binary_cross_entropy_with_logits(
                scores, targets[known].to(scores.dtype), reduction="none"
            )
        else:
            aims = ((targets - self.shift) / self.scale)[known].to(scores.dtype)
            measure = F.l1_loss if self.l1 else F.mse_loss
            losses = measure(scores, aims, reduction="none")
        return losses.sum() / max(losses.numel(), 1)

    def evaluate(
        self, encoder: nn.Module, splits: Iterable[str] = ("val",)
    ) -> dict[str, dict[str, float]]:
        """Loss and metrics of the validation graphs; training graphs are not scored."""
        if "val" not in splits:
            return {}
        scores = self._scored(encoder, self.batches("val"))
        return {"val": self._measured(scores, self._targets[self._graphs["val"]])}

    def test(self, encoder: nn.Module, targets: Tensor) -> dict[str, float]:
        """Metrics on the test graphs, whose targets only the caller holds.

        Args:
            encoder: The finished encoder.
            targets: Those of the task's ``test_graphs``, in their order.
        """
        scores = self._scored(encoder, self._in_order(self._test_graphs))
        return self._measured(scores, targets.to(scores.device))

    def _scored(self, encoder: nn.Module, batches: Iterable[GraphBatch]) -> Tensor:
        models = (encoder, self)
        training = [model.training for model in models]
        try:
            for model in models:
                model.eval()
            with torch.inference_mode():
                found = [
                    self.scores(encoder(**inputs(encoder, batch.data)), batch).float()
                    for batch in batches
                ]
        finally:
            for model, was in zip(models, training, strict=True):
                model.train(was)
        return torch.cat(found)

    def _measured(self, scores: Tensor, targets: Tensor) -> dict[str, float]:
        found = {"loss": self._loss(scores, targets).item()}
        scores = scores * self.scale + self.shift
        return found | {name: metric(scores, targets) for name, (metric, _) in self.metrics.items()}


def _mlp(
    channels: int, out_channels: int, num_layers: int, dropout: float, act: str, shrink: bool
) -> nn.Sequential:
    widths = [max(channels >> layer, 1) if shrink else channels for layer in range(num_layers)]
    parts: list[nn.Module] = []
    for read, made in pairwise(widths):
        parts += [nn.Linear(read, made), make_activation(act), nn.Dropout(dropout)]
    return nn.Sequential(*parts, nn.Linear(widths[-1], out_channels))
