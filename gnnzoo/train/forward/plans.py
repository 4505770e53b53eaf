"""Schedules: which phases a training has, and what is passed from one to the next."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from gnnzoo.train.forward.model import ForwardModel
from gnnzoo.train.forward.phases import JointPhase, LayerPhase, MakeOptimizer, Phase, Stack


class Plan(Protocol):
    """Phases one after the other."""

    num_phases: int

    def phase(self, number: int) -> Phase:
        """Begin a phase."""

    def advance(self, number: int) -> None:
        """Make what the next phase reads of a finished one."""


class LayerByLayer:
    """Every layer once, from the bottom up, each on the frozen output of the one below."""

    def __init__(
        self,
        model: ForwardModel,
        fields: Mapping[str, Any],
        nodes: Tensor,
        make_optimizer: MakeOptimizer,
        clip_norm: float | None,
    ) -> None:
        self.stack = Stack(model, fields, nodes)
        self.make_optimizer, self.clip_norm = make_optimizer, clip_norm
        self.num_phases = len(model.blocks)

    def phase(self, number: int) -> LayerPhase:
        return LayerPhase(self.stack, number, self.make_optimizer, self.clip_norm)

    def advance(self, number: int) -> None:
        self.stack.advance(number)


class AllTogether:
    """One phase, in which layers take turns."""

    num_phases = 1

    def __init__(
        self,
        model: ForwardModel,
        fields: Mapping[str, Any],
        make_optimizer: MakeOptimizer,
        clip_norm: float | None,
    ) -> None:
        self.model, self.fields = model, fields
        self.make_optimizer, self.clip_norm = make_optimizer, clip_norm

    def phase(self, number: int) -> JointPhase:
        return JointPhase(self.model, self.fields, self.make_optimizer, self.clip_norm)

    def advance(self, number: int) -> None:
        """Nothing comes after it."""
