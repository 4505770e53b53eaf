"""Sequences of any lengths, one behind the other along the first axis of a tensor, no padding."""

import torch
from torch import Tensor


class Sequences:
    """Where sequences begin in a tensor that holds their tokens one after the other.

    Made by `from_ids`, `from_ptr` or `equal`, once per batch; every layer can share it.

    Args:
        start: Whether a token is the first of its sequence; the first token is.
        length: Length of every sequence where it is known to be one and the same.

    Shapes:
        start: ``[num_tokens]``, bool.
    """

    def __init__(self, start: Tensor, length: int | None = None) -> None:
        self.start = start
        self.length = length
        # Not by cached_property, whose lock torch.compile cannot look through.
        self._position: Tensor | None = None
        self._reverse: Sequences | None = None

    @classmethod
    def from_ids(cls, ids: Tensor) -> "Sequences":
        """From the sequence that each token belongs to, as PyG's ``batch``.

        Shapes:
            ids: ``[num_tokens]``, integer, not decreasing; numbers may be left out.

        Raises:
            ValueError: If `ids` has another shape or type, or decreases somewhere.
        """
        if ids.dim() != 1 or ids.is_floating_point() or ids.dtype == torch.bool:
            raise ValueError(
                f"ids must be integers of shape [num_tokens], got {ids.dtype} of {list(ids.shape)}"
            )
        if bool((ids[1:] < ids[:-1]).any()):
            place = int((ids[1:] < ids[:-1]).nonzero()[0]) + 1
            raise ValueError(
                "ids must not decrease, so that each sequence is in one piece, but go from "
                f"{int(ids[place - 1])} to {int(ids[place])} at token {place}; sort the tokens"
            )
        start = torch.ones_like(ids, dtype=torch.bool)
        start[1:] = ids[1:] != ids[:-1]
        return cls(start)

    @classmethod
    def from_ptr(cls, ptr: Tensor) -> "Sequences":
        """From the places where sequences begin and end, as PyG's ``ptr``.

        Shapes:
            ptr: ``[num_sequences + 1]``, int64, from 0 to num_tokens; sequences may be empty.

        Raises:
            ValueError: If `ptr` has another shape, does not begin with 0, or decreases.
        """
        if ptr.dim() != 1 or ptr.numel() == 0 or int(ptr[0]) != 0 or bool((ptr.diff() < 0).any()):
            raise ValueError(f"ptr must have shape [n + 1], begin with 0 and not decrease: {ptr}")
        counts = ptr.diff()
        ids = torch.arange(counts.numel(), device=ptr.device)
        return cls.from_ids(ids.repeat_interleave(counts))

    @classmethod
    def equal(
        cls, num_sequences: int, length: int, device: torch.device | str = "cpu"
    ) -> "Sequences":
        """Sequences of one length."""
        start = torch.zeros(num_sequences, length, dtype=torch.bool, device=device)
        start[:, :1] = True
        return cls(start.view(-1), length)

    @property
    def num_tokens(self) -> int:
        """Tokens of all sequences."""
        return self.start.numel()

    @property
    def device(self) -> torch.device:
        """Where the tokens are expected."""
        return self.start.device

    @property
    def position(self) -> Tensor:
        """``[num_tokens]``, int32: place of each token in its sequence, from 0."""
        if self._position is None:
            place = torch.arange(self.num_tokens, dtype=torch.int32, device=self.device)
            if self.num_tokens:
                place = place - torch.where(self.start, place, 0).cummax(0).values
            self._position = place
        return self._position

    @property
    def reverse(self) -> "Sequences":
        """The same sequences read from the last token to the first."""
        if self._reverse is None:
            end = torch.ones_like(self.start)
            end[:-1] = self.start[1:]
            self._reverse = type(self)(end.flip(0), self.length)
        return self._reverse

    def __repr__(self) -> str:
        return f"Sequences({self.num_tokens} tokens)"


def as_sequences(
    seg: Tensor | Sequences | None, num_tokens: int, device: torch.device
) -> Sequences:
    """`seg` as `Sequences`: ids of each token, or None for a single sequence.

    Raises:
        ValueError: If it is of another length or on another device, or as `Sequences.from_ids`.
    """
    if seg is None:
        return Sequences.equal(min(num_tokens, 1), num_tokens, device)
    sequences = seg if isinstance(seg, Sequences) else Sequences.from_ids(seg)
    if sequences.num_tokens != num_tokens:
        raise ValueError(f"seg names {sequences.num_tokens} tokens, but there are {num_tokens}")
    if sequences.device != device:
        raise ValueError(f"seg is on {sequences.device}, the tokens on {device}; move one of them")
    return sequences
