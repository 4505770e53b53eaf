"""Tokens of random walks around every node, drawn once per message graph."""

from collections.abc import Callable

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.data.pattern_cache import in_memory, tensor_key
from gnnzoo.ops import Graph, TokenSettings, neighborhood_tokens

CACHES = (None, "memory")
FORMAT = 1  # raised when the same settings give other tokens


class NeighborhoodTokens(BaseTransform):
    """Put the tokens of every node on the data as ``tokens`` and ``token_weights``.

    Both have a row per node, see `gnnzoo.ops.neighborhood_tokens`. Rows may be gathered where whole
    graphs are put one behind another, not where nodes are left out. With ``walk_length=0`` nothing
    is put there.

    Args:
        walk_length, num_walks, num_repeats, nested, weights, seed: See `gnnzoo.ops.TokenSettings`.
        cache: None draws at every call; ``memory`` keeps the last tokens for this process, found
            again by a checksum over edges and settings.

    Raises:
        ValueError: If a setting is out of range.
    """

    reads_edges = True

    def __init__(
        self,
        walk_length: int = 2,
        num_walks: int = 4,
        num_repeats: int = 2,
        nested: bool = False,
        weights: str = "mean",
        seed: int = 0,
        cache: str | None = None,
    ) -> None:
        self.settings = TokenSettings(walk_length, num_walks, num_repeats, nested, weights, seed)
        if cache not in CACHES:
            raise ValueError(f"cache must be one of {', '.join(map(repr, CACHES))}, got {cache!r}")
        self.cache = cache

    def forward(self, data: Data) -> Data:
        for field in ("tokens", "token_weights"):  # of other edges, perhaps
            if field in data:
                del data[field]
        if self.settings.walk_length == 0:
            return data
        num_nodes = data.num_nodes
        graph = Graph.from_edge_index(data.edge_index, num_nodes)
        made: list[tuple[Tensor, Tensor]] = []

        def part(which: int) -> Callable[[], Tensor]:
            def make() -> Tensor:
                if not made:
                    made.append(neighborhood_tokens(graph, self.settings))
                return made[0][which]

            return make

        makers = {"tokens": part(0), "token_weights": part(1)}
        key = self._key(graph)
        for field, make in makers.items():
            data[field] = make() if key is None else in_memory(f"{key} {field}", make)
        data.num_nodes = num_nodes
        return data

    def _key(self, graph: Graph) -> str | None:
        if self.cache is None:
            return None
        csr = graph.csr
        key = tensor_key("tokens", FORMAT, self.settings, graph.num_nodes, csr.rowptr, csr.col)
        return f"{key} {graph.device}"

    def __repr__(self) -> str:
        s = self.settings
        numbers = f"{s.walk_length}, {s.num_walks}, {s.num_repeats}, weights={s.weights!r}"
        return f"{type(self).__name__}({numbers})"
