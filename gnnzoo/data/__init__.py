"""Data sets, the protocols that split them, and the transforms that models ask for."""

from gnnzoo.data.amud import AMUDResult, AMUDStability, amud, amud_over_splits
from gnnzoo.data.attributed import attributed
from gnnzoo.data.card import Card, UnknownDatasetError, load_card
from gnnzoo.data.combined_hops import CombinedHops
from gnnzoo.data.component_batch import ComponentBatch
from gnnzoo.data.copy_path import copy_path
from gnnzoo.data.dataset import GraphDataset
from gnnzoo.data.degree_features import DegreeFeatures
from gnnzoo.data.digits import digits
from gnnzoo.data.digits_grid import digits_grid
from gnnzoo.data.direction import AMUDTransform, choose_direction
from gnnzoo.data.encodings import LaplacianEncoding, RandomWalkEncoding
from gnnzoo.data.folds import Folds
from gnnzoo.data.geom_gcn import geom_gcn
from gnnzoo.data.graph_file import graph_file
from gnnzoo.data.graph_protocol import GraphFolds, NamedGraphs
from gnnzoo.data.graph_task import GraphSet, GraphTask
from gnnzoo.data.graph_union import UnionBatches, graph_union
from gnnzoo.data.heart import HeartLinks
from gnnzoo.data.heterophilous import heterophilous
from gnnzoo.data.link_checks import check_links
from gnnzoo.data.link_protocol import NamedLinks, PyGRandomLinks, RandomLinks
from gnnzoo.data.links import LinkParts, LinkSplit, LinkTask
from gnnzoo.data.local_pca import LocalPCAMaps
from gnnzoo.data.mirrors import ChecksumError, MissingDataError
from gnnzoo.data.negatives import RandomDestinations, UniformNegatives
from gnnzoo.data.neighborhood_tokens import NeighborhoodTokens
from gnnzoo.data.neighbors import NeighborBatches
from gnnzoo.data.npz import GraphFileError
from gnnzoo.data.ogb import ogb_node
from gnnzoo.data.ogb_graphs import ogb_graphs
from gnnzoo.data.ogb_links import ogb_link
from gnnzoo.data.one_hot import OneHotCategories
from gnnzoo.data.patterns import DirectedPatterns
from gnnzoo.data.peptides import peptides
from gnnzoo.data.pickles import UnsafePickleError
from gnnzoo.data.planetoid import planetoid
from gnnzoo.data.protocol import NamedSplit, NodeTask, RandomPerClass, RandomShares
from gnnzoo.data.reverse_graph import ReverseGraph
from gnnzoo.data.row_batches import RowBatches
from gnnzoo.data.stored_parts import superpixels, zinc
from gnnzoo.data.telegram import telegram
from gnnzoo.data.transforms import (
    CSRGraph,
    RowNormalizeFeatures,
    SmoothFeatures,
    SparsifyFeatures,
)
from gnnzoo.data.tudataset import load_folds, tudataset
from gnnzoo.data.wikics import wikics

__all__ = [
    "AMUDResult",
    "AMUDStability",
    "AMUDTransform",
    "CSRGraph",
    "Card",
    "ChecksumError",
    "CombinedHops",
    "ComponentBatch",
    "DegreeFeatures",
    "DirectedPatterns",
    "Folds",
    "GraphDataset",
    "GraphFileError",
    "GraphFolds",
    "GraphSet",
    "GraphTask",
    "HeartLinks",
    "LaplacianEncoding",
    "LinkParts",
    "LinkSplit",
    "LinkTask",
    "LocalPCAMaps",
    "MissingDataError",
    "NamedGraphs",
    "NamedLinks",
    "NamedSplit",
    "NeighborBatches",
    "NeighborhoodTokens",
    "NodeTask",
    "OneHotCategories",
    "PyGRandomLinks",
    "RandomDestinations",
    "RandomLinks",
    "RandomPerClass",
    "RandomShares",
    "RandomWalkEncoding",
    "ReverseGraph",
    "RowBatches",
    "RowNormalizeFeatures",
    "SmoothFeatures",
    "SparsifyFeatures",
    "UniformNegatives",
    "UnionBatches",
    "UnknownDatasetError",
    "UnsafePickleError",
    "amud",
    "amud_over_splits",
    "attributed",
    "check_links",
    "choose_direction",
    "copy_path",
    "digits",
    "digits_grid",
    "geom_gcn",
    "graph_file",
    "graph_union",
    "heterophilous",
    "load_card",
    "load_folds",
    "ogb_graphs",
    "ogb_link",
    "ogb_node",
    "peptides",
    "planetoid",
    "superpixels",
    "telegram",
    "tudataset",
    "wikics",
    "zinc",
]
