"""A Mamba block that reads every sequence in both directions."""

from torch import Tensor, nn

from gnnzoo.nn.checks import check_probability
from gnnzoo.nn.selective_ssm import SelectiveSSM, gated, last_tokens, make_core, pack, run
from gnnzoo.ops.sequences import Sequences


class BidirectionalMamba(nn.Module):
    r"""Let every token hear from all others of its sequence, from either side by its own scan.

    .. math:: \Phi' = \Phi + \left( \overrightarrow{Y} + \overleftarrow{Y} \right), \qquad
              Y = \mathrm{Mamba}(\mathrm{LayerNorm}(\Phi))

    Paper: "Graph Mamba: Towards Learning on Graphs with State Space Models" (Behrouz and Hashemi,
    KDD 2024), algorithm 1, https://arxiv.org/abs/2402.08678
    Differs from the paper: residual connection; the two linear maps in a row at the end are one;
    ``ssd`` in place of ``s6`` unless asked for. Its figure shares the first map and the gate
    between the directions, its listing does not: see `share_proj`.

    Args:
        channels: Features per token; input and output have the same width.
        share_proj: Whether both directions share the first map, the gate and the last map.
        norm: Whether a layer norm comes first.
        residual: Whether the input is added to the result.
        dropout: Share of the result dropped before that.
        d_state, d_conv, expand, head_dim, dt_rank, ssm, chunk_size, dt_min, dt_max, bias,
            conv_bias, method: As in `SelectiveSSM`.

    Shapes:
        x: ``[num_tokens, channels]``, or ``[num_sequences, length, channels]``.
        seg: As in `SelectiveSSM`.
        returns: as `x`; with ``last_only`` ``[num_sequences, channels]``, the last token of each.

    Raises:
        ValueError: As `SelectiveSSM`, or if `last_only` is asked for packed tokens.
    """

    def __init__(
        self,
        channels: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 1,
        head_dim: int = 16,
        dt_rank: int | str = "auto",
        ssm: str = "ssd",
        chunk_size: int | None = None,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        bias: bool = False,
        conv_bias: bool = True,
        method: str = "auto",
        share_proj: bool = True,
        norm: bool = True,
        residual: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_probability("dropout", dropout)
        self.channels, self.ssm = channels, ssm
        self.share_proj, self.residual = share_proj, residual
        head = (channels, d_state, d_conv, expand, head_dim, dt_rank, ssm, chunk_size)
        if share_proj:
            settings = (*head, dt_min, dt_max, conv_bias, method)
            self.cores = nn.ModuleList(make_core(*settings) for _ in range(2))
            inner = expand * channels
            self.in_proj = nn.Linear(channels, 2 * inner, bias=bias)
            self.inner_norm = nn.RMSNorm(inner, eps=1e-5) if ssm == "ssd" else None
            self.out_proj = nn.Linear(inner, channels, bias=bias)
        else:
            settings = (*head, dt_min, dt_max, bias, conv_bias, method)
            self.cores = nn.ModuleList(SelectiveSSM(*settings) for _ in range(2))
        self.norm = nn.LayerNorm(channels) if norm else None
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        for part in (*self.cores, *self.children()):
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()

    def forward(
        self, x: Tensor, seg: Tensor | Sequences | None = None, last_only: bool = False
    ) -> Tensor:
        if last_only and x.dim() != 3:
            raise ValueError(
                f"last_only needs x of shape [num_sequences, length, channels], got {list(x.shape)}"
            )
        tokens, sequences = pack(x, seg, self.channels)
        u = tokens if self.norm is None else self.norm(tokens)
        mix = self._shared if self.share_proj else self._separate
        out = self.dropout(mix(u, sequences, x.size(0) if last_only else None))
        if self.residual:
            out = out + (last_tokens(tokens, x.size(0)) if last_only else tokens)
        return out if last_only else out.view(x.shape)

    def _shared(self, u: Tensor, sequences: Sequences, num_last: int | None) -> Tensor:
        inner, gate = self.in_proj(u).chunk(2, -1)  # [num_tokens, inner] each
        y = run(self.cores[0], inner, u, sequences, reverse=False)
        if num_last is not None:
            y, inner, gate, u = (last_tokens(t, num_last) for t in (y, inner, gate, u))
            sequences = Sequences.equal(num_last, 1, u.device)
        y = y + run(self.cores[1], inner, u, sequences, reverse=True)
        return self.out_proj(gated(y, gate, self.inner_norm))

    def _separate(self, u: Tensor, sequences: Sequences, num_last: int | None) -> Tensor:
        y = self.cores[0](u, sequences)
        if num_last is not None:  # from behind the last token has seen nothing but itself
            y, u = last_tokens(y, num_last), last_tokens(u, num_last)
            sequences = Sequences.equal(num_last, 1, u.device)
        return y + self.cores[1](u, sequences, reverse=True)

    def __repr__(self) -> str:
        shared = f"ssm={self.ssm!r}, share_proj={self.share_proj}"
        return f"{type(self).__name__}({self.channels}, {shared})"
