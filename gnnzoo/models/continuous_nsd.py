"""Neural sheaf diffusion in continuous time: one differential equation in place of layers."""

import math

from torch import Tensor, nn

from gnnzoo.models.fixed_step import ADAPTIVE, STEPS, integrate, integrate_adaptively
from gnnzoo.models.sheaf_encoder import CONNECTION, SheafContext, SheafEncoder, given_maps
from gnnzoo.nn import SheafConv
from gnnzoo.nn.activation import make_activation
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.nn.sheaf_conv import MAPS


class SheafFlow(nn.Module):
    r"""The state at time `t` of :math:`\dot X = -\sigma(\Delta_{F(X)} (I \otimes W_1) X W_2)`.

    Args:
        conv: Makes :math:`\Delta (I \otimes W_1) X W_2`: without activation and residual.
        act: :math:`\sigma`.
        t: Final time.
        method: How steps are taken.
        step_size: Their length, for methods of fixed step size.
        rtol, atol: Errors allowed, for the other ones.
        reference_sign: Whether the sign stands inside of the activation.
        share_maps: Whether the sheaf is that of the start.
    """

    def __init__(
        self,
        conv: SheafConv,
        act: nn.Module,
        t: float,
        method: str,
        step_size: float,
        rtol: float,
        atol: float,
        reference_sign: bool,
        share_maps: bool,
    ) -> None:
        super().__init__()
        self.conv, self.act = conv, act
        self.t, self.method, self.step_size = t, method, step_size
        self.rtol, self.atol = rtol, atol
        self.reference_sign, self.share_maps = reference_sign, share_maps

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()

    def forward(self, h: Tensor, context: SheafContext) -> Tensor:
        graph, weight, shared = context.graph, context.edge_weight, None
        if self.share_maps:
            shared = self.conv.laplacian(h, graph, weight, given_maps(h, context))

        def rate(_: float | Tensor, x: Tensor) -> Tensor:
            z = self.conv(x, graph, weight, laplacian=shared)
            return self.act(-z) if self.reference_sign else -self.act(z)

        if self.method in STEPS:
            return integrate(rate, h, self.t, self.method, self.step_size)
        return integrate_adaptively(rate, h, self.t, self.method, self.rtol, self.atol)

    def extra_repr(self) -> str:
        step = f", step_size={self.step_size}" if self.method in STEPS else ""
        return f"t={self.t}, method={self.method!r}{step}"


class ContinuousNSD(SheafEncoder):
    r"""Neural sheaf diffusion in continuous time.

    Features are embedded as in `NSD`, follow the differential equation

    .. math::
        \dot X = -\sigma\bigl(\Delta_{F(X)} (I \otimes W_1) X W_2\bigr)

    over the time from 0 to `t`, with one W1 and one W2, and a linear map classifies. Nothing is
    dropped within the equation. Gradients go through all steps, so that memory grows with their
    number.

    Paper: "Neural Sheaf Diffusion: A Topological Perspective on Heterophily and Oversmoothing in
    GNNs" (Bodnar et al., NeurIPS 2022), section 4, https://arxiv.org/abs/2202.04579
    Differs from the authors' code, which integrates :math:`\sigma(-\Delta (I \otimes W_1) X W_2)`:
    with an activation that is not odd, such as ELU, that is another equation; `reference_sign`
    takes it. W1 starts as the identity and W2 orthogonal, as in `NSD`; theirs start as linear
    layers do. Steps of fixed size are the default, in place of adaptive ones.

    Args:
        in_channels: Features per node.
        hidden_channels: Width of each stalk dimension.
        out_channels: Width of the result.
        t: Time of the diffusion, at least 0; at 0 there is none.
        method: ``euler``, ``midpoint`` or ``rk4`` with steps of fixed size; ``dopri5``, ``dopri8``,
            ``bosh3`` or ``adaptive_heun`` through torchdiffeq (``gnnzoo[ode]``).
        step_size: Length of a step of fixed size.
        rtol, atol: Relative and absolute error allowed for steps of adapted size.
        reference_sign: Whether the sign stands inside of the activation, as in the authors' code.
        stalk_dim: Learned stalk dimensions, d in the paper.
        maps: As in `NSD`, ``connection`` too.
        orth: How learned orthogonal maps are made.
        add_lp, add_hp: Whether to add a fixed low-pass, a fixed high-pass stalk dimension.
        learner: What maps are learned from: ``concat``, ``stalk_sum`` or ``stalk_sum_official``.
        map_act: Activation of what maps are made of.
        edge_weights: Whether to learn a weight of each pair too; for ``bundle``, otherwise unused.
        share_maps: Whether the sheaf is predicted once, from the state at time 0; otherwise from
            the state at every evaluation.
        sheaf_norm: How Laplacians are normalised: ``sym``, ``chol``, ``deg`` or None.
        left_weight, right_weight: Whether there is a W1, a W2.
        second_linear: Whether a second linear map follows the embedding.
        dropout: Share of the embedding dropped in training.
        input_dropout: Share of the input dropped.
        act: Name of the activation, as PyG resolves it; None for none.
        undirected: ``check`` refuses an edge without its reverse, ``symmetrize`` adds it.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        edge_index: ``[2, num_edges]``, both directions of each edge.
        maps: ``[num_edges, stalk_dim, stalk_dim]``, of the transform, optional.
        returns: ``[num_nodes, out_channels]``, logits.

    Raises:
        ValueError: If a setting is out of range, some edge has no reverse, or maps do not fit.
        ImportError: If the method needs torchdiffeq and it is not installed.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        t: float = 1.0,
        method: str = "rk4",
        step_size: float = 0.25,
        rtol: float = 1e-5,
        atol: float = 1e-7,
        reference_sign: bool = False,
        stalk_dim: int = 3,
        maps: str = "bundle",
        orth: str = "householder",
        add_lp: bool = False,
        add_hp: bool = False,
        learner: str = "concat",
        map_act: str = "tanh",
        edge_weights: bool = True,
        share_maps: bool = False,
        sheaf_norm: str | None = "sym",
        left_weight: bool = True,
        right_weight: bool = True,
        second_linear: bool = False,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        act: str | None = "elu",
        undirected: str = "check",
    ) -> None:
        check_count("in_channels", in_channels, 1)
        check_count("hidden_channels", hidden_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_choice("method", method, (*STEPS, *ADAPTIVE))
        check_choice("maps", maps, (*MAPS, CONNECTION))
        check_probability("dropout", dropout)
        check_probability("input_dropout", input_dropout)
        if not 0.0 <= t < math.inf:
            raise ValueError(f"t must be at least 0 and finite, got {t}")
        for name, value in (("step_size", step_size), ("rtol", rtol), ("atol", atol)):
            if not 0.0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        given = maps == CONNECTION
        conv = SheafConv(
            hidden_channels,
            hidden_channels,
            stalk_dim,
            maps="bundle" if given else maps,
            orth=orth,
            add_lp=add_lp,
            add_hp=add_hp,
            learner=None if given else learner,
            map_act=map_act,
            edge_weights=edge_weights and maps == "bundle",
            norm=sheaf_norm,
            left_weight=left_weight,
            right_weight=right_weight,
            act=None,
            residual=False,
            undirected=undirected,
        )
        flow = SheafFlow(
            conv, make_activation(act), t, method, step_size,
            rtol, atol, reference_sign, share_maps or given,
        )  # fmt: skip
        super().__init__(
            in_channels, conv.num_stalks * hidden_channels, out_channels, [flow],
            connection=stalk_dim if given else None, second_linear=second_linear, dropout=dropout,
            input_dropout=input_dropout, act=act, undirected=undirected,
        )  # fmt: skip
