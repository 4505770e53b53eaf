"""Trainers: they fit an encoder and a head, and never see a test label."""

from gnnzoo.train.backprop import Backprop
from gnnzoo.train.forward.matched import MatchedBackprop
from gnnzoo.train.forward.trainer import ForwardOnly
from gnnzoo.train.stopping import Patience, TrailingMean
from gnnzoo.train.untrained import Untrained

__all__ = ["Backprop", "ForwardOnly", "MatchedBackprop", "Patience", "TrailingMean", "Untrained"]
