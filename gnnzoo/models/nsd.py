"""Neural sheaf diffusion: embed, diffuse along learned sheaves, classify."""

from typing import NamedTuple

from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.mlp import MLPLayer
from gnnzoo.nn import FeatureDropout, FeatureLinear, SheafConv
from gnnzoo.nn.checks import check_count, check_probability
from gnnzoo.ops import (
    FlatLaplacian,
    Graph,
    SheafGraph,
    SheafLaplacian,
    SparseFeatures,
    as_sheaf_graph,
)


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

    def forward(self, h: Tensor | Diffused, context: Context) -> Tensor | Diffused:
        if not self.shared:
            return self.conv(h, context.graph, context.edge_weight)
        if not isinstance(h, Diffused):
            h = Diffused(h, self.conv.laplacian(h, context.graph, context.edge_weight))
        return Diffused(self.conv(h.x, context.graph, laplacian=h.laplacian), h.laplacian)


class NSD(Chain):
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
        maps: ``diag``, ``bundle``, ``general``, ``identity`` or ``flat``.
        orth: How orthogonal maps are made.
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
        returns: ``[num_nodes, out_channels]``, logits.

    Raises:
        ValueError: If a setting is out of range, or some edge has no reverse.
    """

    reads_sparse_features = True

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
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("hidden_channels", hidden_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("num_layers", num_layers, 1)
        check_probability("dropout", dropout)
        check_probability("input_dropout", input_dropout)
        for layer in range(num_layers):
            follows = share_maps and layer > 0
            conv = SheafConv(
                hidden_channels,
                hidden_channels,
                stalk_dim,
                maps=maps,
                orth=orth,
                add_lp=add_lp,
                add_hp=add_hp,
                learner=None if follows else learner,
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
            self.layers.append(SheafLayer(conv, share_maps))
        self.undirected = undirected
        width = conv.num_stalks * hidden_channels
        self.embedding = MLPLayer(in_channels, width, input_dropout, act=act)
        self.dropout = FeatureDropout(dropout)
        self.second = FeatureLinear(width, width) if second_linear else None
        self.classifier = FeatureLinear(width, out_channels)

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph | SheafGraph,
        edge_weight: Tensor | None = None,
        graph: Graph | SheafGraph | None = None,
    ) -> Context:
        graph = edge_index if graph is None else graph
        return Context(x, as_sheaf_graph(graph, x.size(0), self.undirected), edge_weight)

    def start(self, context: Context) -> Tensor:
        h = self.dropout(self.embedding(context.x))
        return h if self.second is None else self.second(h)

    def readout(self, states: list[Tensor | Diffused], context: Context) -> Tensor:
        last = states[-1]
        return self.classifier(last.x if isinstance(last, Diffused) else last)

    def reset_parameters(self) -> None:
        for module in (self.embedding, self.second, *self.layers, self.classifier):
            if module is not None:
                module.reset_parameters()

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """``maps``, the learners of restriction maps, and ``rest``, with decays of their own."""
        learners = [layer.conv.learner for layer in self.layers]
        maps = [p for learner in learners if learner is not None for p in learner.parameters()]
        named = {id(p) for p in maps}
        return {"maps": maps, "rest": [p for p in self.parameters() if id(p) not in named]}
