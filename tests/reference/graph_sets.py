"""Small sets of graphs that between them have every awkward feature."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnzoo.data import GraphSet, graph_union

# Nodes of each graph: an empty one in the middle and at the end, single nodes, isolated nodes.
SIZES = (4, 1, 6, 0, 3, 5, 1, 7, 2, 0)
CHANNELS = 3


def small_graphs(seed: int = 0, sizes: tuple[int, ...] = SIZES) -> list[tuple[Tensor, Tensor]]:
    """Features and undirected edges of each graph; the last node of each is isolated."""
    generator = torch.Generator().manual_seed(seed)
    graphs = []
    for size in sizes:
        x = torch.randn(size, CHANNELS, generator=generator)
        edges = torch.empty(2, 0, dtype=torch.long)
        if size > 2:
            edges = torch.randint(size - 1, (2, 2 * size), generator=generator)
            edges = edges[:, edges[0] != edges[1]]
            edges = torch.cat([edges, edges.flip(0)], dim=1).unique(dim=1)
        graphs.append((x, edges))
    return graphs


def joined(graphs: list[tuple[Tensor, Tensor]], y: Tensor) -> Data:
    """Their union, with one feature per edge that tells its ends."""
    edge_index = torch.cat([edges for _, edges in graphs], dim=1)
    return graph_union(
        edge_index,
        torch.tensor([len(x) for x, _ in graphs]),
        torch.tensor([edges.size(1) for _, edges in graphs]),
        y,
        x=torch.cat([x for x, _ in graphs]),
        edge_attr=(edge_index[0] + edge_index[1]).float().unsqueeze(1).cos(),
    )


def small_set(target: str = "classes", seed: int = 0, num_graphs: int = 30) -> GraphSet:
    """Graphs whose targets can be told from their nodes; splits in thirds."""
    sizes = tuple(SIZES[i % len(SIZES)] for i in range(num_graphs))
    graphs = small_graphs(seed, sizes)
    total = torch.stack([x.sum(dim=0) for x, _ in graphs])  # [num_graphs, CHANNELS]
    if target == "classes":
        y, num_classes = (total[:, 0] > 0).long(), 2
    else:
        y, num_classes = total[:, :2].clone(), 0
        y = (y > 0).float() if target == "labels" else y
        y[1, 0] = torch.nan
        y[2] = torch.nan
    graph = torch.arange(num_graphs)
    parts = tuple(graph[graph % 3 == part] for part in range(3))
    return GraphSet(
        name="small",
        data=joined(graphs, y),
        num_classes=num_classes,
        sha256="0" * 64,
        target=target,
        graphs={"thirds": lambda: [parts]},
    )
