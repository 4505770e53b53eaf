import pytest
import torch
from sklearn.model_selection import KFold, train_test_split
from torch_geometric.data import Data

from gnnzoo.data import Folds, GraphDataset


def dataset(num_nodes=53):
    torch.manual_seed(0)
    y = torch.randint(3, (num_nodes,))
    y[7] = -1
    edges = torch.randint(num_nodes, (2, 90))
    data = Data(x=torch.randn(num_nodes, 2), edge_index=edges, y=y)
    return GraphDataset("made", data, "0" * 64, num_classes=3)


def masks(task):
    return [task.data[f"{part}_mask"] for part in ("train", "val", "test")]


def test_folds_are_tested_on_once_each():
    own = dataset()
    tasks = [Folds()(own, seed) for seed in range(5)]
    tested = torch.stack([task.data.test_mask for task in tasks]).sum(0)
    assert torch.equal(tested, (own.data.y >= 0).long())
    for task in tasks:
        assert torch.stack(masks(task)).sum(0).max() == 1
        train, val, test = (int(mask.sum()) for mask in masks(task))
        assert train + val + test == 52
        assert (val, test) in ((9, 11), (9, 10))  # a fifth of the rest, rounded up
    assert tasks[0].split_sha256 == Folds()(own, 5).split_sha256  # modulo the number of folds


def test_the_split_is_scikit_learn_s_as_published():
    own = dataset()
    own.data.y[7] = 0
    rest, test = list(KFold(5, shuffle=True, random_state=101).split(range(53)))[2]
    train, val = train_test_split(rest, test_size=0.2, random_state=254)
    found = [mask.nonzero().flatten().tolist() for mask in masks(Folds(split=2)(own, 0))]
    assert found == [sorted(part.tolist()) for part in (train, val, test)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_folds": 1}, "num_folds"), ({"val": 1.0}, "val"), ({"split": 5}, "fold 5")],
)
def test_numbers_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Folds(**settings)(dataset(), 0)
