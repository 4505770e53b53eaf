import pytest
import torch
from torch.nn import functional as F

from gnnzoo.nn import FeatureDropout, FeatureLinear
from gnnzoo.ops import SparseFeatures
from gnnzoo.ops.dropout import dropout

F64 = torch.float64


def bag_of_words(rows=30, cols=20, dtype=F64):
    torch.manual_seed(0)
    return torch.rand(rows, cols, dtype=dtype) * (torch.rand(rows, cols) < 0.2)


def test_dense_and_back():
    x = bag_of_words()
    sparse = SparseFeatures.from_dense(x)
    assert torch.equal(sparse.to_dense(), x)
    assert (sparse.shape, sparse.size(1), sparse.dtype, sparse.dim()) == ((30, 20), 20, F64, 2)
    assert sparse.density == (x != 0).double().mean().item()
    assert sparse.is_floating_point()
    assert sparse.to("cpu") is sparse
    assert sparse.to("meta").device.type == "meta"
    assert torch.equal(SparseFeatures.from_dense(x.to_sparse()).to_dense(), x)
    assert "density=0." in repr(sparse)


def test_linear_equals_the_dense_one_with_exact_gradients():
    x = bag_of_words()
    layer = FeatureLinear(20, 5).double()
    goal = torch.randn(30, 5, dtype=F64)
    ours = torch.autograd.grad(
        (layer(SparseFeatures.from_dense(x)) * goal).sum(), (*layer.parameters(),)
    )
    theirs = torch.autograd.grad((layer(x) * goal).sum(), (*layer.parameters(),))
    torch.testing.assert_close(ours, theirs)
    assert layer.state_dict().keys() == torch.nn.Linear(20, 5).state_dict().keys()


def test_dropped_features_give_the_exact_gradient_too():
    layer = FeatureLinear(20, 5).double()
    dropped = SparseFeatures.from_dense(bag_of_words()).dropout(0.5)
    ours = torch.autograd.grad(layer(dropped).square().sum(), layer.weight)
    theirs = torch.autograd.grad(layer(dropped.to_dense()).square().sum(), layer.weight)
    torch.testing.assert_close(ours, theirs)


def test_features_made_under_inference_mode_can_be_trained_on():
    layer = FeatureLinear(20, 5).double()
    with torch.inference_mode():
        sparse = SparseFeatures.from_dense(bag_of_words())
        layer(sparse)
    layer(sparse).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_sparse_dropout_has_the_distribution_of_the_dense_one(p):
    x = bag_of_words(400, 300, torch.float32)
    torch.manual_seed(1)
    sparse = SparseFeatures.from_dense(x).dropout(p).to_dense()
    theirs = F.dropout(x, p)
    count = (x != 0).sum()
    tolerance = 5 * (p * (1 - p) / count.item()) ** 0.5  # five standard deviations
    for dropped in (sparse, theirs):
        kept = dropped != 0
        assert abs(kept.sum() / count - (1 - p)) < tolerance
        torch.testing.assert_close(dropped[kept], x[kept] / (1 - p), rtol=1e-4, atol=0)
    rows = (sparse != 0).sum(1) - (x != 0).sum(1) * (1 - p)  # independent of each other: binomial
    variance = (x != 0).sum(1).float().mean() * p * (1 - p)
    assert 0.8 < rows.var() / variance < 1.25


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_dropout_keeps_type_mean_and_mask_in_every_precision(dtype):
    torch.manual_seed(0)
    x = torch.ones(200_001, dtype=dtype, requires_grad=True)
    out = dropout(x, 0.3)
    assert out.dtype == dtype
    assert abs((out == 0).double().mean() - 0.3) < 0.005
    kept = out[out != 0].unique()
    torch.testing.assert_close(kept, torch.tensor([1 / 0.7], dtype=dtype), rtol=0.005, atol=0)
    (grad,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(grad, out.detach())


def test_dropout_bounds_and_evaluation():
    x = torch.rand(50, 3)
    sparse = SparseFeatures.from_dense(x)
    assert dropout(x, 0.0) is x
    assert dropout(x, 1.0).count_nonzero() == 0
    assert sparse.dropout(0.5, training=False) is sparse
    layer = FeatureDropout(0.5).eval()
    assert layer(x) is x
    assert layer(sparse) is sparse
    assert isinstance(layer.train()(sparse), SparseFeatures)


def test_dropout_repeats_with_the_seed_and_has_the_masks_gradient():
    x = torch.rand(101, requires_grad=True)
    torch.manual_seed(3)
    first = dropout(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, dropout(x, 0.5))
    first.sum().backward()
    torch.testing.assert_close(x.grad * x, first)


def test_bad_features_are_named():
    with pytest.raises(ValueError, match="int64"):
        SparseFeatures.from_dense(torch.zeros(3, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="20 channels, layer was built for 7"):
        FeatureLinear(7, 2).double()(SparseFeatures.from_dense(bag_of_words()))
