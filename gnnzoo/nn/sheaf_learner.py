"""Restriction maps and edge weights of a sheaf, predicted from the features at both ends."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gnnzoo.nn.checks import check_choice, check_count
from gnnzoo.ops import SheafGraph, num_parameters, orthogonal_maps
from gnnzoo.ops.pair_linear import pair_linear
from gnnzoo.ops.spmm import compute_dtype

FORMS = ("concat", "stalk_sum", "stalk_sum_official")
ACTS = {"tanh": torch.tanh, "elu": F.elu, "id": lambda x: x}


class PairLinear(nn.Module):
    r"""A linear map of the features of both ends of every half-edge.

    .. math:: y_{v \trianglelefteq e} = V [s_v \,\|\, s_u], \qquad e = (v, u)

    The matrix is applied to nodes, one half for each role, and the results are added up along
    the edges: exact, and no tensor of edges x channels is made.

    Args:
        in_channels: Width of the features, all stalk dimensions together.
        out_channels: Width of the result.
        num_stalks: Stalk dimensions that the features are made of.
        form: What s is: ``concat``, the features; ``stalk_sum``, their sum over the stalk
            dimensions; ``stalk_sum_official``, what the official code computes for it: it sums over
            pairs of consecutive stalk dimensions of one node, so that for an even number of them
            both ends of an edge get the same result.

    Shapes:
        x: ``[num_nodes, in_channels]``.
        returns: ``[num_half_edges, out_channels]``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_stalks: int = 1, form: str = "concat"
    ) -> None:
        super().__init__()
        check_choice("form", form, FORMS)
        if form != "concat" and in_channels % num_stalks:
            raise ValueError(
                f"form={form!r} needs features of whole stalks, but in_channels={in_channels} is "
                f"no multiple of {num_stalks}"
            )
        self.form, self.num_stalks = form, num_stalks
        self.in_channels, self.out_channels = in_channels, out_channels
        width = in_channels if form == "concat" else in_channels // num_stalks
        self.weight = nn.Parameter(torch.empty(2, out_channels, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = (2 * self.weight.size(2)) ** -0.5  # as nn.Linear of the joined features
        nn.init.uniform_(self.weight, -bound, bound)

    def features(self, x: Tensor) -> Tensor:
        """What the receiver and the sender contribute of: ``[num_nodes, width]``."""
        if self.form == "concat":
            return x
        stalks = x.view(x.size(0), self.num_stalks, -1)
        if self.form == "stalk_sum":
            return stalks.sum(1)
        return torch.cat([stalks[:, ::2].sum(1), stalks[:, 1::2].sum(1)], dim=1)

    def roles(self) -> Tensor:
        """``[2, out_channels, width]``: the matrix for a receiver and that for a sender."""
        if self.form != "stalk_sum_official":
            return self.weight
        joined = self.weight.transpose(0, 1).flatten(1)  # acts on a row of two chunks
        if self.num_stalks % 2:  # the sender's chunks begin in the second half of a row
            return torch.stack([joined, self.weight.flip(0).transpose(0, 1).flatten(1)])
        return torch.stack([joined, joined])

    def forward(self, x: Tensor, graph: SheafGraph) -> Tensor:
        return pair_linears([self], x, graph)[0]


def pair_linears(
    learners: list[PairLinear], x: Tensor, graph: SheafGraph, factor: Tensor | None = None
) -> list[Tensor]:
    """What each of several `PairLinear` says; arguments as of `joint_scores`.

    Shapes:
        returns: ``[num_half_edges, out_channels]`` each; of several, channels first in memory.
    """
    if len(learners) == 1:
        return [joint_scores(learners, x, graph, factor)]
    out = joint_scores(learners, x, graph, factor).t().contiguous()
    return [part.t() for part in out.split([learner.out_channels for learner in learners])]


def joint_scores(
    learners: list[PairLinear], x: Tensor, graph: SheafGraph, factor: Tensor | None = None
) -> Tensor:
    """Several `PairLinear` of the same features side by side, as one product along the edges.

    Args:
        learners: Who reads the features.
        x: Features.
        graph: The half-edges.
        factor: Factor of each feature, as of dropout; None for 1.

    Shapes:
        x, factor: ``[num_nodes, in_channels]``.
        returns: ``[num_half_edges, out_channels]``, those of all learners.
    """
    for learner in learners:
        if x.size(1) != learner.in_channels:
            raise ValueError(
                f"x has {x.size(1)} channels, the learner was built for {learner.in_channels}"
            )
    x = x.to(compute_dtype(x))
    if any(learner.form != "concat" for learner in learners):
        x = x if factor is None else x * factor
        scores = [_product(learner.roles(), learner.features(x), graph) for learner in learners]
        return torch.cat(scores, dim=1) if len(scores) > 1 else scores[0]
    if len(learners) == 1:
        return _product(learners[0].roles(), x, graph, factor)
    roles = torch.cat([learner.roles() for learner in learners], dim=1)
    return _product(roles, x, graph, factor)


def _product(roles: Tensor, x: Tensor, graph: SheafGraph, factor: Tensor | None = None) -> Tensor:
    roles = roles.to(x.dtype)
    if not torch.is_autocast_enabled(x.device.type):
        return pair_linear(x, roles, graph, factor)
    with torch.autocast(x.device.type, enabled=False):  # maps are float32 in any case
        return pair_linear(x, roles, graph, factor)


class SheafLearner(PairLinear):
    r"""Restriction maps :math:`F_{v \trianglelefteq e} = \mathrm{reshape}\,\sigma(V [x_v \| x_u])`.

    Not symmetric in its arguments, so that the transport between two nodes may be negative.

    Paper: "Neural Sheaf Diffusion" (Bodnar et al., NeurIPS 2022), section 4,
    https://arxiv.org/abs/2202.04579

    Args:
        in_channels: Width of the features, all stalk dimensions together.
        stalk_dim: Learned stalk dimensions.
        maps: ``diag``, ``bundle`` (orthogonal) or ``general``.
        orth: How orthogonal maps are made, see `gnnzoo.ops.orthogonal_maps`.
        act: ``tanh``, ``elu`` or ``id``.
        num_stalks: Stalk dimensions that the features are made of; `stalk_dim` if not given.
        form: What the features at an end are, see `PairLinear`.

    Shapes:
        x: ``[num_nodes, in_channels]``.
        returns: ``[num_half_edges, stalk_dim]`` or ``[num_half_edges, stalk_dim, stalk_dim]``.
    """

    def __init__(
        self,
        in_channels: int,
        stalk_dim: int,
        maps: str = "diag",
        orth: str = "householder",
        act: str = "tanh",
        num_stalks: int | None = None,
        form: str = "concat",
    ) -> None:
        check_count("stalk_dim", stalk_dim, 1)
        check_choice("act", act, tuple(ACTS))
        out_channels = num_map_parameters(stalk_dim, maps, orth)
        super().__init__(in_channels, out_channels, num_stalks or stalk_dim, form)
        self.stalk_dim, self.maps, self.orth, self.act = stalk_dim, maps, orth, act

    def maps_from(self, scores: Tensor) -> Tensor:
        """Activation and shape; `scores` is what `PairLinear` gives."""
        if self.maps == "diag":
            return ACTS[self.act](scores)
        scores = ACTS[self.act](scores.t().contiguous())  # [numbers of a map, num_half_edges]
        if self.maps == "bundle":
            return orthogonal_maps(scores.t(), self.stalk_dim, self.orth)
        return scores.unflatten(0, (self.stalk_dim, self.stalk_dim)).permute(2, 0, 1)

    def forward(self, x: Tensor, graph: SheafGraph) -> Tensor:
        return self.maps_from(super().forward(x, graph))


class EdgeWeightLearner(PairLinear):
    r"""A weight of each pair, :math:`s_{vu} s_{uv}` with :math:`s_{vu} = \sigma(u [x_v \| x_u])`.

    Restriction maps times this weight w make a Laplacian whose terms have the factor
    :math:`w^2`, which is what is returned.

    Args:
        in_channels: Width of the features.

    Shapes:
        x: ``[num_nodes, in_channels]``.
        returns: ``[num_pairs]``, in (0, 1).
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, 1)

    def weight_from(self, scores: Tensor) -> Tensor:
        """Activation and product; `scores` is what `PairLinear` gives."""
        share = scores.squeeze(1).sigmoid().view(2, -1)
        return (share[0] * share[1]).square()

    def forward(self, x: Tensor, graph: SheafGraph) -> Tensor:
        return self.weight_from(super().forward(x, graph))


class FrameLearner(nn.Module):
    r"""An orthogonal matrix of each node, :math:`O_v = Q(\sigma(V x_v))`.

    Shapes:
        x: ``[num_nodes, in_channels]``.
        returns: ``[num_nodes, stalk_dim, stalk_dim]``.
    """

    def __init__(self, in_channels: int, stalk_dim: int, orth: str, act: str) -> None:
        super().__init__()
        self.stalk_dim, self.orth, self.act = stalk_dim, orth, act
        width = num_map_parameters(stalk_dim, "bundle", orth)
        self.linear = nn.Linear(in_channels, width, bias=False)

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(compute_dtype(x))
        with torch.autocast(x.device.type, enabled=False):
            params = ACTS[self.act](F.linear(x, self.linear.weight.to(x.dtype)))
        return orthogonal_maps(params, self.stalk_dim, self.orth)


def num_map_parameters(stalk_dim: int, maps: str, orth: str = "householder") -> int:
    """Numbers that one restriction map is made of.

    Raises:
        ValueError: If the kind is unknown or `stalk_dim` too small for it.
    """
    check_choice("maps", maps, ("diag", "bundle", "general"))
    if maps != "diag" and stalk_dim < 2:
        raise ValueError(
            f"stalk_dim must be at least 2 for {maps} maps, got {stalk_dim}; "
            'use maps="diag" or raise stalk_dim'
        )
    if maps == "bundle":
        return num_parameters(stalk_dim, orth)
    return stalk_dim if maps == "diag" else stalk_dim**2
