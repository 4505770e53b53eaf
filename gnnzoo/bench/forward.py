"""Forward-only training beside backpropagation through the same blocks.

Per depth, on a random graph with features as wide as the layers: one step of every layer against
one step of backpropagation, and the bytes that autograd keeps for the backward pass. On Photo: one
step of all four layers against one epoch of backpropagation on stock PyG convolutions.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_geometric.nn import GCNConv as PyGGCNConv

from gnnzoo.bench.cases import Case, Settings, synthetic
from gnnzoo.bench.harness import Contestant, Result
from gnnzoo.bench.report import Row, rows
from gnnzoo.data import Folds, NodeTask, attributed
from gnnzoo.nn import GCNConv
from gnnzoo.train import ForwardOnly, MatchedBackprop
from gnnzoo.train.forward.layer_list import LayerChain
from gnnzoo.train.forward.model import ForwardModel
from gnnzoo.train.forward.plans import LayerByLayer

DEPTHS = (2, 4, 8, 16, 32)
WIDTH = 128
FLAT = 1.05  # saved bytes at any depth, as a share of those at the smallest
PHOTO_LAYERS, PHOTO_SHARE = 4, 0.2


def forward(settings: Settings) -> list[Case]:
    """SF against backpropagation: by depth, and on Photo."""
    depths = (2, 4) if settings.quick else DEPTHS
    return [
        ("depth", partial(_depths, settings, depths)),
        ("Photo", partial(_photo, settings)),
    ]


def _depths(settings: Settings, depths: Sequence[int]) -> list[Row]:
    size = (300, 1000) if settings.quick else (10_000, 50_000)
    task = _on_device(synthetic(*size, WIDTH, 5), settings)
    found, saved = [], {"backprop": {}, "SF": {}}
    for depth in depths:
        joined, layers = _joined(task, depth, GCNConv), _forward_only(task, depth)
        contestants = [
            Contestant("backprop, the same blocks", joined),
            Contestant("SF, a step of every layer", partial(_all, layers)),
        ]
        results = settings.race(contestants)
        found += rows(f"{depth} layers", "training step", results)
        saved["backprop"][depth] = saved_mib(joined), results[0]
        saved["SF"][depth] = max(saved_mib(step) for step in layers), results[1]
    for name, values in saved.items():
        found += rows(f"{size[0]} nodes", f"saved for backward, {name}", _saved(name, values))
    return found


def _saved(name: str, values: dict[int, tuple[float, Result]]) -> list[Result]:
    """The memory columns hold what autograd keeps; ratios are to the smallest depth."""
    first = next(iter(values.values()))
    return [
        replace(
            result,
            contestant=Contestant(
                f"{name}, {depth} layers", lambda: None, memory_goal=FLAT if name == "SF" else None
            ),
            ratio=result.seconds / first[1].seconds,
            ratio_low=result.seconds / first[1].seconds,
            ratio_high=result.seconds / first[1].seconds,
            peak_mib=mib,
            memory_ratio=mib / first[0],
        )
        for depth, (mib, result) in values.items()
    ]


def _photo(settings: Settings) -> list[Row]:
    quick = settings.quick
    task = synthetic(300, 1000, 64, 5) if quick else Folds()(attributed("photo"), seed=0)
    task = _on_device(task, settings)
    contestants = [
        Contestant("backprop, PyG convolutions", _joined(task, PHOTO_LAYERS, PyGGCNConv)),
        Contestant("backprop, gnnzoo convolutions", _joined(task, PHOTO_LAYERS, GCNConv)),
        Contestant(
            "SF, a step of every layer",
            partial(_all, _forward_only(task, PHOTO_LAYERS)),
            time_goal=PHOTO_SHARE,
        ),
    ]
    return rows("Photo", f"GCN, {PHOTO_LAYERS} layers", settings.race(contestants, budgets=3))


def _on_device(task: NodeTask, settings: Settings) -> NodeTask:
    return replace(task.without_test(), data=task.data.to(settings.device))


def _model(task: NodeTask, depth: int, conv: type[nn.Module]) -> ForwardModel:
    torch.manual_seed(0)
    widths = [task.data.num_features, *[WIDTH] * depth]
    layers = [conv(*pair) for pair in pairwise(widths)]
    return ForwardOnly().cut(LayerChain(layers), task)


def _joined(task: NodeTask, depth: int, conv: type[nn.Module]) -> Callable[[], Tensor]:
    """A step of backpropagation through all blocks, the loss on the last one's prototypes."""
    model = MatchedBackprop().joined(_model(task, depth, conv)).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=5e-4, fused=True)
    fields = {"x": task.data.x, "edge_index": task.data.edge_index}
    nodes = task.data.train_mask.nonzero().squeeze(1)
    labels = task.data.y[nodes]

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = cross_entropy(model(**fields)[0][nodes], labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _forward_only(task: NodeTask, depth: int) -> list[Callable[[], Tensor]]:
    """For each layer its step, on an input that was frozen before."""
    trainer, model = ForwardOnly(), _model(task, depth, GCNConv)
    nodes = task.data.val_mask.nonzero().squeeze(1)
    fields = {"x": task.data.x, "edge_index": task.data.edge_index}
    plan = LayerByLayer(model, fields, nodes, trainer.make_optimizer, None)
    steps = []
    for number in range(depth):
        steps.append(plan.phase(number).step)
        plan.advance(number)
    return steps


def _all(steps: Sequence[Callable[[], Tensor]]) -> None:
    for step in steps:
        step()


def saved_mib(step: Callable[[], object]) -> float:
    """MiB that autograd keeps for the backward passes of a step, each storage counted once.

    Parameters are left out, and so is what a matrix product only looks at through a view of them.
    """
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        base = tensor._base if tensor._base is not None else tensor
        if not isinstance(base, nn.Parameter):
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(seen.values()) / 2**20
