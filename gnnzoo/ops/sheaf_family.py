"""From what a learner says about half-edges to the blocks of a Laplacian and back, by hand.

For `gnnzoo.ops.sheaf_layer`. Operations and their order are those of
`gnnzoo.ops.SheafLaplacian.from_maps` under autograd, so that results are the same to the last bit;
for the normalised Laplacian (``norm="sym"``) of learned stalk dimensions alone, with maps made of
the tanh of scores.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gnnzoo.ops.inverse_root import root_forward, root_gradient
from gnnzoo.ops.orthogonal import maps_forward, maps_gradient, num_parameters
from gnnzoo.ops.pair_scale import pair_scale_forward, pair_scale_gradients
from gnnzoo.ops.sheaf_graph import SheafGraph
from gnnzoo.ops.sheaf_terms import (
    diagonal_forward,
    diagonal_gradients,
    full_forward,
    full_gradients,
)

FEW_NODES = 400  # up to here one call of a library beats a hundred small ones, also in float64


class Blocks(NamedTuple):
    """The blocks of a Laplacian, see `gnnzoo.ops.sheaf_product`; of gradients each may be None."""

    off: Tensor
    degree: Tensor
    scale: Tensor | None


class DiagonalFamily:
    """Diagonal maps.

    Args:
        graph: The half-edges.
        stalk_dim: Learned stalk dimensions.
        augmented: Whether degrees are those of D + I.
    """

    full = False

    def __init__(self, graph: SheafGraph, stalk_dim: int, augmented: bool) -> None:
        self.graph, self.stalk_dim, self.augmented = graph, stalk_dim, augmented

    def blocks(self, scores: Tensor) -> tuple[Blocks, list[Tensor]]:
        """The blocks, and what `gradient` reads.

        Shapes:
            scores: ``[num_half_edges, num_scores]``.
        """
        maps = scores.tanh()
        rows = _rows(self.graph, maps.dtype)
        off, degree, *kept = diagonal_forward(maps, None, *rows, True, self.augmented)
        return Blocks(off, degree, None), [maps, *kept]

    def gradient(self, grad: Blocks, kept: list[Tensor]) -> Tensor:
        """Gradient to the scores."""
        maps, *kept = kept
        rows = _rows(self.graph, maps.dtype)
        back, _ = diagonal_gradients(
            grad.off, grad.degree, maps, None, *kept, *rows, True, self.augmented
        )
        return torch.ops.aten.tanh_backward(back, maps)


class BundleFamily:
    """Orthogonal maps, and a weight of each pair if there is one more score than they take.

    Args:
        graph, stalk_dim, augmented: As of `DiagonalFamily`.
        orth: How maps are made, see `gnnzoo.ops.orthogonal_maps`; not ``cayley`` or ``exp`` with a
            `stalk_dim` above 3.
    """

    full = True

    def __init__(self, graph: SheafGraph, stalk_dim: int, augmented: bool, orth: str) -> None:
        self.graph, self.stalk_dim, self.augmented = graph, stalk_dim, augmented
        self.orth, self.num_scores = orth, num_parameters(stalk_dim, orth)

    def blocks(self, scores: Tensor) -> tuple[Blocks, list[Tensor]]:
        graph, augmented = self.graph, self.augmented
        scores = scores.t().contiguous()
        params = scores[: self.num_scores].tanh()
        maps = maps_forward(params.t(), self.stalk_dim, self.orth)
        kept = [params, maps]
        if scores.size(0) > self.num_scores:
            share = scores[-1].sigmoid().view(2, -1)
            both = share[0] * share[1]
            weight = both.square()
            rows = _rows_of_pairs(graph, maps.dtype)
            sent, degree, root = pair_scale_forward(weight, *rows, True, augmented)
            kept += [share, both, weight, root]
        else:
            sent, degree = graph.laplacian(None, True, augmented, maps.dtype)
        off, _ = full_forward(maps, sent, *_rows(graph, maps.dtype), False)
        return Blocks(off, degree.unsqueeze(1), None), [sent, *kept]

    def gradient(self, grad: Blocks, kept: list[Tensor]) -> Tensor:
        sent, params, maps, *of_weight = kept
        back, to_sent = full_gradients(grad.off, None, maps, sent, self.graph.receiver, False)
        to_params = maps_gradient(back, params.t(), maps, self.stalk_dim, self.orth)
        to_scores = torch.ops.aten.tanh_backward(to_params.t(), params)
        if of_weight:
            share, both, weight, root = of_weight
            rows = _rows_of_pairs(self.graph, maps.dtype)
            to_weight = pair_scale_gradients(
                to_sent, grad.degree.squeeze(1), weight, root, *rows, self.augmented
            )
            to_both = to_weight * (2.0 * both)
            to_share = to_both * share.flip(0)
            last = torch.ops.aten.sigmoid_backward(to_share, share).view(1, -1)
            to_scores = torch.cat([to_scores, last])
        return to_scores.t()


class GeneralFamily:
    """Maps without constraint; arguments as of `DiagonalFamily`."""

    full = True

    def __init__(self, graph: SheafGraph, stalk_dim: int, augmented: bool) -> None:
        if not augmented:
            raise ValueError("the blocks of general maps have gradients with augmented=True only")
        self.graph, self.stalk_dim = graph, stalk_dim

    def blocks(self, scores: Tensor) -> tuple[Blocks, list[Tensor]]:
        numbers, dim = scores.t().contiguous().tanh(), self.stalk_dim
        maps = numbers.view(dim, dim, -1).permute(2, 0, 1)
        off, degree = full_forward(maps, None, *_rows(self.graph, maps.dtype), True)
        root, kept = root_forward(augmented_blocks(degree, dim))
        return Blocks(off, degree, root.to(maps.dtype).flatten(1)), [numbers, *kept]

    def gradient(self, grad: Blocks, kept: list[Tensor]) -> Tensor:
        numbers, *of_root = kept
        dim = self.stalk_dim
        maps = numbers.view(dim, dim, -1).permute(2, 0, 1)
        to_root = grad.scale.view(-1, dim, dim).to(of_root[0].dtype)
        to_degree = root_gradient(to_root, of_root).to(maps.dtype).flatten(1)
        back, _ = full_gradients(
            grad.off, grad.degree + to_degree, maps, None, self.graph.receiver, True
        )
        back = back.permute(1, 2, 0).reshape(numbers.shape)
        return torch.ops.aten.tanh_backward(back, numbers).t()


def augmented_blocks(degree: Tensor, dim: int) -> Tensor:
    """D + I, ``[num_nodes, dim, dim]``, in the type in which its inverse root is fastest."""
    total = degree.view(-1, dim, dim) + torch.eye(dim, dtype=degree.dtype, device=degree.device)
    if dim == 3 and degree.device.type == "cpu" and total.size(0) <= FEW_NODES:
        return total.double()  # by eigenvectors
    return total


def _rows(graph: SheafGraph, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sums = graph.receivers(dtype)
    return sums.values, sums.csr.rowptr, sums.csr.col, graph.receiver


def _rows_of_pairs(graph: SheafGraph, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sums = graph.incidence(dtype)
    return sums.values, sums.csr.rowptr, sums.csr.col, graph.ends
