import pytest
import torch

from gnnzoo.ops import CSR, ComposedFeatures, SparseFeatures, SparseMatrix, side_by_side
from gnnzoo.ops.composed_features import Piece

F64 = torch.float64


def made():
    torch.manual_seed(0)
    sparse = torch.randn(5, 3, dtype=F64) * (torch.rand(5, 3) < 0.4)
    dense, few = torch.randn(4, 2, dtype=F64), torch.randn(2, 2, dtype=F64)
    row, col = torch.tensor([0, 1, 3, 3]), torch.tensor([4, 0, 1, 2])
    mix = SparseMatrix(CSR.from_coo(row, col, 4, 5)[0], torch.randn(4, dtype=F64))
    few_mix = SparseMatrix(CSR.from_coo(row[:2], row[:2], 4, 2)[0], torch.randn(2, dtype=F64))
    pieces = [
        Piece(SparseFeatures.from_dense(sparse), mix),
        Piece(dense, column=3),
        Piece(few, few_mix, 3),
    ]
    want = torch.cat([mix.to_dense() @ sparse, dense + few_mix.to_dense() @ few], dim=1)
    return ComposedFeatures(pieces, 5), want


def test_pieces_add_up_or_stand_side_by_side():
    x, want = made()
    assert x.shape == want.shape
    torch.testing.assert_close(x.to_dense(), want)
    index = torch.tensor([3, 0])
    torch.testing.assert_close(x.rows(index).to_dense(), want[index])


def test_the_map_and_its_gradient_are_those_of_the_whole():
    x, want = made()
    weight = torch.randn(7, 5, dtype=F64, requires_grad=True)
    bias = torch.randn(7, dtype=F64)
    out, dense = x.linear(weight, bias), want @ weight.t() + bias
    torch.testing.assert_close(out, dense)
    (own,) = torch.autograd.grad(out.square().sum(), weight)
    (reference,) = torch.autograd.grad(dense.square().sum(), weight)
    torch.testing.assert_close(own, reference)


def test_dropout_draws_for_each_piece_and_not_for_products():
    x = side_by_side(torch.ones(50, 4), SparseFeatures.from_dense(torch.ones(50, 2)))
    kept = x.dropout(0.5).to_dense()
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert x.dropout(0.5, training=False) is x
    with pytest.raises(ValueError, match="multiplied already"):
        made()[0].dropout(0.5)


def test_a_wrong_width_is_refused():
    with pytest.raises(ValueError, match="5 channels"):
        made()[0].linear(torch.ones(2, 4, dtype=F64))
