"""Data sets, the protocols that split them, and the transforms that models ask for."""

from gnnzoo.data.card import Card, UnknownDatasetError, load_card
from gnnzoo.data.dataset import GraphDataset
from gnnzoo.data.digits import digits
from gnnzoo.data.mirrors import ChecksumError, MissingDataError
from gnnzoo.data.planetoid import planetoid
from gnnzoo.data.protocol import NamedSplit, NodeTask, RandomPerClass

__all__ = [
    "Card",
    "ChecksumError",
    "GraphDataset",
    "MissingDataError",
    "NamedSplit",
    "NodeTask",
    "RandomPerClass",
    "UnknownDatasetError",
    "digits",
    "load_card",
    "planetoid",
]
