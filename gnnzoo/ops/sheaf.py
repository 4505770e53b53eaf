"""The Laplacian of a cellular sheaf, applied without making a matrix of blocks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from gnnzoo.ops.graph import Graph
from gnnzoo.ops.inverse_root import inverse_root, pseudo_inverse_root
from gnnzoo.ops.pair_scale import root
from gnnzoo.ops.sheaf_family import augmented_blocks
from gnnzoo.ops.sheaf_graph import SheafGraph, as_sheaf_graph
from gnnzoo.ops.sheaf_pattern import SheafPattern
from gnnzoo.ops.sheaf_product import sheaf_product
from gnnzoo.ops.sheaf_step import sheaf_step
from gnnzoo.ops.sheaf_terms import diagonal_terms, full_terms
from gnnzoo.ops.spmm import compute_dtype, restore_dtype

NORMS = ("sym", "chol", "deg", None)
FIXED = {"lp": 1.0, "hp": -1.0}  # sign of the entries off the diagonal


class SheafLaplacian:
    r"""A sheaf Laplacian of one graph, ready to be applied to features.

    .. math:: \Delta = S L S^\top, \qquad
        (L x)_v = \sum_{e = (v, u)} w_e F_{v \trianglelefteq e}^\top
        (F_{v \trianglelefteq e} x_v - F_{u \trianglelefteq e} x_u)

    Symmetric and positive semi-definite, with a spectrum in [0, 2) for ``sym`` and ``chol``.

    Paper: "Neural Sheaf Diffusion with the topological perspective on heterophily and
    oversmoothing in GNNs" (Bodnar et al., NeurIPS 2022), section 3,
    https://arxiv.org/abs/2202.04579

    Made by `from_maps`. Attributes are those of `gnnzoo.ops.sheaf_product.sheaf_product`.
    """

    def __init__(
        self,
        graph: SheafGraph,
        off: Tensor,
        degree: Tensor,
        scale: Tensor | None,
        stalk_dim: int,
        num_fixed: int,
        full: bool,
        symmetric: bool = True,
    ) -> None:
        self.graph = graph
        self.off, self.degree, self.scale = off, degree, scale
        self.stalk_dim, self.num_fixed = stalk_dim, num_fixed
        self.full, self.symmetric = full, symmetric

    @classmethod
    def from_maps(
        cls,
        maps: Tensor,
        graph: SheafGraph,
        *,
        norm: str | None = "sym",
        augmented: bool = True,
        weight: Tensor | None = None,
        edge_weight: Tensor | None = None,
        fixed: Sequence[str] = (),
        orthogonal: bool = False,
    ) -> "SheafLaplacian":
        r"""Put the Laplacian together.

        Args:
            maps: One restriction map per half-edge, that of the node which receives it.
            graph: The half-edges.
            norm: ``sym``, :math:`S = \tilde D^{-1/2}`; ``chol``, the inverse of the Cholesky
                factor of :math:`\tilde D`, the same operator in another basis of each stalk;
                ``deg``, a number per node that bounds maps with entries in [-1, 1]; None, not
                normalised.
            augmented: Whether :math:`\tilde D = D + I`, else D and its pseudo-inverse.
            weight: w of each pair, for the learned stalk dimensions.
            edge_weight: w of each input edge, not negative, for all stalk dimensions.
            fixed: Stalk dimensions of one number each behind the learned ones, not coupled with
                them: ``lp``, degree plus adjacency, which lets low frequencies pass, and ``hp``,
                degree minus adjacency.
            orthogonal: Promise that maps are orthogonal, so that D needs no blocks.

        Shapes:
            maps: ``[num_half_edges, stalk_dim]``, diagonal, or ``[.., stalk_dim, stalk_dim]``.
            weight: ``[num_pairs]``. edge_weight: ``[num_input_edges]``.

        Raises:
            ValueError: If a setting is unknown, or shapes or weights do not fit.
            RuntimeError: If a gradient is asked for where a pseudo-inverse has none.
        """
        _check(maps, graph, norm, fixed)
        maps = maps.to(compute_dtype(maps))
        full, blocks, dim = maps.dim() == 3, maps.dim() == 3 and not orthogonal, maps.size(1)
        dtype, own = maps.dtype, norm in ("sym", "chol")
        outer = None if edge_weight is None else graph.pair_weights(edge_weight).to(dtype)
        inner = outer if weight is None else weight.to(dtype)
        if weight is not None and outer is not None:
            inner = inner * outer
        scale = None
        if not full:
            off, degree = diagonal_terms(maps, inner, graph, own, augmented)
        elif blocks:
            off, degree = full_terms(maps, inner, graph, with_degree=True)
            scale = _root_of_blocks(degree, dim, norm, augmented) if own else None
        else:
            sent, degree = graph.laplacian(inner, own, augmented, dtype)
            off, _ = full_terms(maps, sent, graph, with_degree=False)
            degree = degree.unsqueeze(1)
        if norm == "deg":
            off, degree = _by_degree(off, degree, graph, outer, augmented, full, dim, blocks)
        if fixed:
            normalize = norm is not None and scale is None
            sent, plain = graph.laplacian(outer, normalize, augmented, dtype)
            signs = maps.new_tensor([FIXED[name] for name in fixed])
            rows = torch.outer(signs, sent) if full else torch.outer(sent, signs)
            off = torch.cat([off, rows], dim=0 if full else 1)
            degree = _append(degree, plain, dim, len(fixed))
            if scale is not None:
                scale = _append(scale, root(plain, augmented), dim, len(fixed))
        symmetric = norm != "chol"
        return cls(graph, off, degree, scale, dim, len(fixed), full, symmetric)

    @property
    def num_stalks(self) -> int:
        """Stalk dimensions of each node, learned and fixed."""
        return self.stalk_dim + self.num_fixed

    def __call__(self, x: Tensor) -> Tensor:
        """The Laplacian times features.

        Shapes:
            x: ``[num_nodes, num_stalks, channels]`` or ``[num_nodes, num_stalks * channels]``.
            returns: as `x`; float32 under autocast.

        Raises:
            ValueError: If shape or device do not fit.
        """
        nodes, stalks = self.graph.num_nodes, self.num_stalks
        wide = x.dim() == 2 and x.size(1) % stalks == 0
        if x.size(0) != nodes or not (wide or (x.dim() == 3 and x.size(1) == stalks)):
            raise ValueError(
                f"x must have shape [{nodes}, {stalks}, channels] or "
                f"[{nodes}, {stalks} * channels], got {list(x.shape)}"
            )
        if x.device != self.graph.device:
            raise ValueError(f"x is on {x.device}, the graph on {self.graph.device}; move one")
        out = sheaf_product(
            x.to(self.off.dtype).reshape(nodes, stalks, x.numel() // max(nodes * stalks, 1)),
            self.off,
            self.degree,
            self.scale,
            self._pattern(),
            self.stalk_dim,
            self.full,
            self.symmetric,
        )
        return restore_dtype(out.view(x.shape), x)

    def step(
        self,
        x: Tensor,
        factor: Tensor | None,
        left: Tensor,
        right: Tensor,
        epsilon: Tensor,
        elu: bool,
    ) -> Tensor:
        """A whole diffusion step as one operator, see `gnnzoo.ops.sheaf_step`; not autocast.

        Shapes:
            x: ``[num_nodes, num_stalks * channels]``.
            returns: as `x`; float32 under autocast.
        """
        operands = x, factor, left, right, epsilon, self.off, self.degree, self.scale
        settings = self._pattern(), self.stalk_dim, self.full, self.symmetric, elu
        if x.dtype == self.off.dtype and not torch.is_autocast_enabled(x.device.type):
            return sheaf_step(*operands, *settings)
        operands = (None if t is None else t.to(self.off.dtype) for t in operands)
        with torch.autocast(x.device.type, enabled=False):
            out = sheaf_step(*operands, *settings)
        return restore_dtype(out, x)

    def _pattern(self) -> SheafPattern:
        return self.graph.pattern(self.stalk_dim, self.full, self.num_fixed)

    def to_dense(self) -> Tensor:
        """``[num_nodes * num_stalks] * 2``, for tests and small graphs."""
        size = self.graph.num_nodes * self.num_stalks
        eye = torch.eye(size, dtype=self.off.dtype, device=self.graph.device)
        return self(eye.view(self.graph.num_nodes, self.num_stalks, size)).view(size, size)

    def __repr__(self) -> str:
        return (
            f"SheafLaplacian({self.graph.num_nodes} nodes, stalk_dim={self.stalk_dim}, "
            f"num_fixed={self.num_fixed}, full={self.full})"
        )


def sheaf_laplacian(
    x: Tensor,
    maps: Tensor,
    graph: Tensor | EdgeIndex | Graph | SheafGraph,
    *,
    undirected: str = "check",
    **settings: object,
) -> Tensor:
    """One application of a sheaf Laplacian.

    Args:
        x: Features.
        maps: Restriction maps. Of raw edges or a `Graph` one for each edge, that of its target,
            copies of an edge with equal ones; of a `SheafGraph` one for each half-edge.
        graph: The edges.
        undirected: What to do about an edge without reverse, see `SheafGraph.from_graph`.
        **settings: As in `SheafLaplacian.from_maps`.

    Shapes:
        x: ``[num_nodes, num_stalks, channels]`` or ``[num_nodes, num_stalks * channels]``.
        maps: ``[num_edges, stalk_dim]`` or ``[num_edges, stalk_dim, stalk_dim]``.
        returns: as `x`.
    """
    sheaf_graph = as_sheaf_graph(graph, x.size(0), undirected)
    if sheaf_graph is not graph:
        maps = sheaf_graph.arrange(maps)
    return SheafLaplacian.from_maps(maps, sheaf_graph, **settings)(x)


def _check(maps: Tensor, graph: SheafGraph, norm: str | None, fixed: Sequence[str]) -> None:
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(map(repr, NORMS))}, got {norm!r}")
    if odd := [name for name in fixed if name not in FIXED]:
        raise ValueError(f"fixed stalk dimensions are 'lp' and 'hp', got {odd[0]!r}")
    square = maps.dim() == 3 and maps.size(1) == maps.size(2)
    if maps.size(0) != graph.num_half_edges or not (maps.dim() == 2 or square):
        raise ValueError(
            f"maps must have shape [{graph.num_half_edges}, stalk_dim] or "
            f"[{graph.num_half_edges}, stalk_dim, stalk_dim], got {list(maps.shape)}"
        )
    if not maps.is_floating_point():
        raise ValueError(f"maps must be floating point, got {maps.dtype}")


def _root_of_blocks(degree: Tensor, dim: int, norm: str, augmented: bool) -> Tensor:
    square = degree.view(-1, dim, dim)
    if augmented:
        method = "cholesky" if norm == "chol" else "eigh"
        roots = inverse_root(augmented_blocks(degree, dim), method)
        return roots.to(degree.dtype).flatten(1)
    if torch.is_grad_enabled() and square.requires_grad:
        raise RuntimeError(
            "augmented=False has no gradient for full maps, whose degree blocks may be singular; "
            "use augmented=True or torch.no_grad()"
        )
    return pseudo_inverse_root(square).flatten(1)


def _by_degree(
    off: Tensor,
    degree: Tensor,
    graph: SheafGraph,
    outer: Tensor | None,
    augmented: bool,
    full: bool,
    dim: int,
    blocks: bool,
) -> tuple[Tensor, Tensor]:
    """Divide by the root of a number per node that bounds the degree."""
    _, plain = graph.laplacian(outer, False, augmented, off.dtype)
    # Entries in [-1, 1] bound the norm of a full map by its dimension, and that enters squared.
    scale = root(plain * dim**2 if blocks else plain, augmented)
    first, second = scale[graph.ends]
    product = first * second
    off = off * (product if full else product.unsqueeze(1))
    return off, degree * scale.square().unsqueeze(1)


def _append(values: Tensor, fixed: Tensor, dim: int, num_fixed: int) -> Tensor:
    """Values of the fixed stalk dimensions behind those of the learned ones."""
    if values.size(1) == 1:
        values = values.expand(-1, dim)
    return torch.cat([values, fixed.unsqueeze(1).expand(-1, num_fixed)], dim=1)
