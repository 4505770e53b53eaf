"""Entries drawn from sparse rows are different, equally likely, and repeat with the generator."""

from collections import Counter

import pytest
import torch

from gnnzoo.ops import CSR, SparseFeatures, sample_rows, take_rows
from gnnzoo.ops.csr import row_entries
from gnnzoo.ops.sample import distinct

ROWPTR = torch.tensor([0, 3, 3, 10, 11, 16], dtype=torch.int32)


def by_row(entries, owner, rows):
    """Entries of each chosen row, as lists."""
    return [sorted(entries[owner == place].tolist()) for place in range(len(rows))]


def test_row_entries_are_those_of_the_rows_in_their_order():
    rows = torch.tensor([4, 1, 0])
    entries, owner = row_entries(ROWPTR, rows)
    assert entries.tolist() == [11, 12, 13, 14, 15, 0, 1, 2]
    assert owner.tolist() == [0, 0, 0, 0, 0, 2, 2, 2]


@pytest.mark.parametrize("num_neighbors", [1, 2, 3, 5, 7, -1])
def test_each_row_gives_as_many_different_entries_as_it_can(num_neighbors):
    rows = torch.tensor([2, 0, 1, 4])
    entries, owner = sample_rows(ROWPTR, rows, num_neighbors)
    for row, found in zip(rows.tolist(), by_row(entries, owner, rows), strict=True):
        low, high = ROWPTR[row].item(), ROWPTR[row + 1].item()
        wanted = high - low if num_neighbors == -1 else min(high - low, num_neighbors)
        assert len(set(found)) == len(found) == wanted
        assert all(low <= entry < high for entry in found)


def test_no_rows_and_empty_rows_give_nothing():
    for rows in (torch.empty(0, dtype=torch.long), torch.tensor([1])):
        entries, owner = sample_rows(ROWPTR, rows, 2)
        assert entries.numel() == owner.numel() == 0


def test_every_set_is_equally_likely():
    torch.manual_seed(0)
    num_draws = 20_000
    drawn = distinct(torch.full((num_draws,), 5), 3).sort(dim=1).values
    counts = Counter(map(tuple, drawn.tolist()))
    assert len(counts) == 10  # 5 choose 3
    expected = num_draws / 10
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_squared < 27.9  # exceeded once in a thousand seeds


def test_draws_repeat_with_the_generator_and_differ_without():
    rows = torch.arange(5).repeat(20)
    torch.manual_seed(3)
    first = sample_rows(ROWPTR, rows, 2)[0]
    second = sample_rows(ROWPTR, rows, 2)[0]
    torch.manual_seed(3)
    assert torch.equal(first, sample_rows(ROWPTR, rows, 2)[0])
    assert not torch.equal(first, second)


def test_rows_of_sparse_features_are_those_of_dense_ones():
    x = torch.randn(6, 4) * (torch.rand(6, 4) < 0.5)
    for index in (torch.tensor([5, 0, 0, 3]), torch.empty(0, dtype=torch.long)):
        part = SparseFeatures.from_dense(x).rows(index)
        assert torch.equal(part.to_dense(), x[index])
        assert torch.equal(take_rows(x, index), x[index])
        weight = torch.randn(3, 4)
        torch.testing.assert_close(part.linear(weight), x[index] @ weight.T)


def test_selected_rows_are_a_pattern_of_their_own():
    csr, _ = CSR.from_coo(torch.tensor([0, 2, 2, 1]), torch.tensor([1, 0, 3, 2]), 3, 4)
    part, entries = csr.select_rows(torch.tensor([2, 0]))
    assert part.shape == (2, 4)
    assert part.col.tolist() == [0, 3, 1]
    assert entries.tolist() == [2, 3, 0]
