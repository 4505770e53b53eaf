"""AMUD (reconstructed): whether labels correlate with the direction of arcs.

The published code does not hold AMUD and its algebra could not be checked against the paper. This
is our own definition after its description, called ``AMUD (reconstructed)`` wherever it is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gnnzoo.data.amud_scores import WORDS, Scores
from gnnzoo.ops import CSR, Graph, as_graph, two_step_counts
from gnnzoo.ops.overlap import without_loops
from gnnzoo.ops.two_steps import num_paths

NAME = "AMUD (reconstructed)"
THRESHOLD = 0.5  # scores above keep the arcs
FLOOR = (
    1e-5  # below it the largest R² of any pattern is no evidence, and the score a ratio of noise
)
MOST_PATHS = 50_000_000  # up to so many paths of two steps everything is counted, not sampled
METHODS = ("auto", "exact", "sample")


@dataclass(frozen=True)
class AMUDResult:
    """What AMUD (reconstructed) found.

    Attributes:
        score: In [0, 1]; how much the patterns of two steps differ in what they say about labels.
        r: Correlation with equal labels of the patterns ``A``, ``AA``, ``AAt`` and ``AtA``, where
            row i of A holds the nodes that i points at.
        directed: The decision: whether to keep the arcs.
        reason: "score", "below_threshold", "no_evidence" or "symmetric".
        why: The reason as a sentence.
        method: "exact" or "sampled".
        num_labelled: Labelled nodes that counted.
        num_rows: Of how many of them the reach in two steps was counted.
        interval: 95 % confidence interval of a sampled score; None of an exact one.
        same_decision: Share of the bootstrap draws with the same decision; 1 when exact.
    """

    score: float
    r: dict[str, float]
    directed: bool
    reason: str
    why: str
    method: str
    num_labelled: int
    num_rows: int
    interval: tuple[float, float] | None = None
    same_decision: float = 1.0

    def __str__(self) -> str:
        decision = "keep the arcs" if self.directed else "make the graph undirected"
        return f"{NAME}: {decision}; {self.why}"


def amud(
    edge_index: Tensor | Graph,
    y: Tensor,
    num_nodes: int | None = None,
    mask: Tensor | None = None,
    threshold: float = THRESHOLD,
    floor: float = FLOOR,
    method: str = "auto",
    num_samples: int = 10_000,
    seed: int = 0,
) -> AMUDResult:
    r"""Decide by the labels whether a graph is better kept directed: AMUD (reconstructed).

    Over all ordered pairs of different labelled nodes, :math:`r_g` is the correlation of "joined
    by pattern g" and "of the same class", and :math:`R_g = r_g^2`. With g among :math:`AA`,
    :math:`AA^T` and :math:`A^T A` (self-loops removed, repeated arcs and paths counting once),

    .. math:: S = \sqrt{\operatorname{mean}_{g < g'}
        \left(\frac{R_g - R_{g'}}{\max(R_g, R_{g'})}\right)^2}

    The arcs are kept if S is above the threshold and some :math:`R_g` reaches the floor. On an
    undirected graph all patterns coincide and S is 0. A pattern that joins no pair, or all, has
    correlation 0.

    Paper: "Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node
    Classification" (Sun et al., ICDE 2024), https://arxiv.org/abs/2312.04111
    Differs from the paper: reconstructed from its description; the floor is ours.

    Args:
        edge_index: Arcs, row 0 source and row 1 target; or a graph made of them.
        y: Labels, -1 for nodes without one.
        num_nodes: Number of nodes; as many as labels if not given.
        mask: Which labels may be read; all if not given. Where the decision guides a model that is
            tested on the same graph, give the training mask: other labels would leak.
        threshold: Scores above it keep the arcs.
        floor: Least :math:`\max_g R_g` that counts as evidence.
        method: "exact" counts for every labelled node whom it reaches in two steps, "sample" for
            `num_samples` of them; "auto" samples above 50 million paths.
        num_samples: Labelled nodes to draw, without replacement. Fewer labelled nodes than that
            are all counted, which is exact.
        seed: Seed of the draw.

    Shapes:
        edge_index: ``[2, num_edges]``, integer.
        y: ``[num_nodes]``, integer.
        mask: ``[num_nodes]``, bool.

    Raises:
        ValueError: If an argument is malformed, or fewer than two nodes have a label, or all the
            same one, or no two the same one.
    """
    if method not in METHODS:
        raise ValueError(f"method must be {', '.join(METHODS[:-1])} or sample, got {method!r}")
    if num_samples < 2:
        raise ValueError(f"num_samples must be at least 2, got {num_samples}")
    graph = as_graph(edge_index, len(y) if num_nodes is None else num_nodes)
    nodes = _labelled(y, mask, graph.num_nodes)
    label = y[nodes].to(graph.device)
    predecessors = without_loops(graph.csr)
    forward = predecessors.transposed()[0].select_rows(nodes)[0]
    backward = predecessors.select_rows(nodes)[0]
    ends, starts = backward.transposed()[0], forward.transposed()[0]
    symmetric = predecessors.is_symmetric
    pairs = {"AA": (forward, ends), "AAt": (forward, starts), "AtA": (backward, ends)}
    if symmetric:
        pairs = {"AA": pairs["AA"]}

    rows = _rows(pairs.values(), method, num_samples, seed)
    counted = [torch.stack(two_step_counts(*two, label, rows)) for two in pairs.values()]
    counts = torch.stack((counted * len(WORDS))[: len(WORDS)]).double()  # [words, 2, num_rows]
    scores = Scores(label, threshold, floor, symmetric)
    r = scores.correlations(counts.mean(dim=-1))
    r_one = scores.correlations(_one_step(forward, nodes, label))
    score, directed = float(scores.score(r)), bool(scores.decide(r))
    reason, why = scores.reason(r, score)
    result = AMUDResult(
        score=score,
        r={"A": float(r_one), **dict(zip(WORDS, r.tolist(), strict=True))},
        directed=directed,
        reason=reason,
        why=why,
        method="exact" if rows is None else "sampled",
        num_labelled=len(nodes),
        num_rows=counts.size(-1),
    )
    if rows is None:
        return result
    interval, same_decision = scores.interval(counts, len(nodes), seed)
    return replace(result, interval=interval, same_decision=same_decision)


@dataclass(frozen=True)
class AMUDStability:
    """Decisions of AMUD (reconstructed) on the training labels of several splits.

    Attributes:
        results: One for each split.
    """

    results: tuple[AMUDResult, ...]

    @property
    def share_directed(self) -> float:
        """Share of the splits whose training labels say to keep the arcs."""
        return sum(result.directed for result in self.results) / len(self.results)

    @property
    def agreement(self) -> float:
        """Share of the splits that decide as most do, in [0.5, 1]."""
        return max(self.share_directed, 1 - self.share_directed)

    def __str__(self) -> str:
        kept, scores = self.share_directed, [result.score for result in self.results]
        return (
            f"{NAME} on training labels alone: {round(kept * len(scores))} of {len(scores)} splits "
            f"keep the arcs; scores from {min(scores):.3f} to {max(scores):.3f}"
        )


def amud_over_splits(
    edge_index: Tensor | Graph,
    y: Tensor,
    train_masks: Tensor | Sequence[Tensor],
    **settings: object,
) -> AMUDStability:
    """Ask AMUD (reconstructed) with the training labels of each split, and of no other nodes.

    Args:
        edge_index: As for :func:`amud`.
        y: As for :func:`amud`.
        train_masks: A mask for each split: ``[num_nodes, num_splits]``, bool, or a sequence.
        **settings: Further arguments of :func:`amud`.

    Raises:
        ValueError: As :func:`amud`, or if there is no split.
    """
    if isinstance(train_masks, Tensor):
        train_masks = train_masks.reshape(len(train_masks), -1).unbind(dim=1)
    if not len(train_masks):
        raise ValueError("train_masks holds no split; give at least one")
    graph = as_graph(edge_index, len(y))
    return AMUDStability(tuple(amud(graph, y, mask=mask, **settings) for mask in train_masks))


def _labelled(y: Tensor, mask: Tensor | None, num_nodes: int) -> Tensor:
    """Nodes whose labels count, checked."""
    if y.dim() != 1 or y.is_floating_point() or y.dtype == torch.bool or len(y) != num_nodes:
        raise ValueError(
            f"y must be [{num_nodes}], an integer class per node, got {y.dtype} of shape "
            f"{list(y.shape)}"
        )
    if mask is not None and (mask.dtype != torch.bool or mask.shape != y.shape):
        raise ValueError(
            f"mask must be bool of shape {list(y.shape)}, got {mask.dtype} of shape "
            f"{list(mask.shape)}"
        )
    nodes = (y >= 0 if mask is None else (y >= 0) & mask).nonzero().squeeze(1)
    sizes = y[nodes].unique(return_counts=True)[1]
    within = "" if mask is None else " inside the mask"
    if len(nodes) < 2:
        raise ValueError(f"AMUD needs at least 2 labelled nodes, got {len(nodes)}{within}")
    if len(sizes) < 2:
        raise ValueError(f"AMUD needs at least 2 classes, got one label for all nodes{within}")
    if int(sizes.max()) < 2:
        raise ValueError(f"AMUD needs two nodes of the same class, but every label{within} differs")
    return nodes


def _rows(
    pairs: Sequence[tuple[CSR, CSR]], method: str, num_samples: int, seed: int
) -> Tensor | None:
    """The labelled nodes to count for, by their places; None for all."""
    pairs = list(pairs)
    num_labelled = pairs[0][0].num_rows
    if method == "exact" or num_labelled <= num_samples:
        return None
    if method == "auto" and sum(int(num_paths(*two).sum()) for two in pairs) <= MOST_PATHS:
        return None
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(num_labelled, generator=generator)[:num_samples]
    return drawn.to(pairs[0][0].device)


def _one_step(forward: CSR, nodes: Tensor, label: Tensor) -> Tensor:
    """``[2]``: per labelled node, labelled nodes that it points at, and those of its label."""
    place = torch.full((forward.num_cols,), -1, device=nodes.device)
    place[nodes] = torch.arange(len(nodes), device=nodes.device)
    target, source = place[forward.col.long()], forward.row.long()
    source, target = source[target >= 0], target[target >= 0]
    alike = (label[source] == label[target]).sum()
    return torch.stack([torch.full_like(alike, len(source)), alike]).double() / len(nodes)
