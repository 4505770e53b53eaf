r"""Directed patterns: words over {successors, predecessors}, and how often they are walked.

A word is read from the node outwards: ``successors/predecessors`` goes to a node's successors and
from there to their predecessors, to nodes that point at the same things. With A[i, j] = 1 where i
points at j, the notation of the papers, ``successors`` is A, ``predecessors`` is A^T, and a word is
the product of its letters: ``successors/predecessors`` is A A^T.
"""

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product

LETTERS = ("successors", "predecessors")
MAX_ORDER = 3
NORMS = ("row", "dir")
DECAYS = (None, "official", "gcnii")


def directed_patterns(order: int = 2) -> tuple[str, ...]:
    """All words of up to `order` letters, shorter ones first.

    Raises:
        ValueError: If `order` is not 1, 2 or 3.
    """
    if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= MAX_ORDER:
        raise ValueError(f"order must be an integer from 1 to {MAX_ORDER}, got {order!r}")
    lengths = range(1, order + 1)
    return tuple("/".join(word) for n in lengths for word in product(LETTERS, repeat=n))


def letters(pattern: str) -> tuple[str, ...]:
    """The letters of a pattern, from the node outwards.

    Raises:
        ValueError: If it is no word over the two letters, or has more than three.
    """
    word = tuple(pattern.split("/")) if isinstance(pattern, str) else ()
    if not word or not set(word) <= set(LETTERS):
        raise ValueError(
            f"no pattern {pattern!r}; there are {', '.join(directed_patterns(2))}, and so on, "
            f"up to {MAX_ORDER} words joined by a slash"
        )
    if len(word) > MAX_ORDER:
        raise ValueError(f"patterns have at most {MAX_ORDER} letters, got {pattern!r}")
    return word


def reverse(pattern: str) -> str:
    """The pattern walked backwards: the transposed matrix."""
    other = dict(zip(LETTERS, LETTERS[::-1], strict=True))
    return "/".join(other[letter] for letter in reversed(letters(pattern)))


@dataclass(frozen=True)
class PatternSettings:
    r"""Which patterns are propagated along, how far, and how they are normalised.

    .. math::
        X^{(l)} = w_l D^{r-1} M D^{-r} X^{(l-1)}, \qquad l = 1 \dots K, \qquad D = diag(M 1)

    M is A + I for one letter and the product of the letters' matrices for more, path counts,
    diagonal and all. Zeros of D to a negative power are zero: a node without walks hears nothing.

    Paper: "Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node
    Classification" (Sun et al., ICDE 2024), https://arxiv.org/abs/2312.04111

    Args:
        patterns: Words as in `directed_patterns`; None for all words of up to `order` letters.
        order: Length of the longest words, with ``patterns=None``.
        num_hops: K, steps along every pattern.
        r: Share of the normalisation on the right, in [0, 1]: 0 takes means.
        norm: ``row``: row sums on both sides; ``dir``: column sums on the right.
        self_loops: Whether patterns of one letter hold the node itself.
        hop_decay: w_l: None, 1 each; ``gcnii``, ln(1 / l + 1); ``official``, ln(1 / l) + 1 + 1e-6
            as in the authors' code, which is negative from the third hop on.

    Raises:
        ValueError: If a setting is out of range.
    """

    patterns: tuple[str, ...] | None = None
    order: int = 2
    num_hops: int = 2
    r: float = 0.5
    norm: str = "row"
    self_loops: bool = True
    hop_decay: str | None = None
    words: tuple[tuple[str, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        chosen = directed_patterns(self.order) if self.patterns is None else self.patterns
        if isinstance(chosen, str) or not isinstance(chosen, Iterable):
            raise ValueError(f"patterns must list patterns, got {chosen!r}")
        chosen = tuple(chosen)
        object.__setattr__(self, "patterns", chosen)
        object.__setattr__(self, "words", tuple(letters(pattern) for pattern in chosen))
        if not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(f"patterns must be different and at least one, got {list(chosen)}")
        hops = self.num_hops
        if isinstance(hops, bool) or not isinstance(hops, int) or hops < 0:
            raise ValueError(f"num_hops must be an integer of at least 0, got {hops!r}")
        if isinstance(self.r, bool) or not 0.0 <= self.r <= 1.0:
            raise ValueError(f"r must be a number in [0, 1], got {self.r!r}")
        for name, value, known in (
            ("norm", self.norm, NORMS),
            ("hop_decay", self.hop_decay, DECAYS),
        ):
            if value not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}"
                )
        if self.hop_decay == "official" and hops >= 3:
            warnings.warn(
                f"hop_decay='official' has negative factors from the third hop on, and num_hops is "
                f"{hops}; hop_decay='gcnii' has none",
                stacklevel=3,
            )

    @property
    def num_streams(self) -> int:
        """Patterns, and the features as they are."""
        return len(self.words) + 1

    @property
    def num_rows(self) -> int:
        """Feature vectors of a node: its own, and one per pattern and hop."""
        return 1 + len(self.words) * self.num_hops

    def factor(self, hop: int) -> float:
        """w_l of hop l, from 1."""
        if self.hop_decay is None:
            return 1.0
        if self.hop_decay == "gcnii":
            return math.log(1 / hop + 1)
        return math.log(1 / hop) + 1 + 1e-6
