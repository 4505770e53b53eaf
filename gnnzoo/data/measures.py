"""What a graph looks like: edges, degrees, components, features, memory; labels apart."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnzoo.data.label_mixing import label_measures
from gnnzoo.ops import CSR, Graph
from gnnzoo.ops.overlap import neighbor_overlap, without_loops

QUANTILES = {"min": 0.0, "25%": 0.25, "median": 0.5, "75%": 0.75, "99%": 0.99, "max": 1.0}
FEWEST_ORDERED = 20  # with fewer arcs, all from smaller to larger ids may be chance
CLOSURE_EDGES = 2_000  # edges drawn to see how many close a triangle
HIDDEN, FLOAT = 64, 4  # of the model whose memory is estimated: width, bytes of a number
MIB = 2**20


def edge_measures(graph: Graph) -> dict[str, Any]:
    """Counts of edges and whether they have a direction; self-loops are counted, then left out.

    Returns:
        ``num_edges`` (as stored), ``duplicates``, ``self_loops``, ``density``, ``directed``,
        ``reciprocity`` (share of arcs with their reverse), ``ascending`` (share of arcs from a
        smaller to a larger id; None without arcs) and ``node_order`` (whether the direction is
        nothing but the order of ids).
    """
    csr = without_loops(graph.csr)
    target, source = csr.row.long(), csr.col.long()
    pairs = graph.num_nodes * (graph.num_nodes - 1)
    ascending = float((source < target).double().mean()) if len(source) else None
    return {
        "num_edges": graph.num_input_edges,
        "duplicates": graph.num_input_edges - graph.num_edges,
        "self_loops": graph.num_edges - csr.num_entries,
        "density": csr.num_entries / pairs if pairs else 0.0,
        "directed": not csr.is_symmetric,
        "reciprocity": _reciprocity(csr),
        "ascending": ascending,
        "node_order": len(source) >= FEWEST_ORDERED and ascending in (0.0, 1.0),
    }


def degree_measures(graph: Graph) -> dict[str, dict[str, float]]:
    """Quantiles and mean of ``in`` and ``out`` degrees, or of ``degree`` where they are the same.

    Different neighbours count, and a node is none of its own.
    """
    degrees = degree_tensors(graph)
    return {name: _quantiles(degree) | _isolated(degree) for name, degree in degrees.items()}


def degree_tensors(graph: Graph) -> dict[str, Tensor]:
    """The degrees of :func:`degree_measures`, ``[num_nodes]``, int64, each."""
    csr = without_loops(graph.csr)
    if csr.is_symmetric:
        return {"degree": csr.row_counts().long()}
    return {"in": csr.row_counts().long(), "out": csr.transposed()[0].row_counts().long()}


def component_measures(graph: Graph) -> dict[str, Any]:
    """Numbers of components, and the share of nodes in the largest, whatever the direction.

    ``strong`` counts components whose nodes all reach each other along the arcs.
    """
    import numpy as np
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    csr = graph.csr
    ones = np.ones(csr.num_entries, dtype=np.int8)
    matrix = csr_array((ones, csr.col.cpu().numpy(), csr.rowptr.cpu().numpy()), shape=csr.shape)
    number, member = connected_components(matrix, directed=False)
    strong = connected_components(matrix, connection="strong", return_labels=False)
    degree = sum(degree_tensors(graph).values())
    return {
        "number": int(number),
        "largest": float(np.bincount(member).max() / len(member)) if len(member) else 0.0,
        "isolated_nodes": int((degree == 0).sum()),
        "strong": int(strong),
    }


def closure(graph: Graph, seed: int = 0) -> float | None:
    """Share of edges whose ends have a neighbour in common, direction left aside; None of none.

    Of large graphs 2,000 edges are drawn.
    """
    both = torch.cat([graph.edge_index, graph.edge_index.flip(0)], dim=1)
    whole = Graph.from_edge_index(both[:, both[0] != both[1]], graph.num_nodes)
    edges = whole.edge_index
    if edges.size(1) == 0:
        return None
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(edges.size(1), generator=generator)[:CLOSURE_EDGES]
    shared = neighbor_overlap(whole, edges[:, drawn.to(edges.device)]).common.counts()
    return float((shared > 0).double().mean())


def feature_measures(x: Tensor) -> dict[str, Any]:
    """Width, share of entries that differ from zero, and nodes without any such entry."""
    full = x.count_nonzero(dim=1)
    nonzeros = int(full.sum())
    return {
        "num_features": x.size(1),
        "nonzeros": nonzeros,
        "density": nonzeros / max(x.numel(), 1),
        "nodes_without": int((full == 0).sum()),
        "only_0_and_1": bool(((x == 0) | (x == 1)).all()),
    }


def memory_estimate(
    num_nodes: int, num_edges: int, features: dict[str, Any] | None, num_classes: int
) -> dict[str, float]:
    """MiB that things take in 32-bit numbers, by counting them; not measured.

    ``graph``: the edges in compressed rows, both ways. ``features`` and ``features_sparse``: dense,
    and as compressed rows. ``gcn_step``: a training step of a two-layer GCN, hidden 64: graph,
    features once more for dropout (sparse where mostly zero), and per layer the output, its
    activation, dropout and gradients. ``six_patterns``: features smoothed twice along each of the
    six directed patterns, which ADPA keeps.
    """
    index = 4
    sizes: dict[str, float] = {"graph": 2 * index * (num_edges + num_nodes + 1)}
    width = 0
    if features is not None:
        width = features["num_features"]
        sizes["features"] = FLOAT * num_nodes * width
        sizes["features_sparse"] = (index + FLOAT) * features["nonzeros"] + index * (num_nodes + 1)
        sizes["six_patterns"] = 13 * sizes["features"]
    if num_classes and width:
        read = min(sizes["features"], sizes["features_sparse"])
        layers = 6 * FLOAT * num_nodes * (HIDDEN + num_classes)
        parameters = 4 * FLOAT * (width + num_classes) * HIDDEN  # with gradient and Adam's moments
        values = 2 * FLOAT * (num_edges + num_nodes)
        sizes["gcn_step"] = sizes["graph"] + values + 2 * read + layers + parameters
    return {name: size / MIB for name, size in sizes.items()}


def _reciprocity(csr: CSR) -> float | None:
    if csr.num_entries == 0:
        return None
    row, col = csr.row.long(), csr.col.long()
    keys, reverse = row * csr.num_cols + col, col * csr.num_cols + row
    return float(torch.isin(reverse, keys).double().mean())


def _quantiles(degree: Tensor) -> dict[str, float]:
    ordered = degree.sort()[0].double()
    last = len(ordered) - 1
    found = {name: float(ordered[round(share * last)]) for name, share in QUANTILES.items()}
    return {**found, "mean": float(ordered.mean())}


def _isolated(degree: Tensor) -> dict[str, int]:
    return {"zeros": int((degree == 0).sum())}


def measure(data: Data, num_classes: int) -> dict[str, Any]:
    """All measures of one graph; what cannot be said of it is left out.

    Args:
        data: ``edge_index``; ``x`` and ``y`` where it has them.
        num_classes: Number of classes, 0 without labels.
    """
    graph = Graph.from_edge_index(data.edge_index, num_nodes=data.num_nodes)
    edges = edge_measures(graph)
    found: dict[str, Any] = {
        "num_nodes": graph.num_nodes,
        "edges": edges,
        "degrees": degree_measures(graph),
        "components": component_measures(graph),
    }
    closed = closure(graph)
    if closed is not None:
        edges["closing_triangles"] = closed
    if data.y is not None:
        found["labels"] = label_measures(graph, data.y, num_classes)
    if data.x is not None:
        found["features"] = feature_measures(data.x)
    found["memory_mib"] = memory_estimate(
        graph.num_nodes, graph.num_edges, found.get("features"), num_classes
    )
    return found
