"""Data sets, the protocols that split them, and the transforms that models ask for."""

from gnnzoo.data.card import Card, UnknownDatasetError, load_card
from gnnzoo.data.dataset import GraphDataset
from gnnzoo.data.digits import digits
from gnnzoo.data.graph_file import graph_file
from gnnzoo.data.mirrors import ChecksumError, MissingDataError
from gnnzoo.data.npz import GraphFileError
from gnnzoo.data.ogb import ogb_node
from gnnzoo.data.planetoid import planetoid
from gnnzoo.data.protocol import NamedSplit, NodeTask, RandomPerClass
from gnnzoo.data.transforms import CSRGraph, RowNormalizeFeatures, SparsifyFeatures

__all__ = [
    "CSRGraph",
    "Card",
    "ChecksumError",
    "GraphDataset",
    "GraphFileError",
    "MissingDataError",
    "NamedSplit",
    "NodeTask",
    "RandomPerClass",
    "RowNormalizeFeatures",
    "SparsifyFeatures",
    "UnknownDatasetError",
    "digits",
    "graph_file",
    "load_card",
    "ogb_node",
    "planetoid",
]
