"""Layers. They need PyTorch and PyG only and take a Tensor, EdgeIndex or `Graph` as edges."""

from gnnzoo.nn.dagnn_prop import DAGNNProp
from gnnzoo.nn.features import FeatureDropout, FeatureLinear
from gnnzoo.nn.gcn_conv import GCNConv

__all__ = ["DAGNNProp", "FeatureDropout", "FeatureLinear", "GCNConv"]
