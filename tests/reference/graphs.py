"""Small graphs that between them have every awkward feature."""

import torch
from torch import Tensor


def random_edges(
    num_nodes: int, num_edges: int, seed: int = 0, undirected: bool = False, loops: bool = True
) -> Tensor:
    """Different random edges, among the first ``num_nodes - 1`` nodes: the last is isolated."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(num_nodes - 1, (2, num_edges), generator=generator)
    if not loops:
        edges = edges[:, edges[0] != edges[1]]
    if undirected:
        edges = torch.cat([edges, edges.flip(0)], dim=1)
    return edges.unique(dim=1).contiguous()


def kinds() -> dict[str, tuple[Tensor, int]]:
    return {
        "directed": (random_edges(9, 24), 9),
        "undirected": (random_edges(9, 12, undirected=True), 9),
        "no_loops": (random_edges(9, 20, loops=False), 9),
        "empty": (torch.empty(2, 0, dtype=torch.long), 4),
        "one_node": (torch.empty(2, 0, dtype=torch.long), 1),
        "one_loop": (torch.zeros(2, 1, dtype=torch.long), 1),
    }
