"""Backpropagation through the very blocks that forward-only training has: its fair controls."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gnnzoo.train.backprop import Backprop, Fit
from gnnzoo.train.checkpoint import Checkpoint
from gnnzoo.train.forward.model import ForwardModel
from gnnzoo.train.forward.trainer import ForwardOnly
from gnnzoo.train.forward.widths import Make
from gnnzoo.train.progress import Reporter

SUPERVISIONS = ("last", "deep")


class MatchedBackprop(Backprop):
    """`Backprop` on the blocks, the virtual nodes and the local losses of `ForwardOnly`.

    With ``supervision="last"`` only the last block has a loss and a vote; with ``"deep"`` all have,
    and gradients of each pass through all blocks below it. What then differs from ``sf`` is where
    gradients stop, and that layers are trained at the same time.

    Args:
        supervision: ``last`` or ``deep``.
        method: Whose loss: ``sf``, ``train_mean`` or ``probe`` of `ForwardOnly`.
        temperature, edge_direction, virtual_init: As of `ForwardOnly`.
        **backprop: Arguments of `Backprop`.
    """

    def __init__(
        self,
        supervision: str = "last",
        method: str = "sf",
        temperature: float = 1.0,
        edge_direction: str = "bidirectional",
        virtual_init: str = "normal",
        **backprop: Any,
    ) -> None:
        super().__init__(**backprop)
        if supervision not in SUPERVISIONS:
            raise ValueError(f"supervision must be last or deep, got {supervision!r}")
        if method not in ("sf", "train_mean", "probe"):
            raise ValueError(f"method must be sf, train_mean or probe, got {method!r}")
        self.supervision = supervision
        self.local = ForwardOnly(
            method,
            temperature=temperature,
            edge_direction=edge_direction,
            virtual_init=virtual_init,
        )

    def plan(
        self,
        kind: type,
        settings: Mapping[str, Any],
        make: Make,
        known: Mapping[str, Any],
        task: Any,
    ) -> nn.Module:
        """As `ForwardOnly.plan`."""
        return self.joined(self.local.plan(kind, settings, make, known, task))

    def joined(self, model: ForwardModel) -> "JoinedBlocks":
        """The blocks of a model with gradients through all of them."""
        return JoinedBlocks(model, self.supervision == "deep")

    def fit(
        self,
        encoder: nn.Module,
        head: nn.Module,
        checkpoint: Checkpoint | None = None,
        reporter: Reporter | None = None,
        label: str = "training",
    ) -> Fit:
        """As `Backprop.fit`, on what `plan` made."""
        if getattr(head, "batching", None) is not None:
            raise ValueError("the matched form reads the whole graph; batching=full")
        return super().fit(encoder, SummedLosses(head), checkpoint, reporter, label)


class JoinedBlocks(nn.Module):
    """The blocks of a `ForwardModel` as one network.

    Args:
        model: The blocks.
        deep: Whether every block has a vote, or the last one only.

    Shapes:
        returns: ``[num_nodes, num_classes]``, logits; in training ``[num_voting, num_nodes,
            num_classes]``, those of each block.
    """

    def __init__(self, model: ForwardModel, deep: bool) -> None:
        super().__init__()
        self.model, self.deep = model, deep

    @property
    def reads_as(self) -> nn.Module:
        """Whose signature names the fields of the data."""
        return self.model.encoder

    def forward(self, **fields: Any) -> Tensor:
        logits = torch.stack(self.model.class_logits(fields, last_only=not self.deep))
        if self.training:
            return logits
        return self.model.method.objective.decide(logits.softmax(2).sum(0), len(logits))


class SummedLosses(nn.Module):
    """A head that adds up the losses of several outputs; in all else the head itself."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    @property
    def modes(self) -> dict[str, str]:
        return self.head.modes

    def batches(self, split: str) -> Iterator[Any]:
        return self.head.batches(split)

    def loss(self, h: Tensor, batch: Any) -> Tensor:
        return torch.stack([self.head.loss(part, batch) for part in h]).sum()

    def evaluate(self, encoder: nn.Module, splits: Iterable[str] = ("val",)) -> dict[str, Any]:
        return self.head.evaluate(encoder, splits)
