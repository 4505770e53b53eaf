r"""Sheaves whose restriction maps belong to nodes, not to edges.

With orthogonal :math:`F_{v \trianglelefteq e} = O_v` the Laplacian is that of the graph in other
bases, :math:`\Delta = O^\top (\Delta_G \otimes I) O`: one sparse product and nothing per edge.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.sheaf_graph import SheafGraph
from gnnzoo.ops.spmm import compute_dtype, restore_dtype, spmm

FIXED = ("lp", "hp")


class FlatLaplacian:
    """The Laplacian of a flat bundle, ready to be applied to features.

    Args:
        graph: The half-edges.
        frames: Orthogonal matrix of each node; None for the identity, the trivial sheaf, which
            makes the diffusion of a GCN.
        stalk_dim: Learned stalk dimensions.
        normalize: Whether degrees are divided out, by their square root on both sides.
        augmented: Whether 1 is added to degrees for that.
        edge_weight: Factor of each edge's term, see `SheafGraph.pair_weights`.
        fixed: Stalk dimensions behind the learned ones, see `SheafLaplacian`.
        dtype: Of the numbers; that of `frames` if given.

    Shapes:
        frames: ``[num_nodes, stalk_dim, stalk_dim]``.
        edge_weight: ``[num_input_edges]``.
    """

    def __init__(
        self,
        graph: SheafGraph,
        frames: Tensor | None,
        stalk_dim: int,
        *,
        normalize: bool = True,
        augmented: bool = True,
        edge_weight: Tensor | None = None,
        fixed: Sequence[str] = (),
        dtype: torch.dtype | None = None,
    ) -> None:
        if odd := [name for name in fixed if name not in FIXED]:
            raise ValueError(f"fixed stalk dimensions are 'lp' and 'hp', got {odd[0]!r}")
        if frames is not None and frames.shape != (graph.num_nodes, stalk_dim, stalk_dim):
            raise ValueError(
                f"frames must have shape {[graph.num_nodes, stalk_dim, stalk_dim]}, "
                f"got {list(frames.shape)}"
            )
        self.graph, self.frames = graph, frames
        self.stalk_dim, self.fixed = stalk_dim, tuple(fixed)
        dtype = dtype or torch.get_default_dtype() if frames is None else compute_dtype(frames)
        pairs = None if edge_weight is None else graph.pair_weights(edge_weight)
        sent, self.diagonal = graph.laplacian(pairs, normalize, augmented, dtype)
        self.matrix = graph.laplacian_matrix(sent, self.diagonal)

    @property
    def num_stalks(self) -> int:
        """Stalk dimensions of each node, learned and fixed."""
        return self.stalk_dim + len(self.fixed)

    def __call__(self, x: Tensor) -> Tensor:
        """The Laplacian times features.

        Shapes:
            x: ``[num_nodes, num_stalks, channels]`` or ``[num_nodes, num_stalks * channels]``.
            returns: as `x`; float32 under autocast.
        """
        nodes, stalks = self.graph.num_nodes, self.num_stalks
        wide = x.dim() == 2 and x.size(1) % stalks == 0
        if x.size(0) != nodes or not (wide or (x.dim() == 3 and x.size(1) == stalks)):
            raise ValueError(
                f"x must have shape [{nodes}, {stalks}, channels] or "
                f"[{nodes}, {stalks} * channels], got {list(x.shape)}"
            )
        h = x.to(self.matrix.dtype).reshape(nodes, stalks, x.numel() // max(nodes * stalks, 1))
        y = spmm(self.matrix, self._turn(h, back=False).flatten(1)).view(h.shape)
        if "lp" in self.fixed:
            # Degree plus adjacency is twice the degree minus degree minus adjacency.
            sign = y.new_ones(stalks, 1)
            sign[self.stalk_dim + self.fixed.index("lp")] = -1.0
            twice = (1.0 - sign) * self.diagonal.view(-1, 1, 1)
            y = torch.addcmul(y * sign, twice, h)
        return restore_dtype(self._turn(y, back=True).reshape(x.shape), x)

    def _turn(self, h: Tensor, back: bool) -> Tensor:
        """Frames times the learned stalk dimensions; transposed on the way back."""
        if self.frames is None:
            return h
        frames = (self.frames.mT if back else self.frames).to(h.dtype).flatten(1)
        ones = frames.new_ones(1, 1).expand(frames.size(0), len(self.fixed))
        csr = self.graph.blocks(self.stalk_dim, len(self.fixed))
        matrix = SparseMatrix(csr, torch.cat([frames, ones], dim=1).flatten())
        return spmm(matrix, h.flatten(0, 1)).view(h.shape)
