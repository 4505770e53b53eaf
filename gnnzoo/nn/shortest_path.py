"""Link scores without parameters: how few steps lead from one node to the other."""

import torch
from torch import Tensor

from gnnzoo.nn.pair_predictors import PairPredictor
from gnnzoo.nn.source_blocks import few_sources, source_blocks
from gnnzoo.ops import CSR, Graph
from gnnzoo.ops.csr import row_entries
from gnnzoo.ops.overlap import without_loops
from gnnzoo.ops.pairs import check_pairs

FAR = 1 / 999


class ShortestPath(PairPredictor):
    r"""One over the number of steps from the first node to the second.

    A pair that no path joins gets 1/999, and so does a pair of a node with itself, which is no
    link. Breadth-first search from some sources at a time, until all their targets are found.

    Shapes:
        x: Not read; may be None.
        graph: Edges that may be seen, followed from source to target.
        pairs: ``[2, num_pairs]``, integer.
        returns: ``[num_pairs]``, float32.

    Raises:
        ValueError: If `pairs` is malformed.
    """

    @torch.no_grad()
    def forward(self, x: Tensor | None, graph: Graph, pairs: Tensor) -> Tensor:
        pairs = check_pairs(graph, pairs)
        csr = without_loops(graph.csr)
        pairs = few_sources(csr, pairs)
        score = torch.full((pairs.size(1),), FAR, device=csr.device)
        items = torch.full((csr.num_rows,), csr.num_entries, device=csr.device)
        for sources, rows, place in source_blocks(csr, pairs[0], items):
            steps = _steps(csr.transposed()[0], sources, place * csr.num_rows + pairs[1, rows])
            score[rows] = torch.where(steps > 0, steps.float().reciprocal(), FAR)
        return score

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _steps(csr: CSR, sources: Tensor, wanted: Tensor) -> Tensor:
    """Steps along rows from sources to nodes; 0 at the source, -1 where there is no way.

    Shapes:
        sources: ``[num_sources]``, int64.
        wanted: ``[num_wanted]``, int64, each ``place of the source * num_nodes + node``.
        returns: ``[num_wanted]``, int32.
    """
    num_nodes, level = csr.num_rows, 0
    place = torch.arange(sources.numel(), device=sources.device)
    front = place * num_nodes + sources
    steps = torch.full((sources.numel() * num_nodes,), -1, dtype=torch.int32, device=csr.device)
    steps[front] = 0
    while front.numel() and (steps[wanted] < 0).any():
        level += 1
        start = front.div(num_nodes, rounding_mode="floor") * num_nodes
        entries, owner = row_entries(csr.rowptr, front - start)
        reached = start[owner] + csr.col[entries]
        reached = reached[steps[reached] < 0]
        steps[reached] = level
        front = reached.unique()
    return steps[wanted]
