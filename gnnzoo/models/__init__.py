"""Encoders: whole networks from node features to embeddings or logits."""

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.dagnn import DAGNN
from gnnzoo.models.gcn import GCN
from gnnzoo.models.inputs import inputs
from gnnzoo.models.mlp import MLP

__all__ = ["DAGNN", "GCN", "MLP", "Chain", "Context", "inputs"]
