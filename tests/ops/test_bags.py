import pytest
import torch

from gnnzoo.ops import Bags, pool_bags, sample_bags
from tests.reference.overlap import dense_bags

F64 = torch.float64
BAGS = Bags(torch.tensor([0, 2, 2, 7, 8]), torch.tensor([0, 3, 0, 1, 2, 3, 4, 4]))
EMPTY = torch.empty(0, dtype=torch.long)


def dense(bags, num_nodes, weight=None):
    return dense_bags(bags.offsets, bags.node, num_nodes, weight)


def test_sizes_and_owners():
    assert (BAGS.num_bags, BAGS.num_items) == (4, 8)
    assert BAGS.counts().tolist() == [2, 0, 5, 1]
    assert BAGS.owner().tolist() == [0, 0, 2, 2, 2, 2, 2, 3]
    assert repr(BAGS) == "Bags(num_bags=4, num_items=8)"


@pytest.mark.parametrize("weighted", [False, True])
def test_pooling_and_gradients_equal_the_dense_product(weighted):
    torch.manual_seed(0)
    x, goal = torch.randn(5, 3, dtype=F64, requires_grad=True), torch.randn(4, 3, dtype=F64)
    weight = torch.randn(8, dtype=F64, requires_grad=True) if weighted else None
    wanted = (x, weight) if weighted else (x,)
    ours, theirs = pool_bags(x, BAGS, weight), dense(BAGS, 5, weight) @ x
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        torch.autograd.grad((ours * goal).sum(), wanted),
        torch.autograd.grad((theirs * goal).sum(), wanted),
    )


def test_gradcheck():
    x = torch.randn(5, 3, dtype=F64, requires_grad=True)
    weight = torch.randn(8, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: pool_bags(x, BAGS, w), (x, weight))
    assert torch.autograd.gradcheck(lambda x: pool_bags(x, BAGS), (x,))


@pytest.mark.parametrize(("num_nodes", "num_bags", "channels"), [(5, 3, 2), (0, 1, 2), (5, 0, 2)])
def test_empty_bags_give_zeros_and_a_gradient_of_zeros(num_nodes, num_bags, channels):
    x = torch.randn(num_nodes, channels, requires_grad=True)
    weight = torch.ones(0, requires_grad=True)
    out = pool_bags(x, Bags(torch.zeros(num_bags + 1, dtype=torch.long), EMPTY), weight)
    assert out.tolist() == [[0.0] * channels] * num_bags
    out.sum().backward()
    assert x.grad.tolist() == [[0.0] * channels] * num_nodes
    assert weight.grad.shape == (0,)


def test_no_channels():
    assert pool_bags(torch.randn(5, 0), BAGS).shape == (4, 0)


def test_half_precision_is_added_up_in_float32():
    x = torch.tensor([[256.0]] + [[1.0]] * 64, dtype=torch.bfloat16)  # 256 + 1 is 256 in bfloat16
    bags = Bags(torch.tensor([0, 65]), torch.arange(65))
    out = pool_bags(x, bags, torch.ones(65))
    assert out.dtype == torch.bfloat16
    assert out.item() == 320
    with torch.autocast("cpu", torch.bfloat16):
        assert pool_bags(x, bags).dtype == torch.float32


def test_no_row_is_copied_for_an_item():
    channels, items = 64, 4096
    x = torch.randn(16, channels, requires_grad=True)
    bags = Bags(torch.tensor([0, items]), torch.arange(items) % 16)
    with torch.profiler.profile(profile_memory=True) as profile:
        pool_bags(x, bags, torch.ones(items, requires_grad=True)).sum().backward()
    largest = max(abs(event.self_cpu_memory_usage) for event in profile.events())
    assert largest < 4 * channels * items / 2


@pytest.mark.parametrize("most", [5, 6, -1])
def test_bags_that_are_small_enough_come_back_as_they_are(most):
    bags, weight = sample_bags(BAGS, most)
    assert bags is BAGS
    assert weight.tolist() == [1.0] * 8


def test_large_bags_are_drawn_from_and_small_ones_stay():
    bags, weight = sample_bags(BAGS, 2, torch.Generator().manual_seed(0))
    assert bags.counts().tolist() == [2, 0, 2, 1]
    assert bags.node[[0, 1, 4]].tolist() == [0, 3, 4]
    assert set(bags.node[2:4].tolist()) <= {0, 1, 2, 3, 4}
    assert weight.tolist() == [1.0, 1.0, 2.5, 2.5, 1.0]
    again, _ = sample_bags(BAGS, 2, torch.Generator().manual_seed(0))
    assert torch.equal(again.node, bags.node)
    draws = [tuple(sample_bags(BAGS, 2)[0].node[2:4].tolist()) for _ in range(200)]
    assert len(set(draws)) > 15  # of 25
    assert any(first == second for first, second in draws)  # with replacement


def test_sampled_sums_are_those_of_the_whole_bags_on_average():
    torch.manual_seed(0)
    x, times = torch.randn(5, 3, dtype=F64), 4000
    mean = sum(pool_bags(x, *sample_bags(BAGS, 3)) for _ in range(times)) / times
    error = 5 * x.std(0, correction=0) / (3 * times) ** 0.5  # of the mean of sums of 3, times 5 / 3
    assert ((mean - pool_bags(x, BAGS))[2].abs() < 4 * error).all()
    assert torch.equal(mean[1], torch.zeros(3, dtype=F64))


@pytest.mark.parametrize("most", [0, -2])
def test_bad_caps_are_named(most):
    with pytest.raises(ValueError, match=f"at least 1, or -1 for all, got {most}"):
        sample_bags(BAGS, most)


@pytest.mark.parametrize(
    ("x", "weight", "message"),
    [
        (torch.zeros(5), None, r"got torch.float32 of shape \[5\]"),
        (torch.zeros(5, 2, dtype=torch.long), None, "floating point"),
        (torch.zeros(5, 2, device="meta"), None, "meta"),
        (torch.zeros(5, 2), torch.ones(3), r"\[8\], one per item, got torch.float32.*\[3\]"),
        (torch.zeros(5, 2), torch.ones(8, dtype=torch.long), "int64"),
    ],
)
def test_bad_operands_are_named(x, weight, message):
    with pytest.raises(ValueError, match=message):
        pool_bags(x, BAGS, weight)
