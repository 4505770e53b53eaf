"""Two-step counts against the dense product."""

import pytest
import torch

import gnnzoo.ops.two_steps as two_steps
from gnnzoo.ops import CSR, Graph, backends, two_step_counts
from gnnzoo.ops.two_steps import _chunks, num_paths
from tests.reference.graphs import kinds, random_edges


def dense(csr: CSR) -> torch.Tensor:
    matrix = torch.zeros(csr.shape, dtype=torch.int64)
    matrix[csr.row.long(), csr.col.long()] = 1
    return matrix


def expected(first: CSR, second: CSR, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    reached = (dense(first) @ dense(second) > 0) & ~torch.eye(first.num_rows, dtype=torch.bool)
    return reached.sum(1), (reached & (label[:, None] == label)).sum(1)


@pytest.fixture(params=["marked", "sorted", "scipy"])
def way(request, monkeypatch):
    """Every chunk marked in a mask, or sorted, or left to SciPy."""
    if request.param == "scipy":
        pytest.importorskip("scipy")
    else:
        monkeypatch.setattr(two_steps, "CELLS_PER_PATH", 1e9 if request.param == "marked" else -1)
    with backends.use("scipy" if request.param == "scipy" else "torch"):
        yield request.param


@pytest.mark.parametrize("name", kinds())
@pytest.mark.parametrize("max_items", [1, 7, 2**21])
def test_counts_are_those_of_the_dense_product(name, max_items, way):
    edge_index, num_nodes = kinds()[name]
    pattern = Graph.from_edge_index(edge_index, num_nodes).csr
    label = torch.arange(num_nodes) % 3
    for first in (pattern, pattern.transposed()[0]):
        for second in (pattern, pattern.transposed()[0]):
            found = two_step_counts(first, second, label, max_items=max_items)
            for one, other in zip(found, expected(first, second, label), strict=True):
                assert torch.equal(one, other)


def test_chosen_rows_are_those_of_all_in_their_order(way):
    pattern = Graph.from_edge_index(random_edges(40, 200), 40).csr
    label = torch.arange(40) % 2
    rows = torch.tensor([7, 0, 39, 7])
    for some, every in zip(
        two_step_counts(pattern, pattern, label, rows, max_items=50),
        two_step_counts(pattern, pattern, label),
        strict=True,
    ):
        assert torch.equal(some, every[rows])
    assert two_step_counts(pattern, pattern, label, rows[:0])[0].numel() == 0


def test_patterns_may_be_rectangular(way):
    row, col = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 4, 4, 1])
    first, _ = CSR.from_coo(row, col, 3, 5)
    second = first.transposed()[0]
    label = torch.tensor([0, 0, 1])
    counts, alike = two_step_counts(first, second, label)
    assert counts.tolist() == [1, 1, 0]
    assert alike.tolist() == [1, 1, 0]
    assert num_paths(first, second).tolist() == [3, 2, 1]


@pytest.mark.parametrize("most", [1, 10, 1000])
def test_chunks_hold_every_row_once_and_no_more_paths_than_allowed(most):
    paths = torch.randint(25, (50,), generator=torch.Generator().manual_seed(0))
    paths[10:20] = 0
    end = 0
    for start, stop, count in _chunks(paths, most):
        assert start == end
        assert count >= int(paths[start:stop].sum())
        assert count <= most or stop == start + 1
        end = stop
    assert end == 50
    assert not list(_chunks(paths[:0], most))


def test_shapes_that_do_not_fit_are_refused():
    pattern, _ = CSR.from_coo(torch.tensor([0]), torch.tensor([1]), 3, 5)
    with pytest.raises(ValueError, match=r"got \[3, 5\], \[3, 5\] and \[3\]"):
        two_step_counts(pattern, pattern, torch.zeros(3))
    with pytest.raises(ValueError, match="max_items must be at least 1, got 0"):
        two_step_counts(pattern, pattern.transposed()[0], torch.zeros(3).long(), max_items=0)
