"""One step of neural sheaf diffusion."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric import EdgeIndex

from gnnzoo.nn.activation import make_activation
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.nn.sheaf_learner import (
    ACTS,
    EdgeWeightLearner,
    FrameLearner,
    SheafLearner,
    joint_scores,
    pair_linears,
)
from gnnzoo.ops import Graph, SheafGraph, SheafLaplacian, as_sheaf_graph
from gnnzoo.ops.keep import keep_factors
from gnnzoo.ops.sheaf import NORMS
from gnnzoo.ops.sheaf_family import BundleFamily, DiagonalFamily, GeneralFamily
from gnnzoo.ops.sheaf_flat import FlatLaplacian
from gnnzoo.ops.sheaf_layer import sheaf_layer
from gnnzoo.ops.spmm import compute_dtype

MAPS = ("diag", "bundle", "general", "identity", "flat")
JOINT_WIDTH = 256  # up to this width W1 and W2 are one matrix of all stalk dimensions and channels


class SheafConv(nn.Module):
    r"""Diffusion along a sheaf whose restriction maps are learned from the features.

    .. math::
        X' = (1 + \tanh \varepsilon) \odot X
        - \sigma\bigl(\Delta_{F(X)} (I \otimes W_1) X W_2\bigr)

    Every node has ``num_stalks`` stalk dimensions of ``in_channels`` features: `stalk_dim` that
    the restriction maps act on, and the fixed ones.

    Paper: "Neural Sheaf Diffusion: A Topological Perspective on Heterophily and Oversmoothing in
    GNNs" (Bodnar et al., NeurIPS 2022), eq. 4 and section 4, https://arxiv.org/abs/2202.04579
    Differs from the paper: the weights :math:`1 + \tanh \varepsilon` of the authors' code, one per
    stalk dimension. Differs from that code: inverse roots of degree blocks have exact gradients,
    so that no noise is added to them; ``stalk_sum`` sums what it says; fixed stalk dimensions are
    normalised with ``norm="deg"`` too.

    Args:
        in_channels: Features per stalk dimension.
        out_channels: Width of the result, per stalk dimension.
        stalk_dim: Learned stalk dimensions; at least 2 for ``bundle``, ``general`` and ``flat``.
        maps: ``diag``; ``bundle``, orthogonal; ``general``; ``identity``, nothing learned, the
            diffusion of a GCN; ``flat``, orthogonal and of nodes in place of edges.
        orth: How orthogonal maps are made, see `gnnzoo.ops.orthogonal_maps`.
        add_lp: Whether to add a fixed stalk dimension that lets low frequencies pass.
        add_hp: Whether to add one that lets high frequencies pass.
        map_channels: Width of the features that maps are learned from; that of `x` if None.
        learner: What maps are learned from, see `gnnzoo.nn.PairLinear`: ``concat``,
            ``stalk_sum`` or ``stalk_sum_official``; None if `maps` are always given.
        map_act: Activation of what maps are made of: ``tanh``, ``elu`` or ``id``.
        edge_weights: Whether to learn a weight of each pair, for ``bundle`` only.
        norm: ``sym``, ``chol``, ``deg`` or None, see `gnnzoo.ops.SheafLaplacian.from_maps`.
        augmented: Whether degrees are those of D + I.
        left_weight, right_weight: Whether there is a W1, a W2.
        act: Name of the activation, as PyG resolves it; None for none.
        residual: Whether the input is added; without it the result is the activation alone.
        dropout: Share of the features dropped in training.
        map_dropout: Share dropped of those that maps are learned from.
        undirected: ``check`` refuses an edge without its reverse, ``symmetrize`` adds it.

    Shapes:
        x: ``[num_nodes, num_stalks * in_channels]`` or ``[num_nodes, num_stalks, in_channels]``.
        edge_index: ``[2, num_edges]``, both directions of each edge; or EdgeIndex, `Graph` or
            `SheafGraph`. Self-loops are left out.
        edge_weight: ``[num_edges]``, optional, symmetric and not negative.
        returns: as `x`, with `out_channels`.

    Raises:
        ValueError: If a setting, a shape, the edges or their weights do not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stalk_dim: int,
        maps: str = "diag",
        orth: str = "householder",
        add_lp: bool = False,
        add_hp: bool = False,
        map_channels: int | None = None,
        learner: str | None = "concat",
        map_act: str = "tanh",
        edge_weights: bool = False,
        norm: str | None = "sym",
        augmented: bool = True,
        left_weight: bool = True,
        right_weight: bool = True,
        act: str | None = "elu",
        residual: bool = True,
        dropout: float = 0.0,
        map_dropout: float = 0.0,
        undirected: str = "check",
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("stalk_dim", stalk_dim, 1)
        check_choice("maps", maps, MAPS)
        check_choice("map_act", map_act, tuple(ACTS))
        check_choice("norm", norm, NORMS)
        check_probability("dropout", dropout)
        check_probability("map_dropout", map_dropout)
        if residual and in_channels != out_channels:
            raise ValueError(
                f"residual=True needs in_channels == out_channels, got {in_channels} and "
                f"{out_channels}; use residual=False"
            )
        if edge_weights and maps != "bundle":
            raise ValueError(f"edge_weights=True is for maps='bundle', got maps={maps!r}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.stalk_dim, self.maps = stalk_dim, maps
        self.fixed = tuple(name for name, on in (("lp", add_lp), ("hp", add_hp)) if on)
        self.norm, self.augmented, self.undirected = norm, augmented, undirected
        self.dropout, self.map_dropout = dropout, map_dropout
        width = map_channels or self.num_stalks * in_channels
        self.learner = self.weight_learner = None
        if maps == "flat" and learner is not None:
            self.learner = FrameLearner(width, stalk_dim, orth, map_act)
        elif maps not in ("identity", "flat") and learner is not None:
            self.learner = SheafLearner(
                width, stalk_dim, maps, orth, map_act, self.num_stalks, learner
            )
        if edge_weights:
            self.weight_learner = EdgeWeightLearner(width)
        size = self.num_stalks
        self.left = nn.Parameter(torch.empty(size, size)) if left_weight else None
        self.right = nn.Parameter(torch.empty(out_channels, in_channels)) if right_weight else None
        if not right_weight and in_channels != out_channels:
            raise ValueError("right_weight=False needs in_channels == out_channels")
        self.epsilon = nn.Parameter(torch.empty(size)) if residual else None
        self.act = make_activation(act)
        self._joins = (
            left_weight and right_weight and residual
            and size * in_channels <= JOINT_WIDTH
            and (act is None or is_elu(self.act))
        )  # fmt: skip
        self._chains = (
            self._joins and self.learner is not None and maps != "flat" and not self.fixed
            and width == size * in_channels and stalk_dim > 1
            and map_act == "tanh" and norm == "sym" and (augmented or maps != "general")
            and (maps != "bundle" or stalk_dim < 4 or orth in ("householder", "euler"))
        )  # fmt: skip
        self.reset_parameters()

    @property
    def num_stalks(self) -> int:
        """Stalk dimensions of each node, learned and fixed."""
        return self.stalk_dim + len(self.fixed)

    def reset_parameters(self) -> None:
        for learner in (self.learner, self.weight_learner):
            if learner is not None:
                learner.reset_parameters()
        if self.left is not None:
            nn.init.eye_(self.left)
        if self.right is not None:
            nn.init.orthogonal_(self.right)
        if self.epsilon is not None:
            nn.init.zeros_(self.epsilon)

    def laplacian(
        self,
        x: Tensor,
        edge_index: Tensor | EdgeIndex | Graph | SheafGraph,
        edge_weight: Tensor | None = None,
        maps: Tensor | None = None,
    ) -> SheafLaplacian | FlatLaplacian:
        """The operator that features make: its maps are learned from `x`, or given.

        Shapes:
            x: ``[num_nodes, map_channels]``.
            maps: As in `gnnzoo.ops.sheaf_laplacian`.
        """
        x = x.flatten(1)
        (factor,) = self._factors(x, (self.map_dropout,))
        return self._laplacian(x, edge_index, edge_weight, maps, factor)

    def _factors(self, x: Tensor, shares: tuple[float, ...]) -> Sequence[Tensor | None]:
        """What dropout multiplies features with, once for each share; None for 1."""
        if not self.training or not any(shares):
            return [None] * len(shares)
        if len(set(shares)) == 1:  # one draw for all
            return keep_factors(shares[0], (len(shares), *x.shape), x).unbind()
        return [keep_factors(share, x.shape, x) if share else None for share in shares]

    def _laplacian(
        self,
        x: Tensor,
        edge_index: Tensor | EdgeIndex | Graph | SheafGraph,
        edge_weight: Tensor | None,
        maps: Tensor | None,
        factor: Tensor | None,
    ) -> SheafLaplacian | FlatLaplacian:
        graph = as_sheaf_graph(edge_index, x.size(0), self.undirected)
        if self.learner is None and maps is None and self.maps != "identity":
            raise ValueError("this layer was built with learner=None, so that maps must be given")
        if self.maps in ("identity", "flat"):
            frames = None
            if self.maps == "flat":
                frames = self.learner(x if factor is None else x * factor)
            return FlatLaplacian(
                graph, frames, self.stalk_dim, normalize=self.norm is not None,
                augmented=self.augmented, edge_weight=edge_weight, fixed=self.fixed,
                dtype=compute_dtype(x),
            )  # fmt: skip
        if maps is not None and graph is not edge_index:
            maps = graph.arrange(maps)
        maps, weight = self._learn(x, graph, maps, factor)
        return SheafLaplacian.from_maps(
            maps, graph, norm=self.norm, augmented=self.augmented, weight=weight,
            edge_weight=edge_weight, fixed=self.fixed, orthogonal=self.maps == "bundle",
        )  # fmt: skip

    def _learn(
        self, x: Tensor, graph: SheafGraph, maps: Tensor | None, factor: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Restriction maps and the weight of each pair, all from one product along the edges."""
        learners = [] if maps is not None else [self.learner]
        learners += [] if self.weight_learner is None else [self.weight_learner]
        if not learners:
            return maps, None
        scores = pair_linears(learners, x, graph, factor)
        if maps is None:
            maps = self.learner.maps_from(scores[0])
        weight = self.weight_learner and self.weight_learner.weight_from(scores[-1])
        return maps, weight

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | EdgeIndex | Graph | SheafGraph,
        edge_weight: Tensor | None = None,
        *,
        maps: Tensor | None = None,
        laplacian: SheafLaplacian | FlatLaplacian | None = None,
    ) -> Tensor:
        """Diffuse once.

        Args:
            x: Features.
            edge_index: The edges; not read when `laplacian` is given.
            edge_weight: Factors of the edges' terms.
            maps: Restriction maps in place of learned ones.
            laplacian: What `laplacian` made, so that several layers may share it.
        """
        stalks, width = self.num_stalks, self.in_channels
        h = x if x.dim() == 2 else x.flatten(1)
        if h.size(1) != stalks * width or (x.dim() != 2 and x.shape[1:] != (stalks, width)):
            raise ValueError(
                f"x must have shape [num_nodes, {stalks}, {width}] or [num_nodes, "
                f"{stalks} * {width}], got {list(x.shape)}"
            )
        if laplacian is None:
            factor, map_factor = self._factors(h, (self.dropout, self.map_dropout))
            if self._chains and maps is None and edge_weight is None and is_plain(h):
                out = self._chained(h, edge_index, factor, map_factor)
                return out if x.dim() == 2 else out.unflatten(1, (stalks, width))
            laplacian = self._laplacian(h, edge_index, edge_weight, maps, map_factor)
        else:
            (factor,) = self._factors(h, (self.dropout,))
        if self._joins and isinstance(laplacian, SheafLaplacian):
            elu = not isinstance(self.act, nn.Identity)
            out = laplacian.step(h, factor, self.left, self.right, self.epsilon, elu)
        else:
            z = h if factor is None else h * factor
            z = self.act(laplacian(self.mix(z.unflatten(1, (stalks, width)))))
            if self.epsilon is not None:
                share = 1 + self.epsilon.tanh().unsqueeze(1)
                z = torch.addcmul(-z, share, h.unflatten(1, (stalks, width)))
            out = z.flatten(1)
        return out if x.dim() == 2 else out.unflatten(1, (stalks, self.out_channels))

    def _chained(
        self,
        h: Tensor,
        edge_index: Tensor | EdgeIndex | Graph | SheafGraph,
        factor: Tensor | None,
        map_factor: Tensor | None,
    ) -> Tensor:
        """`forward` as one operator behind the learners, where nothing speaks against it."""
        graph = as_sheaf_graph(edge_index, h.size(0), self.undirected)
        learners = [m for m in (self.learner, self.weight_learner) if m is not None]
        if self.learner.form == "concat":
            roles = [learner.weight for learner in learners]
            said = torch.cat(roles, dim=1) if len(roles) > 1 else roles[0]
        else:
            said = joint_scores(learners, h, graph, map_factor)
        settings = graph, self.stalk_dim, self.augmented
        if self.maps == "bundle":
            family = BundleFamily(*settings, self.learner.orth)
        else:
            family = (DiagonalFamily if self.maps == "diag" else GeneralFamily)(*settings)
        elu = not isinstance(self.act, nn.Identity)
        weights = self.left, self.right, self.epsilon
        return sheaf_layer(h, factor, said, map_factor, *weights, family, elu)

    def mix(self, h: Tensor) -> Tensor:
        """W1 on the stalk dimensions and W2 on the channels: ``[num_nodes, num_stalks, out]``."""
        size, width = self.num_stalks, self.in_channels
        if self.left is None:
            return h if self.right is None else F.linear(h, self.right)
        if size * max(width, self.out_channels) > JOINT_WIDTH:
            h = h if self.right is None else F.linear(h, self.right)
            return torch.matmul(self.left, h)
        right = self.right
        if right is None:
            right = torch.eye(width, dtype=self.left.dtype, device=h.device)
        joint = torch.kron(self.left, right)
        return F.linear(h.flatten(1), joint).view(-1, size, self.out_channels)

    def extra_repr(self) -> str:
        fixed = "".join(f", add_{name}=True" for name in self.fixed)
        return (
            f"{self.in_channels}, {self.out_channels}, stalk_dim={self.stalk_dim}, "
            f"maps={self.maps!r}{fixed}"
        )


def is_plain(x: Tensor) -> bool:
    """Whether nobody compiles, and `x` is computed with in its own type."""
    return (
        type(x) in (Tensor, nn.Parameter)
        and x.dtype == compute_dtype(x)
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled(x.device.type)
    )


def is_elu(act: nn.Module) -> bool:
    return type(act) is nn.ELU and act.alpha == 1.0
