"""Sheaf Laplacians block by block, written from the equations."""

import torch
from torch import Tensor


def reverse(edge_index: Tensor) -> list[int]:
    """For each column of `edge_index` the column of its reverse."""
    columns = [tuple(pair) for pair in edge_index.t().tolist()]
    return [columns.index((target, source)) for source, target in columns]


def laplacian(
    edge_index: Tensor,
    maps: Tensor,
    num_nodes: int,
    weight: Tensor | None = None,
    fixed: tuple[str, ...] = (),
    plain: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The Laplacian, not normalised, and its diagonal blocks ``[num_nodes, stalks, stalks]``.

    Args:
        edge_index: Every edge once in each direction, no self-loops.
        maps: One for each edge, that of its target.
        num_nodes: Number of nodes.
        weight: Factor of each edge's term, for the learned stalk dimensions.
        fixed: Fixed stalk dimensions.
        plain: Factor of each edge's term, for the fixed ones.
    """
    maps = torch.diag_embed(maps) if maps.dim() == 2 else maps
    dim, num_edges = maps.size(1), edge_index.size(1)
    weight = maps.new_ones(num_edges) if weight is None else weight
    plain = maps.new_ones(num_edges) if plain is None else plain
    size = dim + len(fixed)
    blocks = maps.new_zeros(num_nodes, num_nodes, size, size)
    for k, other in enumerate(reverse(edge_index)):
        source, target = edge_index[:, k].tolist()
        blocks[target, target, :dim, :dim] += weight[k] * maps[k].T @ maps[k]
        blocks[target, source, :dim, :dim] -= weight[k] * maps[k].T @ maps[other]
        for place, name in enumerate(fixed, start=dim):
            blocks[target, target, place, place] += plain[k]
            blocks[target, source, place, place] += plain[k] * (1 if name == "lp" else -1)
    dense = blocks.transpose(1, 2).reshape(num_nodes * size, num_nodes * size)
    return dense, torch.stack([blocks[v, v] for v in range(num_nodes)])


def inverse_root(matrix: Tensor) -> Tensor:
    """Pseudo-inverse of the square root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > 1e-10
    return (vectors[:, kept] / values[kept].sqrt()) @ vectors[:, kept].T


def normalized(dense: Tensor, degree: Tensor, norm: str | None, augmented: bool = True) -> Tensor:
    """``S L S^T`` with one block of S for each node; ``chol`` needs `augmented`."""
    if norm is None:
        return dense
    eye = torch.eye(degree.size(1), dtype=degree.dtype)
    blocks = degree + eye if augmented else degree
    if norm == "chol":
        scale = torch.block_diag(*(torch.linalg.inv(torch.linalg.cholesky(b)) for b in blocks))
    else:
        scale = torch.block_diag(*(inverse_root(b) for b in blocks))
    return scale @ dense @ scale.T


def euler_step(x: Tensor, delta: Tensor, step: float) -> Tensor:
    return x - step * delta @ x
