"""The reference of the benchmark makes the same as ours and as dense matrices."""

import pytest
import torch

from gnnzoo.bench.stock_patterns import materialised_patterns
from gnnzoo.ops import Graph, PatternSettings, fill_patterns
from tests.reference import patterns as reference
from tests.reference.graphs import random_edges


@pytest.mark.parametrize("r", [0.5, 1.0])
def test_materialised_and_implicit_products_agree(r):
    edges = random_edges(20, 60, loops=False)
    x = torch.randn(20, 4, dtype=torch.float64)
    settings = PatternSettings(num_hops=2, r=r)
    theirs = torch.cat(
        [torch.stack(hops, dim=1) for hops in materialised_patterns(x, edges, 2, r)], 1
    )
    ours = torch.empty(20, 13, 4, dtype=torch.float64)
    fill_patterns(ours, x, Graph.from_edge_index(edges, 20), settings)
    torch.testing.assert_close(theirs, ours[:, 1:])
    want = reference.stacks(x, edges, settings.patterns, 2, r)
    torch.testing.assert_close(theirs, want[:, 1:])
