"""A graph with some of its edges left out, made without sorting anything again.

Training a link predictor leaves out the links of every batch. The patterns of what is left, its
transpose and the one with self-loops are those of the whole graph with entries taken out, so each
costs one pass over the entries.
"""

import weakref

import torch
from torch import Tensor

from gnnzoo.ops.csr import CSR, builder
from gnnzoo.ops.graph import Graph
from gnnzoo.ops.pairs import check_pairs, find_entries


class PartialCSR(CSR):
    """Some entries of a pattern, in their order.

    Args:
        whole: The pattern.
        keep: ``[whole.num_entries]``, bool.

    Attributes:
        entries: ``[num_entries]``, int64: the entry of `whole` that each one was.
        rank: ``[whole.num_entries]``: how many of the entries before each one stay, which for one
            that stays is its new place.
    """

    def __init__(self, whole: CSR, keep: Tensor) -> None:
        before = whole.rowptr.new_zeros(keep.numel() + 1)
        torch.cumsum(keep, 0, dtype=before.dtype, out=before[1:])
        self.whole, self.keep, self.rank = whole, keep, before[:-1]
        self.entries = keep.nonzero().squeeze(1)
        rowptr, col = _take(before, whole.rowptr), _take(whole.col, self.entries)
        super().__init__(rowptr, col, whole.num_rows, whole.num_cols)

    @builder
    def _make_transposed(self) -> tuple[CSR, Tensor]:
        other, perm = self.whole.transposed()
        keep = _take(self.keep, perm)
        same = other is self.whole and torch.equal(keep, self.keep)
        part = self if same else PartialCSR(other, keep)
        perm = _take(self.rank, _take(perm, part.entries)).long()
        if same or (torch.equal(part.rowptr, self.rowptr) and torch.equal(part.col, self.col)):
            return self, perm  # what is left of a directed graph may be undirected, too
        back = torch.empty_like(perm)
        back[perm] = torch.arange(perm.numel(), device=perm.device)
        part._origin = (weakref.ref(self), back)
        return part, perm


def _take(values: Tensor, places: Tensor) -> Tensor:
    """``values[places]``, several times faster than writing it so on a CPU."""
    return values.index_select(0, places)


class Subgraph(Graph):
    """Some edges of a graph.

    Args:
        whole: The graph.
        keep: ``[whole.num_edges]``, bool: which edges stay.
    """

    def __init__(self, whole: Graph, keep: Tensor) -> None:
        csr = PartialCSR(whole.csr, keep)
        super().__init__(csr, torch.arange(csr.num_entries, device=keep.device))
        self.whole = whole

    @builder
    def _make_looped(self) -> tuple[CSR, Tensor, Tensor, Tensor, Tensor]:
        looped, entries = self.whole.with_self_loops()[:2]
        entries = _take(entries, self.csr.entries)
        keep = torch.zeros(looped.num_entries, dtype=torch.bool, device=self.device)
        keep[entries] = True
        missing = (looped.row == looped.col) & ~keep
        csr = PartialCSR(looped, keep | missing)
        loops = _take(csr.rank, missing.nonzero().squeeze(1)).long()
        return csr, _take(csr.rank, entries).long(), loops, loops[:0], loops[:0]


@builder
def keep_entries(graph: Graph, keep: Tensor) -> Graph:
    """The graph with only some of its edges, all nodes staying.

    Edges keep their order; the new graph counts each once, as if it had been built from its own
    `edge_index`. Weights of the whole graph's input edges carry over as
    ``graph.entry_weights(edge_weight)[keep]``.

    Args:
        graph: Any graph; what is made from it later, such as its transpose, is made for it once
            and shared by all its parts.
        keep: Which of its edges stay, in order of the entries.

    Shapes:
        keep: ``[num_edges]``, bool.

    Raises:
        ValueError: If shape, type or device of `keep` is wrong.
    """
    if keep.dtype != torch.bool:
        raise ValueError(f"keep must be bool, got {keep.dtype}")
    if keep.shape != (graph.num_edges,):
        raise ValueError(
            f"keep must have shape [{graph.num_edges}], one per edge, got {list(keep.shape)}"
        )
    if keep.device != graph.device:
        raise ValueError(f"keep is on {keep.device}, the graph on {graph.device}; move one of them")
    return Subgraph(graph, keep.clone())


@builder
def drop_links(graph: Graph, pairs: Tensor, strict: bool = True) -> Graph:
    """The graph without the given links, both directions of each.

    Args:
        graph: Any graph. One without repetitions, as all are: a link goes wholly.
        pairs: The links; order within a pair and repeated pairs make no difference.
        strict: Whether a pair that is no edge, in either direction, is an error.

    Shapes:
        pairs: ``[2, num_pairs]``, integer.

    Raises:
        ValueError: If `pairs` is malformed, or one of them is no edge and `strict` is set.
    """
    pairs = check_pairs(graph, pairs)
    there, found = find_entries(graph.csr, pairs[0], pairs[1])
    if graph.is_undirected:
        back, back_found = _take(graph.reverse_edge, there) if graph.num_edges else there, found
    else:
        back, back_found = find_entries(graph.csr, pairs[1], pairs[0])
    if strict and not (found | back_found).all():
        first, second = pairs[:, int((found | back_found).int().argmin())].tolist()
        raise ValueError(
            f"pair ({first}, {second}) is no edge of the graph; strict=False ignores such pairs"
        )
    keep = torch.ones(graph.num_edges, dtype=torch.bool, device=graph.device)
    keep[there[found]] = False
    keep[back[back_found]] = False
    return Subgraph(graph, keep)
