"""Whether a model sees the arcs of a graph or their undirected edges."""

from copy import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import is_undirected, to_undirected

from gnnzoo.data.amud import THRESHOLD, AMUDResult, amud

DIRECTIONS = ("auto", "directed", "undirected")


@dataclass(frozen=True)
class Direction:
    """Whether the arcs of a graph were kept.

    Attributes:
        asked: "auto", "directed" or "undirected".
        kept: Whether the arcs are as they were.
        why: What was decided and why, a sentence.
        amud: What AMUD (reconstructed) found; None where it was not asked.
    """

    asked: str
    kept: bool
    why: str
    amud: AMUDResult | None = None

    def record(self) -> dict[str, Any]:
        """What a run record says of it."""
        score = {} if self.amud is None else {"amud_score": self.amud.score}
        return {"asked": self.asked, "kept": self.kept, "why": self.why, **score}


def choose_direction(
    data: Data, direction: str, train_mask: Tensor | None = None, threshold: float = THRESHOLD
) -> tuple[Data, Direction]:
    """Keep the arcs of a graph or make it undirected, as asked for or as AMUD (reconstructed) says.

    Args:
        data: ``edge_index``, perhaps with ``edge_weight`` and ``edge_attr``; with "auto" ``y`` too.
            It is not changed.
        direction: "directed" keeps the arcs, "undirected" gives each its reverse (values of arcs
            that meet are averaged), "auto" asks AMUD (reconstructed).
        train_mask: Whose labels "auto" may read, ``[num_nodes]``, bool; needed there, since the
            labels of other nodes would leak into what is trained.
        threshold: Score above which "auto" keeps the arcs.

    Returns:
        The graph to train on, and what was decided.

    Raises:
        ValueError: If `direction` is unknown, or "auto" lacks the mask or usable labels.
    """
    if direction not in DIRECTIONS:
        raise ValueError(
            f"direction must be {', '.join(DIRECTIONS[:-1])} or undirected, got {direction!r}"
        )
    if direction == "directed":
        return data, Direction(direction, True, "arcs kept, as asked for")
    if direction == "undirected":
        return _undirected(data), Direction(direction, False, "made undirected, as asked for")
    if is_undirected(data.edge_index, num_nodes=data.num_nodes):
        why = "the graph is undirected, so there is nothing to decide"
        return data, Direction(direction, True, why)
    if train_mask is None or data.get("y") is None:
        missing = "train_mask" if train_mask is None else "y"
        raise ValueError(
            f"direction=auto reads training labels, but there is no {missing}; "
            "give direction=directed or direction=undirected"
        )
    found = amud(data.edge_index, data.y, data.num_nodes, mask=train_mask, threshold=threshold)
    why = f"{found} ({found.num_labelled} training labels)"
    seen = data if found.directed else _undirected(data)
    return seen, Direction(direction, found.directed, why, found)


def _undirected(data: Data) -> Data:
    names = [name for name in ("edge_weight", "edge_attr") if data.get(name) is not None]
    made, values = copy(data), [data[name] for name in names]
    made.edge_index, values = to_undirected(data.edge_index, values, data.num_nodes, reduce="mean")
    for name, value in zip(names, values, strict=True):
        made[name] = value
    return made


class AMUDTransform(BaseTransform):
    """Make a graph undirected unless AMUD (reconstructed) says to keep its arcs.

    It reads the labels of ``data.train_mask`` and puts on the data what it found, as ``amud``.

    Args:
        threshold: Score above which the arcs are kept, in [0, 1].

    Raises:
        ValueError: If ``threshold`` is outside [0, 1].
    """

    reads_edges = True

    def __init__(self, threshold: float = THRESHOLD) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold must be in [0, 1], got {threshold}")
        self.threshold = threshold

    def forward(self, data: Data) -> Data:
        mask = data.get("train_mask")
        made, choice = choose_direction(data, "auto", mask, self.threshold)
        made.amud = choice.amud
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}(threshold={self.threshold})"
