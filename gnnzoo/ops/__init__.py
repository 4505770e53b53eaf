"""Sparse operations on PyTorch: one operation per file, its back-ends side by side."""

from gnnzoo.ops import backends
from gnnzoo.ops.attention import attend
from gnnzoo.ops.bags import Bags, pool_bags, sample_bags
from gnnzoo.ops.block import Block
from gnnzoo.ops.causal_conv import causal_conv
from gnnzoo.ops.components import connected_components
from gnnzoo.ops.composed_features import ComposedFeatures, side_by_side
from gnnzoo.ops.csr import CSR
from gnnzoo.ops.gated_hops import gated_hops
from gnnzoo.ops.graph import Graph, as_graph
from gnnzoo.ops.induced_edges import induced_edges
from gnnzoo.ops.inverse_root import inverse_root, pseudo_inverse_root
from gnnzoo.ops.local_pca import local_pca_maps
from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.node_order import LineUp, NodeOrder
from gnnzoo.ops.orthogonal import num_parameters, orthogonal_maps
from gnnzoo.ops.overlap import Overlap, neighbor_overlap
from gnnzoo.ops.pattern_words import PatternSettings, directed_patterns
from gnnzoo.ops.patterns import fill_patterns, propagate_along
from gnnzoo.ops.reverse import BothWays, reverse_graph, symmetrised
from gnnzoo.ops.sample import sample_rows
from gnnzoo.ops.segment import segment_max, segment_mean, segment_softmax, segment_sum
from gnnzoo.ops.selective_scan import selective_scan
from gnnzoo.ops.sequences import Sequences
from gnnzoo.ops.sheaf import SheafLaplacian, sheaf_laplacian
from gnnzoo.ops.sheaf_flat import FlatLaplacian
from gnnzoo.ops.sheaf_graph import SheafGraph, as_sheaf_graph
from gnnzoo.ops.sparse_features import SparseFeatures, take_rows
from gnnzoo.ops.spmm import spmm
from gnnzoo.ops.ssd import ssd_scan
from gnnzoo.ops.subgraph import drop_links, keep_entries
from gnnzoo.ops.tokens import TokenSettings, neighborhood_tokens, token_matrix
from gnnzoo.ops.two_steps import two_step_counts
from gnnzoo.ops.walks import random_walks

__all__ = [
    "CSR",
    "Bags",
    "Block",
    "BothWays",
    "ComposedFeatures",
    "FlatLaplacian",
    "Graph",
    "LineUp",
    "NodeOrder",
    "Overlap",
    "PatternSettings",
    "Sequences",
    "SheafGraph",
    "SheafLaplacian",
    "SparseFeatures",
    "SparseMatrix",
    "TokenSettings",
    "as_graph",
    "as_sheaf_graph",
    "attend",
    "backends",
    "causal_conv",
    "connected_components",
    "directed_patterns",
    "drop_links",
    "fill_patterns",
    "gated_hops",
    "induced_edges",
    "inverse_root",
    "keep_entries",
    "local_pca_maps",
    "neighbor_overlap",
    "neighborhood_tokens",
    "num_parameters",
    "orthogonal_maps",
    "pool_bags",
    "propagate_along",
    "pseudo_inverse_root",
    "random_walks",
    "reverse_graph",
    "sample_bags",
    "sample_rows",
    "segment_max",
    "segment_mean",
    "segment_softmax",
    "segment_sum",
    "selective_scan",
    "sheaf_laplacian",
    "side_by_side",
    "spmm",
    "ssd_scan",
    "symmetrised",
    "take_rows",
    "token_matrix",
    "two_step_counts",
]
