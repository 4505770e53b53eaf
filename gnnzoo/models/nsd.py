"""Neural sheaf diffusion: embed, diffuse along learned sheaves, classify."""

from typing import NamedTuple

from torch import Tensor, nn

from gnnzoo.models.sheaf_encoder import CONNECTION, SheafContext, SheafEncoder, given_maps
from gnnzoo.nn import SheafConv
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.nn.sheaf_conv import MAPS
from gnnzoo.ops import FlatLaplacian, SheafLaplacian


class Diffused(NamedTuple):
    """A state together with the Laplacian that all layers share.

    Shapes:
        x: ``[num_nodes, num_stalks * hidden_channels]``.
    """

    x: Tensor
    laplacian: SheafLaplacian | FlatLaplacian


class SheafLayer(nn.Module):
    """One `SheafConv` as a link of the chain.

    Args:
        conv: The diffusion.
        shared: Whether the Laplacian is that of the first layer and goes along with the state.
    """

    def __init__(self, conv: SheafConv, shared: bool) -> None:
        super().__init__()
        self.conv, self.shared = conv, shared

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()

    def forward(self, h: Tensor | Diffused, context: SheafContext) -> Tensor | Diffused:
        if not self.shared:
            return self.conv(h, context.graph, context.edge_weight)
        if not isinstance(h, Diffused):
            maps = given_maps(h, context)
            h = Diffused(h, self.conv.laplacian(h, context.graph, context.edge_weight, maps))
        return Diffused(self.conv(h.x, context.graph, laplacian=h.laplacian), h.laplacian)


class NSD(SheafEncoder):
    """Neural sheaf diffusion with one step per layer.

    Features are embedded, every node getting a few stalk dimensions of `hidden_channels` each;
    every layer predicts a sheaf from the features and diffuses along it; a linear map classifies.

    Paper: "Neural Sheaf Diffusion: A Topological Perspective on Heterophily and Oversmoothing in
    GNNs" (Bodnar et al., NeurIPS 2022), https://arxiv.org/abs/2202.04579. Known for Texas,
    Wisconsin, Cornell, Chameleon and Squirrel, on the ten splits of Pei et al.
    Differs from the authors' code as `gnnzoo.nn.SheafConv` does.

    Args:
        in_channels: Features per node.
        hidden_channels: Width of each stalk dimension.
        out_channels: Width of the result.
        num_layers: Number of diffusion steps.
        stalk_dim: Learned stalk dimensions, d in the paper.
        maps: ``diag``, ``bundle``, ``general``, ``identity`` or ``flat``; or ``connection``,
            nothing learned: one orthogonal sheaf for all layers, which
            `gnnzoo.ops.local_pca_maps` computes from the features (Conn-NSD, Barbero et al.,
            TAG-ML 2022, https://arxiv.org/abs/2206.08702). The transform
            `gnnzoo.data.LocalPCAMaps` does so once; without it every forward pass does.
        orth: How learned orthogonal maps are made.
        add_lp, add_hp: Whether to add a fixed low-pass, a fixed high-pass stalk dimension.
        learner: What maps are learned from: ``concat``, ``stalk_sum`` or ``stalk_sum_official``.
        map_act: Activation of what maps are made of.
        edge_weights: Whether to learn a weight of each pair too; for ``bundle``, otherwise unused.
        share_maps: Whether all layers use the sheaf that the first one predicts.
        sheaf_norm: How Laplacians are normalised: ``sym``, ``chol``, ``deg`` or None.
        left_weight, right_weight: Whether layers mix stalk dimensions, and channels.
        second_linear: Whether a second linear map follows the embedding.
        dropout: Share of hidden values dropped in training.
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
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
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
        check_count("num_layers", num_layers, 1)
        check_choice("maps", maps, (*MAPS, CONNECTION))
        check_probability("dropout", dropout)
        check_probability("input_dropout", input_dropout)
        given = maps == CONNECTION
        shared = share_maps or given
        layers = []
        for layer in range(num_layers):
            follows = share_maps and layer > 0
            conv = SheafConv(
                hidden_channels,
                hidden_channels,
                stalk_dim,
                maps="bundle" if given else maps,
                orth=orth,
                add_lp=add_lp,
                add_hp=add_hp,
                learner=None if follows or given else learner,
                map_act=map_act,
                edge_weights=edge_weights and maps == "bundle" and not follows,
                norm=sheaf_norm,
                left_weight=left_weight,
                right_weight=right_weight,
                act=act,
                dropout=dropout,
                map_dropout=dropout if layer > 0 else 0.0,  # the embedding has had its own
                undirected=undirected,
            )
            layers.append(SheafLayer(conv, shared))
        super().__init__(
            in_channels, conv.num_stalks * hidden_channels, out_channels, layers,
            connection=stalk_dim if given else None, second_linear=second_linear, dropout=dropout,
            input_dropout=input_dropout, act=act, undirected=undirected,
        )  # fmt: skip

    def readout(self, states: list[Tensor | Diffused], context: SheafContext) -> Tensor:
        last = states[-1]
        return super().readout([last.x if isinstance(last, Diffused) else last], context)
