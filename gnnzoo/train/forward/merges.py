"""How layers come together: one after the other, or each with those above it as they were."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from gnnzoo.ops import SparseFeatures, side_by_side
from gnnzoo.train.forward.block import Block
from gnnzoo.train.forward.frozen import Stream
from gnnzoo.train.forward.rows import Features, normalized

TEST_STEPS = 10
COUNTED_STEPS = range(2, TEST_STEPS)  # the first steps still carry the start
ORDERS = ("simultaneous", "alternating", "bottom_up")


class Merge:
    """Nothing comes from above: each layer reads the one below.

    Args:
        order: In which order layers take turns when all of them are trained in one epoch:
            ``simultaneous`` (all read the states of the epoch before), ``alternating`` (the first,
            third and so on, then the others, which read what is new) or ``bottom_up``.

    States are a list ``[h_0, z_1, .., z_L, top]``.
    """

    def __init__(self, order: str | None) -> None:
        self.order = order

    def embeddings(
        self, blocks: Sequence[Block], stream: Stream, top: Tensor | None
    ) -> Iterator[tuple[int, Tensor]]:
        """Every output that has a vote, with the index of its block."""
        h = stream.h
        for index, block in enumerate(blocks):
            h = block(h, stream.context)
            yield index, h

    def turns(self, count: int) -> list[list[int]]:
        """Blocks that read the same states, in the order of their turns."""
        blocks = list(range(count))
        if self.order == "simultaneous":
            return [blocks]
        if self.order == "alternating":
            return [turn for turn in (blocks[::2], blocks[1::2]) if turn]
        return [[block] for block in blocks]

    def states(self, blocks: Sequence[Block], stream: Stream, top: Tensor | None) -> list[Any]:
        """The states before the first step, from a pass bottom-up."""
        found = [stream.h]
        for block in blocks:
            found.append(self.kept(block(found[-1], stream.context)))
        return [*found, top]

    def run(self, block: Block, index: int, states: Sequence[Any], stream: Stream) -> Tensor:
        """A block's output from the states below and above it."""
        return block(states[index], stream.context)

    def embedding(self, z: Tensor, index: int, states: Sequence[Any]) -> Tensor:
        """What the loss reads for a block's output."""
        return z

    def kept(self, z: Tensor) -> Tensor:
        """What is kept of an output as a state."""
        return z.detach()


class MeanAbove(Merge):
    r"""The loss reads the mean of a layer's output and the states above it (Top-To-Loss).

    Outputs are normalised before the next layer reads them, in training and afterwards. Differs
    from the published code, whose evaluation passes them on as they are.
    """

    def embeddings(
        self, blocks: Sequence[Block], stream: Stream, top: Tensor | None
    ) -> Iterator[tuple[int, Tensor]]:
        states = self.states(blocks, stream, top)
        for index, block in enumerate(blocks):
            yield index, self.embedding(self.run(block, index, states, stream), index, states)

    def embedding(self, z: Tensor, index: int, states: Sequence[Any]) -> Tensor:
        above = states[index + 2 : -1]
        for state in above:
            if state.shape != z.shape:
                raise ValueError(
                    f"sf_t2l averages layers of one width, got {list(z.shape[1:])} and "
                    f"{list(state.shape[1:])}; method=sf_t2i puts them side by side"
                )
        return torch.stack([z, *above]).mean(0) if above else z

    def kept(self, z: Tensor) -> Tensor:
        return normalized(z.detach())


class ConcatAbove(Merge):
    """Each layer also reads the state above it, the last one labels (Top-To-Input).

    Its votes are those of all layers in steps 2 to 9 without learning, after a pass bottom-up with
    zeros from above.

    Args:
        order: As in `Merge`.
        width: Width of every layer's output.
    """

    def __init__(self, order: str | None, width: int) -> None:
        super().__init__(order)
        self.width = width

    def embeddings(
        self, blocks: Sequence[Block], stream: Stream, top: Tensor | None
    ) -> Iterator[tuple[int, Tensor]]:
        states = self.states(blocks, stream, top)
        for step in range(TEST_STEPS):
            for turn in self.turns(len(blocks)):
                new = {index: self.run(blocks[index], index, states, stream) for index in turn}
                for index, z in new.items():
                    states[index + 1] = z
                    if step in COUNTED_STEPS:
                        yield index, z

    def states(self, blocks: Sequence[Block], stream: Stream, top: Tensor | None) -> list[Any]:
        found: list[Any] = [stream.h]
        for index, block in enumerate(blocks):
            above = self.width if index + 1 < len(blocks) else top.size(1)
            zeros = top.new_zeros(top.size(0), above)
            z = block.read(_beside(normalized(found[-1]), zeros), stream.context)
            found.append(z.detach())
        return [*found, top]

    def run(self, block: Block, index: int, states: Sequence[Any], stream: Stream) -> Tensor:
        parts = normalized(states[index]), normalized(states[index + 2])
        return block.read(_beside(*parts), stream.context)


def _beside(below: Features, above: Tensor) -> Features:
    if isinstance(below, SparseFeatures):
        return side_by_side(below, above)
    return torch.cat([below, above], dim=1)


def make_merge(name: str | None, order: str | None, width: int) -> Merge:
    """The merge of a method, for layers of one width."""
    if name == "concat_above":
        return ConcatAbove(order, width)
    return MeanAbove(order) if name == "mean_above" else Merge(order)
