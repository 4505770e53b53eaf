"""Layers. They need PyTorch and PyG only and take a Tensor, EdgeIndex or `Graph` as edges."""

from gnnzoo.nn.appnp import APPNP
from gnnzoo.nn.bidirectional_mamba import BidirectionalMamba
from gnnzoo.nn.category_embedding import CategoryEmbedding
from gnnzoo.nn.dagnn_prop import DAGNNProp
from gnnzoo.nn.dir_conv import DirConv
from gnnzoo.nn.features import FeatureDropout, FeatureLinear
from gnnzoo.nn.gat_conv import GATConv
from gnnzoo.nn.gated_gcn_conv import GatedGCNConv
from gnnzoo.nn.gcn2_conv import GCN2Conv
from gnnzoo.nn.gcn_conv import GCNConv
from gnnzoo.nn.gin_conv import GINConv
from gnnzoo.nn.gine_conv import GINEConv
from gnnzoo.nn.graph_mamba_block import GraphMambaBlock
from gnnzoo.nn.graph_pooling import GraphPooling
from gnnzoo.nn.hop_attention import HopAttention
from gnnzoo.nn.layerwise_predictor import LayerwisePredictor
from gnnzoo.nn.link_heuristics import AdamicAdar, CommonNeighbors, ResourceAllocation
from gnnzoo.nn.ncn_predictor import NCNPredictor
from gnnzoo.nn.ncnc_predictor import NCNCPredictor
from gnnzoo.nn.neighbor_conv import NeighborConv
from gnnzoo.nn.neighborhood_encoder import NeighborhoodEncoder
from gnnzoo.nn.node_adaptive_combine import NodeAdaptiveCombine
from gnnzoo.nn.pair_predictors import DotPredictor, MLPPredictor
from gnnzoo.nn.pattern_attention import PatternAttention
from gnnzoo.nn.sage_conv import SAGEConv
from gnnzoo.nn.selective_ssm import SelectiveSSM
from gnnzoo.nn.sg_conv import SGConv
from gnnzoo.nn.sheaf_conv import SheafConv
from gnnzoo.nn.sheaf_learner import EdgeWeightLearner, SheafLearner
from gnnzoo.nn.shortest_path import ShortestPath
from gnnzoo.nn.ssm_cores import undecayed_parameters
from gnnzoo.nn.stream_linear import StreamLinear
from gnnzoo.nn.virtual_node import VirtualNode
from gnnzoo.nn.walk_heuristics import Katz, PersonalizedPageRank

__all__ = [
    "APPNP",
    "AdamicAdar",
    "BidirectionalMamba",
    "CategoryEmbedding",
    "CommonNeighbors",
    "DAGNNProp",
    "DirConv",
    "DotPredictor",
    "EdgeWeightLearner",
    "FeatureDropout",
    "FeatureLinear",
    "GATConv",
    "GCN2Conv",
    "GCNConv",
    "GINConv",
    "GINEConv",
    "GatedGCNConv",
    "GraphMambaBlock",
    "GraphPooling",
    "HopAttention",
    "Katz",
    "LayerwisePredictor",
    "MLPPredictor",
    "NCNCPredictor",
    "NCNPredictor",
    "NeighborConv",
    "NeighborhoodEncoder",
    "NodeAdaptiveCombine",
    "PatternAttention",
    "PersonalizedPageRank",
    "ResourceAllocation",
    "SAGEConv",
    "SGConv",
    "SelectiveSSM",
    "SheafConv",
    "SheafLearner",
    "ShortestPath",
    "StreamLinear",
    "VirtualNode",
    "undecayed_parameters",
]
