"""The graphs that benchmarks run on, and the steps that are timed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data

from gnnzoo.bench.harness import Contestant, Result, race
from gnnzoo.bench.report import Row
from gnnzoo.bench.stock import normalized_adjacency, to_csr
from gnnzoo.data import CSRGraph, NamedSplit, NodeTask, RowNormalizeFeatures, SparsifyFeatures
from gnnzoo.data import planetoid as load_planetoid
from gnnzoo.models import inputs
from gnnzoo.ops import SparseFeatures

Case = tuple[str, Callable[[], list[Row]]]  # name, and what runs it and returns its rows


@dataclass(frozen=True)
class Settings:
    """What every benchmark is told.

    Attributes:
        device: Where everything runs.
        budget_seconds: Time of one race; slow contestants take longer.
        min_rounds: Rounds of a race in any case.
        quick: Small generated graphs in place of the real cases, to try the benchmark out.
    """

    device: torch.device
    budget_seconds: float = 8.0
    min_rounds: int = 3
    quick: bool = False

    def race(
        self, contestants: Sequence[Contestant], budgets: float = 1.0, commands: bool = False
    ) -> list[Result]:
        """`harness.race` with these settings, for ``budgets`` times the usual time."""
        seconds = budgets * self.budget_seconds
        return race(contestants, self.device, seconds, self.min_rounds, commands)


@dataclass(frozen=True)
class Recipe:
    """DAGNN's settings on a data set."""

    num_hops: int
    dropout: float
    weight_decay: float
    hidden_channels: int = 64
    lr: float = 0.01


class Subject:
    """A split graph on a device, in the forms in which the contestants read it.

    Args:
        task: The graph with dense features.
        device: Where to put it.

    Attributes:
        task: The task with ``data`` as gnnzoo's models read it: ``graph`` made, features sparse
            where that pays.
        x, edge_index: Dense features and edges, for stock PyG.
        cached: Features and normalised adjacency in the layouts of plain torch; the features are
            sparse wherever gnnzoo's are.
    """

    def __init__(self, task: NodeTask, device: torch.device) -> None:
        data = task.data.clone()
        self.x, self.edge_index = data.x.to(device), data.edge_index.to(device)
        data = CSRGraph()(data)
        if device.type == "cpu":
            data = SparsifyFeatures()(data)
        self.task = replace(task, data=data.to(device))
        self.nodes = self.task.data.train_mask.nonzero().squeeze(1)
        self.labels = self.task.data.y[self.nodes]
        self.channels = (self.x.size(1), task.num_classes)
        sparse = isinstance(self.task.data.x, SparseFeatures)
        self.cached = {
            "x": to_csr(self.x) if sparse else self.x,
            "adjacency": normalized_adjacency(self.edge_index, self.x.size(0)),
        }

    @property
    def dense(self) -> dict[str, Tensor]:
        """Arguments of the uncached stock models."""
        return {"x": self.x, "edge_index": self.edge_index}

    def train(
        self, model: nn.Module, fields: dict[str, Any] | None, recipe: Recipe
    ) -> Callable[[], Tensor]:
        """A training step: forward, loss on the training rows, backward, Adam.

        Args:
            model: Who trains; moved to the device.
            fields: Arguments of the model; None has `gnnzoo.models.inputs` find them every time.
            recipe: Learning rate and weight decay. Adam is the fused one for everybody.
        """
        model = model.to(self.x.device).train()
        optimizer = torch.optim.Adam(
            model.parameters(), recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )

        def step() -> Tensor:
            optimizer.zero_grad()
            h = model(**(inputs(model, self.task.data) if fields is None else fields))
            loss = cross_entropy(h[self.nodes], self.labels)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step

    def evaluate(self, model: nn.Module, fields: dict[str, Any] | None) -> Callable[[], Tensor]:
        """A forward pass for inference; arguments as in `train`. Ends the model's training mode."""
        model = model.to(self.x.device).eval()

        @torch.inference_mode()
        def step() -> Tensor:
            return model(**(inputs(model, self.task.data) if fields is None else fields))

        return step


def planetoid(name: str, settings: Settings) -> Subject:
    """Cora or CiteSeer with its public split and row-normalised features."""
    if settings.quick:
        task = synthetic(200, 400, 50, 3, density=0.05)
    else:
        task = NamedSplit("public")(load_planetoid(name), seed=0)
    return Subject(replace(task, data=RowNormalizeFeatures()(task.data)), settings.device)


def size_name(num_nodes: int, num_pairs: int) -> str:
    """A random graph in words, such as "100k nodes, 1200k edges"."""
    return f"{num_nodes / 1e3:g}k nodes, {2 * num_pairs / 1e3:g}k edges"


def random_edges(num_nodes: int, num_pairs: int) -> Tensor:
    """``[2, 2 * num_pairs]``: random undirected edges, both directions of each."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(num_nodes, (2, num_pairs), generator=generator)
    return torch.cat([pairs, pairs.flip(0)], dim=1)


def synthetic(
    num_nodes: int, num_pairs: int, num_features: int, num_classes: int, density: float = 1.0
) -> NodeTask:
    """A random undirected graph with random features and labels; half of the nodes train.

    Args:
        num_nodes: Number of nodes.
        num_pairs: Half the number of edges.
        num_features: Features per node.
        num_classes: Number of classes.
        density: Share of the features that are not zero.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(num_nodes, num_features, generator=generator)
    x[torch.rand(x.shape, generator=generator) >= density] = 0.0
    y = torch.randint(num_classes, (num_nodes,), generator=generator)
    part = torch.arange(num_nodes) % 4
    data = Data(
        x=x,
        edge_index=random_edges(num_nodes, num_pairs),
        y=y,
        train_mask=part < 2,
        val_mask=part == 2,
        test_mask=part == 3,
    )
    return NodeTask(data, y[data.test_mask], num_classes, 0, "", "accuracy")
