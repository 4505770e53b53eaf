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
from gnnzoo.data.direction import AMUDTransform, choose_direction
from gnnzoo.data.geom_gcn import geom_gcn
from gnnzoo.data.graph_file import graph_file
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
from gnnzoo.data.ogb_links import ogb_link
from gnnzoo.data.patterns import DirectedPatterns
from gnnzoo.data.pickles import UnsafePickleError
from gnnzoo.data.planetoid import planetoid
from gnnzoo.data.protocol import NamedSplit, NodeTask, RandomPerClass, RandomShares
from gnnzoo.data.reverse_graph import ReverseGraph
from gnnzoo.data.row_batches import RowBatches
from gnnzoo.data.telegram import telegram
from gnnzoo.data.transforms import (
    CSRGraph,
    RowNormalizeFeatures,
    SmoothFeatures,
    SparsifyFeatures,
)
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
    "GraphDataset",
    "GraphFileError",
    "HeartLinks",
    "LinkParts",
    "LinkSplit",
    "LinkTask",
    "LocalPCAMaps",
    "MissingDataError",
    "NamedLinks",
    "NamedSplit",
    "NeighborBatches",
    "NeighborhoodTokens",
    "NodeTask",
    "PyGRandomLinks",
    "RandomDestinations",
    "RandomLinks",
    "RandomPerClass",
    "RandomShares",
    "ReverseGraph",
    "RowBatches",
    "RowNormalizeFeatures",
    "SmoothFeatures",
    "SparsifyFeatures",
    "UniformNegatives",
    "UnknownDatasetError",
    "UnsafePickleError",
    "amud",
    "amud_over_splits",
    "attributed",
    "check_links",
    "choose_direction",
    "copy_path",
    "digits",
    "geom_gcn",
    "graph_file",
    "heterophilous",
    "load_card",
    "ogb_link",
    "ogb_node",
    "planetoid",
    "telegram",
    "wikics",
]
