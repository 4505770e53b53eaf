"""Encoders: whole networks from node features to embeddings or logits."""

from gnnzoo.models.adpa import ADPA
from gnnzoo.models.appnp import APPNP
from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.continuous_nsd import ContinuousNSD
from gnnzoo.models.conv_net import ConvNet
from gnnzoo.models.dagnn import DAGNN
from gnnzoo.models.dgmlp import DGMLP
from gnnzoo.models.dirgnn import DirGNN
from gnnzoo.models.gat import GAT
from gnnzoo.models.gatedgcn import GatedGCN
from gnnzoo.models.gcn import GCN
from gnnzoo.models.gcnii import GCNII
from gnnzoo.models.gin import GIN
from gnnzoo.models.gine import GINE
from gnnzoo.models.gmn import GMN
from gnnzoo.models.gps import GPS
from gnnzoo.models.graph_mamba import GraphMamba
from gnnzoo.models.input_encoding import InputEncoding
from gnnzoo.models.inputs import inputs
from gnnzoo.models.layerwise import encode_layerwise
from gnnzoo.models.linkx import LINKX
from gnnzoo.models.mlp import MLP
from gnnzoo.models.multisets import DeepSets, Fingerprint
from gnnzoo.models.ncn_mpnn import NCNMPNN
from gnnzoo.models.no_encoder import NoEncoder
from gnnzoo.models.node_embedding import NodeEmbedding
from gnnzoo.models.nsd import NSD
from gnnzoo.models.sage import SAGE
from gnnzoo.models.sgc import SGC
from gnnzoo.models.trained import TrainedOutput

__all__ = [
    "ADPA",
    "APPNP",
    "DAGNN",
    "DGMLP",
    "GAT",
    "GCN",
    "GCNII",
    "GIN",
    "GINE",
    "GMN",
    "GPS",
    "LINKX",
    "MLP",
    "NCNMPNN",
    "NSD",
    "SAGE",
    "SGC",
    "Chain",
    "Context",
    "ContinuousNSD",
    "ConvNet",
    "DeepSets",
    "DirGNN",
    "Fingerprint",
    "GatedGCN",
    "GraphMamba",
    "InputEncoding",
    "NoEncoder",
    "NodeEmbedding",
    "TrainedOutput",
    "encode_layerwise",
    "inputs",
]
