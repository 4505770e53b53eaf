"""What is trained at one time: one layer on a frozen input, or all layers side by side."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gnnzoo.train.forward.frozen import FrozenInput, Sharing, Stream, output
from gnnzoo.train.forward.model import ForwardModel
from gnnzoo.train.forward.rows import wide

MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


class Phase(ABC):
    """A stretch of training with one early stopping and one best state.

    Attributes:
        name: As progress shows it.
        trained: What is trained, and whose best state is kept.
        optimizers: One per layer.
        kept: Tensors that a resumed phase needs beside weights and optimisers; may be set.
    """

    name: str
    trained: nn.Module
    optimizers: list[torch.optim.Optimizer]
    kept: list[Tensor]

    @abstractmethod
    def step(self) -> Tensor:
        """Train every layer of the phase once; returns ``[num_layers]``, losses."""

    @abstractmethod
    def scores(self) -> Tensor:
        """Logits of all nodes; only those of validation nodes need be right."""

    def _update(self, index: int, clip_norm: float | None) -> None:
        optimizer = self.optimizers[index]
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


class Stack:
    """What training layer after layer passes on: streams, and the votes of finished layers.

    Args:
        model: The model.
        fields: What the encoder reads of the training graph.
        nodes: ``[num_scored]``, int64, the validation nodes.
    """

    def __init__(self, model: ForwardModel, fields: Mapping[str, Any], nodes: Tensor) -> None:
        self.model, self.nodes, self.num_nodes = model, nodes, fields["x"].size(0)
        self.labels = model.labels(self.num_nodes)
        self.train = [Stream(s.h, s.context) for s in model.train_streams(fields)]
        self.scoring = self.train
        if model.method.objective.contrasts:
            self.scoring = model.class_streams(fields, nodes)
        if model.method.streams == "virtual":  # streams differ in edges only: one object for all
            for stream in [*self.train, *self.scoring]:
                stream.h = self.train[0].h
        self.votes, self.num_votes = 0.0, 0

    @property
    def negatives_follow(self) -> bool:
        """Whether false streams read what the layer below made of the true one."""
        return len(self.train) > 1 and self.model.method.streams == "virtual"

    @torch.no_grad()
    def advance(self, index: int) -> None:
        """Pass everything through a finished layer."""
        block = self.model.blocks[index]
        block.layer.eval()
        if self.model.votes(index):
            self.votes = self.votes + self.vote(index, self.inputs(index))
            self.num_votes += 1
        distinct = [*self.train, *(self.scoring if self.scoring is not self.train else [])]
        for stream in distinct:
            follows = self.negatives_follow and stream in self.train[1:]
            stream.h = self.train[0].h if follows else output(block, stream)

    def inputs(self, index: int) -> list[FrozenInput]:
        """The block at the nodes that its vote reads."""
        extra = self.model.method.objective.extra(self.labels)
        return frozen_inputs(self, index, self.scoring, torch.cat([self.nodes, extra]))

    def vote(self, index: int, inputs: Sequence[FrozenInput]) -> Tensor:
        """``[num_scored, num_classes]``: the block's scores."""
        outputs = [frozen() for frozen in inputs]
        finish(inputs)
        reader = self.model.readers[index]
        scores = self.model.method.objective.scores
        return scores(outputs, len(self.nodes), self.labels, reader)


def frozen_inputs(
    stack: Stack, index: int, streams: Sequence[Stream], rows: Tensor
) -> list[FrozenInput]:
    """One block at some rows of each stream; what streams have in common is multiplied once."""
    sharing = Sharing(stack.num_nodes) if len(streams) > 1 else None
    return [FrozenInput(stack.model.blocks[index], s, rows, sharing) for s in streams]


def finish(inputs: Sequence[FrozenInput]) -> None:
    """End a step for what the streams share."""
    if inputs[0].sharing is not None:
        inputs[0].sharing.finish()


class LayerPhase(Phase):
    """One layer, on an input that stays as it is."""

    def __init__(
        self, stack: Stack, index: int, make_optimizer: MakeOptimizer, clip_norm: float | None
    ) -> None:
        model = stack.model
        self.stack, self.index, self.clip_norm = stack, index, clip_norm
        self.objective, self.reader = model.method.objective, model.readers[index]
        self.name = f"layer {index + 1} of {len(model.blocks)}"
        self.trained = model.unit(index)
        parameters = list(self.trained.parameters())
        self.optimizers = [make_optimizer(parameters)] if parameters else []
        self.kept = []
        rows = self.objective.train_rows(stack.labels)
        self.inputs = frozen_inputs(stack, index, stack.train, rows)
        self.scored = stack.inputs(index)

    def step(self) -> Tensor:
        self.trained.train()
        total = 0.0
        for number, frozen in enumerate(self.inputs):
            loss = self.objective.loss(frozen(), number, self.stack.labels, self.reader)
            loss.backward()  # one stream's graph at a time: the gradients add up
            total = total + loss.detach()
        finish(self.inputs)
        self._update(0, self.clip_norm)
        return total.reshape(1)

    @torch.no_grad()
    def scores(self) -> Tensor:
        self.trained.eval()
        total = self.stack.votes + self.stack.vote(self.index, self.scored)
        logits = self.objective.decide(total, self.stack.num_votes + 1)
        out = logits.new_zeros(self.stack.num_nodes, logits.size(1))
        return out.index_copy_(0, self.stack.nodes, logits)


class JointPhase(Phase):
    """All layers, each from what those around it were before."""

    def __init__(
        self,
        model: ForwardModel,
        fields: Mapping[str, Any],
        make_optimizer: MakeOptimizer,
        clip_norm: float | None,
    ) -> None:
        self.model, self.fields, self.clip_norm = model, fields, clip_norm
        self.name = f"{len(model.blocks)} layers together"
        self.trained, self.merge = model, model.merge
        units = [list(model.unit(index).parameters()) for index in range(len(model.blocks))]
        self.optimizers = [make_optimizer(parameters) for parameters in units]
        self.stream = model.train_streams(fields)[0]
        num_nodes = fields["x"].size(0)
        self.labels = model.labels(num_nodes)
        self.rows = model.method.objective.train_rows(self.labels)
        with torch.no_grad():
            self.states = self.merge.states(model.blocks, self.stream, model.top(num_nodes))

    def step(self) -> Tensor:
        self.model.train()
        losses: dict[int, Tensor] = {}
        for turn in self.merge.turns(len(self.model.blocks)):
            new = {}
            for index in turn:
                losses[index], new[index + 1] = self._train(index)
            for place, state in new.items():
                self.states[place] = state
        return torch.stack([losses[index] for index in sorted(losses)])

    def _train(self, index: int) -> tuple[Tensor, Tensor]:
        """One layer's step; returns its loss and its state before the step."""
        z = self.merge.run(self.model.blocks[index], index, self.states, self.stream)
        embedding = wide(self.merge.embedding(z, index, self.states)).index_select(0, self.rows)
        objective, reader = self.model.method.objective, self.model.readers[index]
        loss = objective.loss(embedding, 0, self.labels, reader)
        loss.backward()
        self._update(index, self.clip_norm)
        return loss.detach(), self.merge.kept(z)

    @torch.no_grad()
    def scores(self) -> Tensor:
        self.model.eval()
        return self.model(**self.fields)

    @property
    def kept(self) -> list[Tensor]:
        return self.states[1:-1]

    @kept.setter
    def kept(self, kept: list[Tensor]) -> None:
        device = self.labels.nodes.device
        self.states[1:-1] = [state.to(device) for state in kept]
