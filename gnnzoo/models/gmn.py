"""GMN: scans over the neighbourhoods of every node, then over all nodes, in both directions."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.models.graph_mamba import GraphMamba, SequenceContext
from gnnzoo.models.mlp import MLPLayer
from gnnzoo.nn import NeighborhoodEncoder
from gnnzoo.nn.checks import check_count
from gnnzoo.ops import Graph, SparseFeatures, TokenSettings, neighborhood_tokens


@dataclass(frozen=True)
class TokenContext(SequenceContext):
    """Context with the tokens of every node, None without.

    Args:
        tokens, token_weights: ``[num_nodes, num_tokens, members]``.
    """

    tokens: Tensor | None = None
    token_weights: Tensor | None = None


class GMN(GraphMamba):
    """Graph Mamba network: `NeighborhoodEncoder`, blocks of `GraphMamba` both ways, a classifier.

    Paper: "Graph Mamba: Towards Learning on Graphs with State Space Models" (Behrouz and Hashemi,
    KDD 2024), https://arxiv.org/abs/2402.08678. Known for Peptides, CIFAR10 and PATTERN; on
    heterophilous graphs (Minesweeper, Roman-empire) tuned classics are better. With
    ``walk_length=0`` features are mapped by one linear layer, and the network is GPS with a scan in
    place of attention. Differs from the paper as `NeighborhoodEncoder` and
    `gnnzoo.nn.BidirectionalMamba` do; a block has the norms, residuals and MLP of GPS.

    Args:
        walk_length: Longest walks of tokens, m in the paper; 0 for no tokens.
        num_walks: Walks per token, M in the paper.
        num_repeats: Tokens per length, s in the paper.
        local_encoder: ``mean`` or ``sgc``, what makes a token of the features of its members.
        num_token_layers: Scans over the tokens of a node.
        node_chunk: Most nodes whose tokens are scanned at a time; None: all.

    Other arguments, shapes and errors are those of `GraphMamba`; without `tokens` they are drawn in
    every call, the same each time and as the transform `gnnzoo.data.NeighborhoodTokens` draws them
    with the same settings.
    """

    made_by = GraphMamba.made_by | {"tokens": "gnnzoo.data.NeighborhoodTokens"}

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_edge_features: int = 0,
        num_layers: int = 3,
        walk_length: int = 2,
        num_walks: int = 4,
        num_repeats: int = 2,
        local_encoder: str = "mean",
        num_token_layers: int = 1,
        node_chunk: int | None = None,
        conv: str | None = "gatedgcn",
        bidirectional: bool = True,
        order: str = "degree",
        tie: str = "noise",
        eval_draws: int = 1,
        num_bins: int = 1,
        redraw: str = "forward",
        dropout: float = 0.2,
        input_dropout: float = 0.0,
        norm: str | None = "batch_norm",
        act: str = "relu",
        ssm: str = "ssd",
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 1,
        head_dim: int = 16,
    ) -> None:
        check_count("num_token_layers", num_token_layers, 1)
        self.tokens = TokenSettings(walk_length, num_walks, num_repeats, weights=local_encoder)
        self.num_token_layers, self.node_chunk, self.token_dropout = (
            num_token_layers,
            node_chunk,
            dropout,
        )
        super().__init__(
            in_channels,
            hidden_channels,
            out_channels,
            num_edge_features,
            num_layers,
            conv,
            bidirectional,
            order,
            tie,
            eval_draws,
            num_bins,
            redraw,
            dropout,
            input_dropout,
            norm,
            act,
            ssm,
            d_state,
            d_conv,
            expand,
            head_dim,
        )

    def make_embedding(
        self, in_channels: int, hidden_channels: int, input_dropout: float
    ) -> nn.Module:
        if not self.tokens.walk_length:
            return MLPLayer(in_channels, hidden_channels, input_dropout)
        return NeighborhoodEncoder(
            in_channels,
            hidden_channels,
            self.tokens.num_repeats,
            self.num_token_layers,
            input_dropout,
            self.token_dropout,
            self.node_chunk,
            self.scan_settings,
        )

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        tokens: Tensor | None = None,
        token_weights: Tensor | None = None,
    ) -> TokenContext:
        base = super().context(x, edge_index, edge_weight, graph, edge_attr, batch)
        if not self.tokens.walk_length:
            return TokenContext(**vars(base))
        if tokens is None or token_weights is None:
            tokens, token_weights = neighborhood_tokens(base.graph, self.tokens)
        elif tokens.dim() != 3 or tokens.size(1) != self.tokens.num_tokens:
            raise ValueError(
                f"{self.tokens.num_tokens} tokens per node are expected, got tokens of shape "
                f"{list(tokens.shape)}; the settings of NeighborhoodTokens must be the encoder's"
            )
        return TokenContext(**vars(base), tokens=tokens, token_weights=token_weights)

    def embed(self, context: TokenContext) -> Tensor:
        if context.tokens is None:
            return self.node_embedding(context.x)
        return self.node_embedding(context.x, context.tokens, context.token_weights)

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        tokens: Tensor | None = None,
        token_weights: Tensor | None = None,
    ) -> Tensor:
        """As `GraphMamba.forward`, with what the transform `NeighborhoodTokens` made, optional."""
        fields = edge_weight, graph, edge_attr, batch, tokens, token_weights
        return self.fold(self.context(x, edge_index, *fields))
