"""Layer by layer, rows at a time: the numbers of the whole pass, in less memory."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from gnnzoo.models import GCN, Chain, GatedGCN, encode_layerwise, inputs, layerwise
from gnnzoo.ops import Graph, SparseFeatures
from gnnzoo.registry import create_model, list_models
from tests.reference.graphs import kinds, random_edges

SETTINGS = {
    "gatedgcn": {"edge_features": "ones"},
    "gine": {"edge_features": "ones"},
    "gcnii": {"num_layers": 4},
    "dgmlp": {"to_undirected": True},
    "linkx": {"num_nodes": 40},
    "nsd": {"undirected": "symmetrize"},
    "cnsd": {"undirected": "symmetrize"},
    "nsd_connection": {"undirected": "symmetrize"},
}
TINY = 2e-4  # MiB: a few rows
NAMES = list_models()
OPTIONS = {
    "batch_norm": ("gcn", {"norm": "batch_norm", "residual": True, "num_layers": 3}),
    "jumping": ("sage", {"jumping": True, "classifier": "linear", "input_linear": True}),
    "self_loops": ("sage", {"add_self_loops": True, "hidden_channels": 16}),
    "virtual_node": ("gin", {"virtual_node": True, "num_layers": 3}),
    "heads": ("gat", {"hidden_channels": 8, "heads": 4, "out_heads": 3, "num_layers": 3}),
    "deep": ("gcnii", {"hidden_channels": 8, "num_layers": 12}),
}


def graph_data(edge_index, num_nodes, sparse=False) -> Data:
    torch.manual_seed(0)
    x = torch.randn(num_nodes, 12) * (torch.rand(num_nodes, 12) < 0.5)
    data = Data(x=x, edge_index=edge_index, num_nodes=num_nodes)
    if sparse:
        data.x = SparseFeatures.from_dense(x)
    data.graph = Graph.from_edge_index(edge_index, num_nodes)
    return data


def same_numbers(encoder: nn.Module, data: Data, memory_mib: float = TINY) -> None:
    encoder.eval()
    with torch.inference_mode():
        whole = encoder(**inputs(encoder, data))
        found = encode_layerwise(encoder, data, memory_mib)
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_every_encoder_gives_the_numbers_of_the_whole_pass(name, sparse):
    data = graph_data(random_edges(40, 160), 40, sparse)
    same_numbers(create_model(name, 12, 3, **SETTINGS.get(name, {})), data)


@pytest.mark.parametrize(("name", "settings"), OPTIONS.values(), ids=OPTIONS)
def test_options_do_not_matter(name, settings):
    encoder = create_model(name, 12, 3, **settings)
    data = graph_data(random_edges(40, 160), 40)
    encoder(**inputs(encoder, data))  # moves running means away from zero
    same_numbers(encoder, data)


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("name", ["gcn", "sage", "gat", "gin", "gcnii"])
def test_awkward_graphs_do_not_matter(name, kind):
    same_numbers(create_model(name, 12, 3, **SETTINGS.get(name, {})), graph_data(*kinds()[kind]))


@pytest.mark.parametrize("name", ["gcn", "sage", "gat", "gin", "gcnii"])
def test_repeated_and_weighted_edges_keep_their_meaning(name):
    edge_index = random_edges(30, 100).repeat_interleave(2, dim=1)
    data = graph_data(edge_index, 30)
    same_numbers(create_model(name, 12, 3, **SETTINGS.get(name, {})), data)
    data.edge_weight = torch.rand(edge_index.size(1))
    same_numbers(create_model(name, 12, 3, **SETTINGS.get(name, {})), data)


def test_blocks_are_really_used_and_their_number_follows_from_the_memory(monkeypatch):
    made = []
    block = layerwise.Block
    monkeypatch.setattr(layerwise, "Block", lambda *a: made.append(a[1:]) or block(*a))
    data, encoder = graph_data(random_edges(40, 160), 40), GCN(12, 8, 3)
    same_numbers(encoder, data, memory_mib=1000)
    assert made == [(0, 1)] * 2  # the row that shows the width, then all rows at once
    same_numbers(encoder, data, memory_mib=1e-3)
    some = len(made)
    same_numbers(encoder, data, memory_mib=1e-9)
    assert some - 2 < len(made) - some == 2 * 40


def test_encoders_without_layers_of_known_reach_run_as_they_are():
    class Foreign(nn.Module):
        def forward(self, x, edge_index):
            return x[edge_index[0]].sum() + x

    data = graph_data(random_edges(40, 160), 40)
    same_numbers(Foreign(), data)
    assert all(getattr(layer, "reach", None) is None for layer in GatedGCN(4, 8, 2, 1).layers)


def test_a_readout_that_does_not_say_what_it_reads_fails_at_once():
    class Careless(GCN):
        def readout(self, states, context):
            return Chain.readout(self, states, context) + states[0].sum()

    data = graph_data(random_edges(40, 160), 40)
    with torch.inference_mode(), pytest.raises(AttributeError, match="NoneType"):
        encode_layerwise(Careless(12, 8, 3).eval(), data, TINY)


MEASURE = """
import torch
from torch_geometric.data import Data
from gnnzoo.models import GAT, GCN, encode_layerwise, inputs
from gnnzoo.ops import Graph
from gnnzoo.train.memory import PeakMemory

torch.set_num_threads(1)
nodes = 20_000
edges = torch.randint(nodes, (2, 60_000))
data = Data(x=torch.randn(nodes, 16), edge_index=edges, num_nodes=nodes)
data.graph = Graph.from_edge_index(edges, nodes)
memory = PeakMemory(torch.device("cpu"))

@torch.inference_mode()
def peak(encode):
    memory.start()
    before = memory.mib()
    encode()
    return memory.mib() - before

for encoder in (
    GCN(16, 128, 8, num_layers=4, norm="layer_norm", residual=True),
    GAT(16, 128, 8, heads=16, out_heads=16),
):
    encoder.eval()
    peak(lambda: encode_layerwise(encoder, data, 1000))  # matrices that are kept get made
    print(peak(lambda: encode_layerwise(encoder, data, 4)), end=" ")
    print(peak(lambda: encoder(**inputs(encoder, data))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's high-water mark")
def test_memory_is_that_of_the_states_and_a_block():
    """Two states at a time: 20,000 x 128 floats are 10 MiB."""
    command = [sys.executable, "-c", MEASURE]
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # freed tensors go back at once
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    for line in done.stdout.splitlines():
        blocks, whole = map(float, line.split())
        assert blocks < 2 * 10 + 4 + 6  # the allocator keeps some of what it got
        assert blocks < 0.6 * whole
