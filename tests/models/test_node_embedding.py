import pytest
import torch
from torch_geometric.data import Data

from gnnzoo.models import GCN, NodeEmbedding, inputs
from gnnzoo.train.optim import parameter_groups
from tests.reference.graphs import random_edges


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return NodeEmbedding(GCN(8, 4, 3), num_nodes=9, channels=8).eval()


def test_the_encoder_reads_the_embedding(encoder):
    data = Data(x=torch.arange(9), edge_index=random_edges(9, 12))
    found = encoder(**inputs(encoder, data))
    assert torch.equal(found, encoder.encoder(encoder.embedding.weight, data.edge_index))


def test_its_columns_start_orthogonal(encoder):
    weight = encoder.embedding.weight
    torch.testing.assert_close(weight.t() @ weight, torch.eye(8))


def test_embedding_is_a_group_of_its_own(encoder):
    groups = parameter_groups(encoder, torch.nn.Module())
    assert set(groups) == {"embedding", "first_layer", "rest"}


def test_bad_sizes_raise():
    with pytest.raises(ValueError, match="num_nodes"):
        NodeEmbedding(GCN(8, 4, 3), num_nodes=0, channels=8)
