"""The checks of a link split: a clean one passes, and every way to leak is named."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnnzoo.data import LinkSplit, LinkTask, check_links
from gnnzoo.data.links import link_keys, links_sha256

NODES = 8


def pairs(*ends: tuple[int, int]) -> Tensor:
    return torch.tensor(ends).t()


def task(**changes) -> LinkTask:
    train = pairs((0, 1), (1, 2), (2, 3), (3, 4))
    clean = LinkTask(
        data=Data(edge_index=to_undirected(train, num_nodes=NODES), num_nodes=NODES),
        train_links=train,
        val=LinkSplit(pairs((0, 2)), pairs((0, 5), (6, 0))),
        test=LinkSplit(pairs((1, 3), (4, 5)), pairs((0, 7), (7, 1), (7, 2))),
        split_number=0,
        split_sha256="",
        metric="hits@1",
    )
    return replace(clean, **changes)


def shown(edge_index: Tensor) -> Data:
    return Data(edge_index=edge_index, num_nodes=NODES)


def messages(*more: tuple[int, int]) -> Tensor:
    """The clean message graph and further links in both directions."""
    return torch.cat([task().data.edge_index, *(pairs(m, m[::-1]) for m in more)], dim=1)


VAL, TEST = task().val, task().test

LEAKS = {
    "test link in training messages": (
        {"data": shown(messages((1, 3)))},
        r"data.edge_index shows link \(1, 3\) of test.positives \(1 such",
    ),
    "reversed test link": ({"data": shown(messages((5, 4)))}, r"shows link \(4, 5\) of test"),
    "validation link in training messages": (
        {"data": shown(messages((0, 2)))},
        r"data.edge_index shows link \(0, 2\) of val.positives",
    ),
    "validation link in validation messages": (
        {"val": replace(VAL, edge_index=messages((0, 2)))},
        r"val.edge_index shows link \(0, 2\) of val.positives",
    ),
    "test link in validation messages": (
        {"val": replace(VAL, edge_index=messages((1, 3)))},
        r"val.edge_index shows link \(1, 3\) of test",
    ),
    "test link in test messages": (
        {"test": replace(TEST, edge_index=messages((0, 2), (1, 3)))},
        r"test.edge_index shows link \(1, 3\) of test",
    ),
    "one direction trains, the other tests": (
        {"train_links": pairs((0, 1), (1, 2), (3, 1))},
        r"link \(1, 3\) is in both train_links and test.positives \(1 such",
    ),
    "one direction trains, the other validates": (
        {"train_links": pairs((0, 1), (2, 0))},
        r"link \(0, 2\) is in both train_links and val",
    ),
    "validation link tests": (
        {"test": replace(TEST, positives=pairs((2, 0)))},
        r"link \(0, 2\) is in both val.positives and test",
    ),
    "twice in one part": (
        {"train_links": pairs((0, 1), (1, 2), (1, 0))},
        r"train_links holds link \(0, 1\) more than once \(1 rep",
    ),
    "one-way messages": (
        {"data": shown(pairs((0, 1), (1, 0), (1, 2)))},
        r"holds arc \(1, 2\) but not as often its reverse",
    ),
    "messages more often one way": (
        {"data": shown(pairs((0, 1), (1, 0), (1, 0)))},
        "not as often its reverse",
    ),
    "negative that trains": (
        {"val": replace(VAL, negatives=pairs((0, 5), (2, 1)))},
        r"val.negatives holds \(1, 2\), which is a link of train_links \(1 such",
    ),
    "negative that validates": (
        {"test": replace(TEST, negatives=pairs((2, 0)))},
        r"test.negatives holds \(0, 2\), which is a link of val",
    ),
    "negative that tests": (
        {"val": replace(VAL, negatives=torch.tensor([[[0, 3]], [[5, 1]]]))},
        r"val.negatives holds \(1, 3\), which is a link of test",
    ),
    "negative self pair": (
        {"test": replace(TEST, negatives=pairs((0, 7), (4, 4)))},
        r"test.negatives holds \(4, 4\)",
    ),
    "positive self pair": (
        {"train_links": pairs((0, 1), (3, 3))},
        r"train_links holds \(3, 3\); a node is never paired with itself",
    ),
    "pairs in rows": ({"train_links": pairs((0, 1), (1, 2), (2, 3)).t()}, r"shape \[3, 2\]"),
    "float pairs": ({"train_links": pairs((0, 1)).float()}, "got torch.float32"),
    "id too large": ({"train_links": pairs((0, 8))}, r"train_links names node 8, .* \[0, 8\)"),
    "negative id": (
        {"test": replace(TEST, negatives=pairs((0, -1)))},
        "test.negatives names node -1",
    ),
    "nothing to validate on": (
        {"val": replace(VAL, positives=VAL.positives[:, :0])},
        "val.positives is empty",
    ),
    "no negatives": (
        {"val": replace(VAL, negatives=VAL.negatives[:, :0])},
        "val.negatives is empty",
    ),
    "own negatives of other positives": (
        {"test": replace(TEST, negatives=torch.ones(2, 3, 4, dtype=torch.long))},
        r"\[2, 2, num_own\], got torch.int64 of shape \[2, 3, 4\]",
    ),
}


def test_a_clean_split_passes():
    check_links(task())
    own = torch.tensor([[[1, 7], [4, 4]], [[5, 3], [7, 6]]])
    check_links(task(test=LinkSplit(TEST.positives, own, messages((0, 2), (6, 6)))))


@pytest.mark.parametrize(("changes", "message"), LEAKS.values(), ids=LEAKS.keys())
def test_a_seeded_violation_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        check_links(task(**changes))


def test_a_published_split_may_list_links_again_but_it_is_told():
    again = task(train_links=pairs((0, 1), (1, 0), (3, 1)), data=shown(messages((1, 3))))
    with pytest.warns(UserWarning, match="as published, ") as caught:
        check_links(again, published=True)
    repeated, shared = (str(warning.message) for warning in caught)
    assert "train_links holds link (0, 1) more than once" in repeated
    assert "link (1, 3) is in both train_links and test.positives" in shared
    with pytest.warns(UserWarning, match=r"data.edge_index shows link \(4, 5\) of test"):
        check_links(task(data=shown(messages((4, 5)))), published=True)
    with pytest.raises(ValueError, match="names node 9"):
        check_links(task(train_links=pairs((0, 9))), published=True)


def test_without_test_holds_nothing_of_the_test_part():
    own = torch.tensor([[[1, 7], [4, 4]], [[5, 3], [7, 6]]])
    whole = task(test=LinkSplit(TEST.positives, own, messages((0, 2))))
    hidden = whole.without_test()
    assert hidden.test.positives.shape == (2, 0)
    assert hidden.test.negatives.shape == (2, 0, 2)
    assert hidden.test.edge_index is None
    assert hidden.test.positives.untyped_storage().nbytes() == 0
    assert hidden.test.negatives.untyped_storage().nbytes() == 0
    assert hidden.val is whole.val
    assert whole.test.positives.size(1) == 2


def test_keys_are_the_same_for_both_directions_and_different_for_other_links():
    all_pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5)).t()
    keys = link_keys(all_pairs, 5)
    assert torch.equal(keys, link_keys(all_pairs.flip(0), 5))
    assert len(keys.unique()) == 15


def test_the_checksum_tells_splits_apart():
    def checksum(**changes) -> str:
        of = task(**changes)
        return links_sha256(of.data.num_nodes, of.train_links, of.val, of.test)

    same = LinkSplit(VAL.positives.clone(), VAL.negatives.clone())
    assert checksum() == checksum(val=same)
    others = [
        checksum(train_links=task().train_links[:, :3]),
        checksum(val=replace(VAL, negatives=VAL.negatives.flip(1))),
        checksum(test=replace(TEST, positives=TEST.positives.flip(1))),
        checksum(data=Data(edge_index=task().data.edge_index, num_nodes=9)),
    ]
    assert len({checksum(), *others}) == 5
