"""Beside the checks that all transforms pass in test_transforms.py."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from gnnzoo.data import LocalPCAMaps, SparsifyFeatures
from gnnzoo.ops import local_pca_maps
from tests.reference.graphs import random_edges


def toy() -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(8, 5, generator=generator) * (torch.rand(8, 5, generator=generator) < 0.6)
    return Data(x=x, edge_index=random_edges(8, 12, undirected=True), num_nodes=8)


def test_maps_lie_in_the_order_of_the_edges():
    data = LocalPCAMaps(dim=2)(toy())
    assert torch.equal(data.maps, local_pca_maps(data.x, data.edge_index, 2))
    assert data.is_edge_attr("maps")
    both = Batch.from_data_list([data, data])
    assert torch.equal(both.maps, torch.cat([data.maps, data.maps]))


def test_sparse_features_give_the_same_maps():
    sparse = SparsifyFeatures(max_density=1.0)(toy())
    assert torch.equal(LocalPCAMaps(2)(sparse).maps, LocalPCAMaps(2)(toy()).maps)


def test_old_maps_are_replaced():
    data = LocalPCAMaps(2)(toy())
    data.edge_index = data.edge_index[:, :6]
    assert LocalPCAMaps(3)(data).maps.shape == (6, 3, 3)


def test_settings_are_shown_and_checked():
    assert repr(LocalPCAMaps(3)) == "LocalPCAMaps(dim=3)"
    with pytest.raises(ValueError, match="at least 1, got 0"):
        LocalPCAMaps(0)
    with pytest.raises(ValueError, match="at least 6 features per node, got 5"):
        LocalPCAMaps(6)(toy())
