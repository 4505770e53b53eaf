"""Orthogonal maps from features alone: frames by local principal components, aligned along edges.

To be computed once, in float64, nodes with equally many neighbours at a time. The time goes with
the cubes of the degrees, so that of a few hubs can outweigh all the rest.
"""

import torch
from torch import Tensor

from gnnzoo.ops.csr import CSR, builder
from gnnzoo.ops.graph import Graph
from gnnzoo.ops.spmm import compute_dtype

CHUNK_ELEMENTS = 1 << 22  # numbers of one gathered intermediate
ZERO = 1e-7  # a singular value below this share of the largest one has no direction


@builder
def local_pca_maps(x: Tensor, edge_index: Tensor, dim: int) -> Tensor:
    r"""Maps of a sheaf whose transports align the neighbourhoods' principal directions.

    The frame :math:`O_v` of a node holds the `dim` first left singular vectors of the differences
    :math:`x_u - x_v` to its neighbours. Along an edge the transport is
    :math:`O_{vu} = U V^T` for :math:`U \Sigma V^T = O_v^T O_u`, the orthogonal matrix nearest to
    :math:`O_v^T O_u`. The maps have :math:`F_v^T F_u = O_{vu}` for every edge from u to v: the end
    with the smaller number has the identity and the other one the transport. Of an edge without its
    reverse the target has the transport, so that the source, which gets no map, has the identity.

    Neighbours are counted once, in whichever direction the edges to them are listed, and not the
    node itself. Where there are fewer than `dim`, the nearest other nodes are added, of equally
    near ones those with the smallest numbers. Signs, and directions that the differences do not
    determine (equal features, too few nodes), come from one fixed generic matrix. Equal singular
    values leave their directions to the library.

    Paper: "Sheaf Neural Networks with Connection Laplacians" (Barbero et al., TAG-ML 2022),
    https://arxiv.org/abs/2206.08702

    Args:
        x: Features; no gradient goes through them.
        edge_index: Edges; copies of an edge get equal maps, a self-loop the identity.
        dim: Stalk dimension.

    Shapes:
        x: ``[num_nodes, channels]``, floating point, ``channels >= dim``.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target.
        returns: ``[num_edges, dim, dim]``, in the order of `edge_index`: the map of each edge's
            target. Of the type of `x`, float32 for half precision.

    Raises:
        ValueError: If shapes or types are wrong, `x` is not finite, or it has fewer channels than
            `dim`.
    """
    _check(x, dim)
    x = x.to(compute_dtype(x))
    frames = local_frames(x, edge_index, dim)
    source, target = edge_index.long()
    low, high = torch.minimum(source, target), torch.maximum(source, target)
    pairs, which = (low * x.size(0) + high).unique(return_inverse=True)
    first, second = pairs.div(max(x.size(0), 1), rounding_mode="floor"), pairs % max(x.size(0), 1)
    step = max(CHUNK_ELEMENTS // (dim * x.size(1)), 1)
    with torch.autocast(x.device.type, enabled=False):
        aligned = [
            _nearest_orthogonal(frames[a] @ frames[b].mT)
            for a, b in zip(first.split(step), second.split(step), strict=True)
        ]
    transports = torch.cat(aligned)[which]  # from `high` to `low`
    eye = torch.eye(dim, dtype=torch.float64, device=x.device)
    smaller = (target == low).view(-1, 1, 1)
    matched = torch.isin(target * x.size(0) + source, source * x.size(0) + target).view(-1, 1, 1)
    at_smaller = torch.where(matched, eye, transports.mT)  # with the identity at the larger end
    return torch.where(smaller, at_smaller, transports).to(x.dtype)


@builder
def local_frames(x: Tensor, edge_index: Tensor, dim: int) -> Tensor:
    """Orthonormal rows that span each neighbourhood; arguments as of `local_pca_maps`.

    Shapes:
        returns: ``[num_nodes, dim, channels]``, of the type of `x`.
    """
    csr = _neighbours(x, edge_index, dim)
    counts = csr.row_counts()
    generic = _generic(dim, x)
    frames = x.new_empty(x.size(0), dim, x.size(1))
    for count in counts.unique().tolist():
        nodes = (counts == count).nonzero().squeeze(1)
        entries = torch.arange(count, device=x.device)
        for part in nodes.split(max(CHUNK_ELEMENTS // (max(count, 1) * x.size(1)), 1)):
            others = csr.col[csr.rowptr[part].long().unsqueeze(1) + entries].long()
            differences = x[others].double() - x[part].double().unsqueeze(1)
            frames[part] = _principal(differences, generic).to(x.dtype)
    return frames


def _neighbours(x: Tensor, edge_index: Tensor, dim: int) -> CSR:
    """Rows are nodes, columns their neighbours, at least `dim` of them where there are so many."""
    num_nodes = x.size(0)
    edges = Graph.from_edge_index(edge_index, num_nodes).edge_index
    both = torch.cat([edges, edges.flip(0)], dim=1)
    csr = Graph.from_edge_index(both[:, both[0] != both[1]], num_nodes).csr
    row, col = [csr.row.long()], [csr.col.long()]
    lonely = (csr.row_counts() < min(dim, num_nodes - 1)).nonzero().squeeze(1)
    wide = x.double()
    squares = wide.square().sum(1)
    fine = 2.0**40 / squares.amax().clamp_min(torch.finfo(wide.dtype).tiny) if num_nodes else 1.0
    for part in lonely.split(max(CHUNK_ELEMENTS // max(num_nodes, 1), 1)):
        distance = squares - 2.0 * wide[part] @ wide.T  # less the square of the node's own length
        distance = (distance * fine).round_()  # what is equal but for rounding is equal
        own = torch.arange(part.numel(), device=x.device)
        distance[own, part] = torch.inf
        taken, _ = csr.select_rows(part)
        distance[taken.row.long(), taken.col.long()] = torch.inf
        missing = dim - csr.row_counts()[part]
        for k in range(min(dim, num_nodes - 1)):
            nearest = distance.argmin(1)
            distance[own, nearest] = torch.inf
            row.append(part[missing > k])
            col.append(nearest[missing > k])
    return CSR.from_coo(torch.cat(row), torch.cat(col), num_nodes, num_nodes)[0]


def _principal(differences: Tensor, generic: Tensor) -> Tensor:
    """``[num, count, channels]`` -> the first right singular vectors as rows, ``[num, dim, ...]``.

    By the eigenvectors of the smaller of both matrices of inner products.
    """
    num, count, channels = differences.shape
    dim = generic.size(0)
    frames = differences.new_zeros(num, dim, channels)
    found = min(dim, count)
    if count <= channels:
        values, vectors = torch.linalg.eigh(differences @ differences.mT)
        top = vectors[:, :, count - found :].mT @ differences
    else:
        values, vectors = torch.linalg.eigh(differences.mT @ differences)
        top = vectors[:, :, channels - found :].mT
    if found:
        frames[:, :found] = top.flip(1)
        lengths = values[:, -found:].flip(1).clamp_min(0.0).sqrt()
        known = lengths > ZERO * lengths[:, :1]
    else:
        known = differences.new_zeros(num, 0, dtype=torch.bool)
    return _complete(frames, known, generic)


def _complete(frames: Tensor, known: Tensor, generic: Tensor) -> Tensor:
    """Orthonormal rows with fixed signs; those not known are taken from the generic matrix."""
    frames[:, : known.size(1)] *= known.unsqueeze(2)
    for j in range(frames.size(1)):
        row = frames[:, j]
        if j >= known.size(1) or not known[:, j].all():
            other = generic[j].expand_as(row)
            row = torch.where(row.any(1, keepdim=True), row, other)
        for _ in range(2):  # once leaves too much of directions that nearly coincide
            before = frames[:, :j]
            row = row - (before.mT @ (before @ row.unsqueeze(2))).squeeze(2)
        row = row / torch.linalg.vector_norm(row, dim=1, keepdim=True)
        frames[:, j] = torch.where((row @ generic[0] < 0).unsqueeze(1), -row, row)
    return frames


def _nearest_orthogonal(matrices: Tensor) -> Tensor:
    left, _, right = torch.linalg.svd(matrices.double())
    return left @ right


def _generic(dim: int, x: Tensor) -> Tensor:
    """``[dim, channels]``, the same every time."""
    generator = torch.Generator().manual_seed(0)
    shape = (dim, x.size(1))
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(x.device)


def _check(x: Tensor, dim: int) -> None:
    if dim < 1:
        raise ValueError(f"dim of local PCA maps must be at least 1, got {dim}")
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(
            f"x must be a floating point matrix [num_nodes, channels], got {x.dtype} "
            f"of shape {list(x.shape)}"
        )
    if x.size(1) < dim:
        raise ValueError(
            f"local PCA maps of dim {dim} need at least {dim} features per node, got {x.size(1)}; "
            "lower dim"
        )
    if not x.isfinite().all():
        raise ValueError("x holds values that are not finite; local PCA needs finite features")
