"""Splits of graphs: what is hidden, what is refused, what identifies them."""

import pytest
import torch

from gnnzoo.data import GraphFolds, NamedGraphs, NamedSplit, digits, digits_grid
from gnnzoo.data.graph_task import check_parts, parts_sha256
from tests.reference.graph_sets import small_set


@pytest.mark.parametrize("target", ["classes", "labels", "values"])
def test_targets_outside_training_and_validation_are_hidden(target):
    dataset = small_set(target)
    task = NamedGraphs("thirds")(dataset, seed=0)
    seen = torch.cat([task.train, task.val])
    hidden = task.data.y[task.test_graphs]
    assert (hidden == -1).all() if target == "classes" else hidden.isnan().all()
    assert torch.equal(task.data.y[seen].nan_to_num(9), dataset.data.y[seen].nan_to_num(9))
    assert torch.equal(task.test.nan_to_num(9), dataset.data.y[task.test_graphs].nan_to_num(9))
    assert task.without_test().test.numel() == 0
    assert task.num_outputs == 2
    assert dataset.data.y is not task.data.y


def test_folds_partition_the_graphs_and_are_stratified():
    dataset = digits_grid()
    tasks = [GraphFolds(split=fold)(dataset, seed=5) for fold in range(10)]
    tested = torch.cat([task.test_graphs for task in tasks]).sort().values
    assert torch.equal(tested, torch.arange(dataset.num_graphs))
    for task in tasks[:2]:
        assert len(task.train) + len(task.val) + len(task.test_graphs) == dataset.num_graphs
        assert abs(len(task.val) / dataset.num_graphs - 0.09) < 0.002
        share = torch.bincount(task.test) / len(task.test)
        assert (share - 0.1).abs().max() < 0.01
    assert GraphFolds()(dataset, seed=13).split_number == 3
    assert GraphFolds()(dataset, seed=13).split_sha256 == tasks[3].split_sha256
    assert GraphFolds(split=3, fold_seed=1)(dataset, seed=0).split_sha256 != tasks[3].split_sha256


def test_malformed_splits_are_refused():
    one, two = torch.tensor([0]), torch.tensor([1])
    with pytest.raises(ValueError, match="the test part is empty"):
        check_parts((one, two, one[:0]), 3)
    with pytest.raises(ValueError, match="graph 0 comes twice"):
        check_parts((one, two, one), 3)
    with pytest.raises(ValueError, match="the validation part names graph 1, there are 1 from 0"):
        check_parts((one, two, torch.tensor([2])), 1)


def test_the_checksum_sees_the_parts_and_not_their_order():
    parts = (torch.tensor([0, 1]), torch.tensor([2]), torch.tensor([3]))
    turned = (torch.tensor([1, 0]), *parts[1:])
    other = (torch.tensor([0]), torch.tensor([1, 2]), torch.tensor([3]))
    assert parts_sha256(parts, 4) == parts_sha256(turned, 4)
    assert parts_sha256(parts, 4) != parts_sha256(other, 4)
    assert parts_sha256(parts, 4) != parts_sha256(parts, 5)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (NamedGraphs("nix"), r"no split of graphs named 'nix' \(its splits: thirds\)"),
        (NamedGraphs("thirds", split=1), "split must be fixed, by_seed or a number from 0 to 0"),
        (GraphFolds(), "stratified by class, but small has labels"),
    ],
)
def test_protocols_that_do_not_fit_say_so(protocol, message):
    with pytest.raises(ValueError, match=message):
        protocol(small_set("labels"), seed=0)


def test_one_graph_is_no_set_of_graphs():
    with pytest.raises(ValueError, match="digits is one graph"):
        NamedGraphs("fixed")(digits(), seed=0)
    with pytest.raises(ValueError, match="digits_grid has no split named 'fixed'"):
        NamedSplit("fixed")(digits_grid(), seed=0)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_folds must be at least 2, got 1"):
        GraphFolds(num_folds=1)
    with pytest.raises(ValueError, match=r"val_share must be in \(0, 1\), got 1"):
        GraphFolds(val_share=1)


def test_digits_grid_has_pixels_joined_to_their_neighbours():
    data = digits_grid().data
    assert torch.equal(data.ptr.diff(), torch.full((1797,), 64))
    place = (data.x[:, 1:] * 7).round()
    ends = place[data.edge_index]  # [2, num_edges, 2]
    assert ((ends[0] - ends[1]).abs().sum(dim=1) == 1).all()
    assert torch.equal(data.batch[data.edge_index[0]], data.batch[data.edge_index[1]])
    assert float(data.x.min()) == 0
    assert float(data.x.max()) == 1
