"""Link scores without parameters: random and weighted walks from one node to the other."""

import torch
from torch import Tensor

from gnnzoo.nn.checks import check_count
from gnnzoo.nn.pair_predictors import PairPredictor
from gnnzoo.nn.source_blocks import few_sources, source_blocks
from gnnzoo.ops import CSR, Graph, SparseMatrix, spmm
from gnnzoo.ops.csr import row_entries
from gnnzoo.ops.overlap import without_loops
from gnnzoo.ops.pairs import check_pairs, find_entries

MAX_STEPS = 1000  # of walks without a longest length
WALK_COST = 64  # of one walk listed by itself, in multiplications of a sparse product


class Katz(PairPredictor):
    r"""Walks from one node to the other, the longer the less they count.

    .. math:: \sum_{l=1}^{L} \beta^l (A^l)_{ij}

    Only the two-step rows of the sources are made, some sources at a time, for L up to 3; longer
    walks take products with the whole matrix.

    Paper: "A new status index derived from sociometric analysis" (Katz, Psychometrika 1953).

    Args:
        beta: Weight of one step, positive.
        max_length: L; None for all walks, :math:`(I - \beta A)^{-1} - I`, up to rounding.

    Shapes:
        x: Not read; may be None.
        graph: Edges that may be seen; an entry counts once, a self-loop never.
        pairs: ``[2, num_pairs]``, integer.
        returns: ``[num_pairs]``, float32.

    Raises:
        ValueError: If a setting or `pairs` is malformed, or all walks together weigh infinitely
            much.
    """

    def __init__(self, beta: float = 0.005, max_length: int | None = 3) -> None:
        super().__init__()
        if not beta > 0:
            raise ValueError(f"beta must be positive, got {beta}")
        if max_length is not None:
            check_count("max_length", max_length, 1)
        self.beta = beta
        self.max_length = max_length

    @torch.no_grad()
    def forward(self, x: Tensor | None, graph: Graph, pairs: Tensor) -> Tensor:
        pairs = check_pairs(graph, pairs)
        csr = without_loops(graph.csr)
        pairs = few_sources(csr, pairs)
        score = self.beta * find_entries(csr, *pairs)[1].double()
        if self.max_length == 1:
            return score.float()
        reversed_csr = csr.transposed()[0]
        for sources, rows, place in source_blocks(csr, pairs[0], _two_step_items(csr)):
            before = self._all_but_last_step(csr, sources)  # [num_sources, num_nodes]
            entries, owner = row_entries(reversed_csr.rowptr, pairs[1, rows])
            value = before.view(-1)[place[owner] * csr.num_cols + reversed_csr.col[entries]]
            score[rows] += score.new_zeros(rows.numel()).index_add_(0, owner, value)
        return score.float()

    def _all_but_last_step(self, csr: CSR, sources: Tensor) -> Tensor:
        r"""Row by row :math:`\sum_{l=1}^{L-1} \beta^{l+1} A^l`, float64."""
        entries, owner = row_entries(csr.rowptr, sources)
        node, size = csr.col[entries].long(), (sources.numel(), csr.num_cols)
        total = torch.zeros(size, dtype=torch.float64, device=csr.device)
        total.view(-1)[owner * csr.num_cols + node] = self.beta**2
        if self.max_length == 2:
            return total
        num_walks = int(csr.row_counts()[node].sum())
        if num_walks * WALK_COST > csr.num_entries * size[0]:
            walks = self.beta * spmm(_step(csr), total.t()).t()
        else:
            entries, before = row_entries(csr.rowptr, node)
            place = owner[before] * csr.num_cols + csr.col[entries]
            walks = torch.bincount(place, minlength=total.numel()).double().view(size)
            walks *= self.beta**3
        longer = 0.0 if self.max_length == 3 else self._longer(csr, walks)
        return total.add_(walks).add_(longer)

    def _longer(self, csr: CSR, walks: Tensor) -> Tensor:
        """What three and more steps add, from the weights of two."""
        step = _step(csr)
        h, total = walks.t(), torch.zeros_like(walks)
        length = 3
        while self.max_length is None or length < self.max_length:
            h = self.beta * spmm(step, h)  # [num_nodes, num_sources]
            total += h.t()
            largest = float(h.amax()) if h.numel() else 0.0
            if largest <= 1e-17 * max(float(total.amax()) if total.numel() else 0.0, 1e-280):
                break
            if length > MAX_STEPS or largest > 1e100:
                raise ValueError(
                    f"beta={self.beta} is too large for all walks of this graph: each step adds "
                    "more than the one before; max_length=3 counts the short ones"
                )
            length += 1
        return total

    def __repr__(self) -> str:
        return f"{type(self).__name__}(beta={self.beta}, max_length={self.max_length})"


class PersonalizedPageRank(PairPredictor):
    r"""Where a random walk that keeps returning to one node is found.

    .. math:: \pi_i = (1 - d)\, e_i + d\, P^\top \pi_i, \qquad
        s_{ij} = \pi_i[j] \text{ or } \pi_i[j] + \pi_j[i]

    with P the step to a random neighbour; from a node without any the walk returns to i. By power
    iteration, some sources at a time.

    Paper: "The PageRank Citation Ranking" (Page et al., 1999).

    Args:
        damping: d, in [0, 1).
        symmetric: Whether both directions are added up.
        tol: Error of each :math:`\pi_i` that may remain, summed over nodes.

    Shapes:
        x: Not read; may be None.
        graph: Edges that may be seen; an entry counts once, a self-loop never.
        pairs: ``[2, num_pairs]``, integer.
        returns: ``[num_pairs]``, float32.

    Raises:
        ValueError: If a setting or `pairs` is malformed.
    """

    def __init__(self, damping: float = 0.85, symmetric: bool = False, tol: float = 1e-7) -> None:
        super().__init__()
        if not 0 <= damping < 1:
            raise ValueError(f"damping must be in [0, 1), got {damping}")
        if not 0 < tol < 1:
            raise ValueError(f"tol must be in (0, 1), got {tol}")
        self.damping = damping
        self.symmetric = symmetric
        self.tol = tol

    @torch.no_grad()
    def forward(self, x: Tensor | None, graph: Graph, pairs: Tensor) -> Tensor:
        pairs = check_pairs(graph, pairs)
        csr = without_loops(graph.csr)
        if not csr.is_symmetric:
            score = self._found(csr, pairs)
            return (score + self._found(csr, pairs.flip(0)) if self.symmetric else score).float()
        # Undirected walks are reversible, d_i pi_i[j] = d_j pi_j[i]: one direction gives both.
        degree = csr.row_counts().double()
        chosen = few_sources(csr, pairs)
        swapped = chosen is not pairs
        there = self._found(csr, chosen)
        start, end = degree[chosen[0]], degree[chosen[1]]
        back = torch.where(chosen[0] == chosen[1], there, there * start / end.clamp(min=1))
        return (there + back if self.symmetric else back if swapped else there).float()

    def _found(self, csr: CSR, pairs: Tensor) -> Tensor:
        """``[num_pairs]``, float64: how much of its time a walk from the first is at the second."""
        score = torch.zeros(pairs.size(1), dtype=torch.float64, device=csr.device)
        step = _ones(csr)
        degree = step.values.new_zeros(csr.num_cols).index_add_(0, csr.col, step.values)
        stuck = (degree == 0).nonzero().squeeze(1)
        share = torch.where(degree > 0, degree.reciprocal(), 0.0).unsqueeze(1)
        steps = self._num_steps()
        for sources, rows, place in source_blocks(csr, pairs[0]):
            home = sources, torch.arange(sources.numel(), device=sources.device)
            h = share.new_zeros(csr.num_rows, sources.numel())
            h[home] = 1.0
            for _ in range(steps):
                returned = (1 - self.damping) + self.damping * h[stuck].sum(0)
                h = self.damping * spmm(step, h * share)
                h[home] += returned
            score[rows] = h[pairs[1, rows], place]
        return score

    def _num_steps(self) -> int:
        """Until the error, 2 at most and times `damping` with each step, is below `tol`."""
        steps, error = 1, 2 * self.damping
        while error > self.tol:
            steps, error = steps + 1, error * self.damping
        return steps

    def __repr__(self) -> str:
        return f"{type(self).__name__}(damping={self.damping}, symmetric={self.symmetric})"


def _two_step_items(csr: CSR) -> Tensor:
    """``[num_nodes]``, int64: how many walks of two steps start at each node."""
    counts = csr.row_counts().long()
    return counts.new_zeros(csr.num_rows).index_add_(0, csr.row, counts[csr.col])


def _step(csr: CSR) -> SparseMatrix:
    """What takes a column of weights of walks one step on."""
    return _ones(csr.transposed()[0])


def _ones(csr: CSR) -> SparseMatrix:
    values = torch.ones(csr.num_entries, dtype=torch.float64, device=csr.device)
    return SparseMatrix(csr, values)
