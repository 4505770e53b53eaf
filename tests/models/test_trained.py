import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from gnnzoo.data import CSRGraph, GraphDataset, RandomLinks
from gnnzoo.heads import LinkHead
from gnnzoo.models import NCNMPNN, TrainedOutput
from gnnzoo.nn import NCNCPredictor, NCNPredictor
from gnnzoo.train.checkpoint import save_weights
from tests.reference.graphs import random_edges

N = 20
SETTINGS = {"num_layers": 2, "dropout": 0.3, "layer_norm": True, "residual": True}


@pytest.fixture
def run(tmp_path):
    """Encoder and NCN of a run, and its weights."""
    torch.manual_seed(0)
    encoder, head = NCNMPNN(6, 8, **SETTINGS), nn.Module()
    head.predictor = NCNPredictor(8, node_mlp=True)
    path = tmp_path / "weights.safetensors"
    save_weights(path, nn.ModuleDict({"encoder": encoder, "head": head}).state_dict())
    return encoder, head.predictor, str(path)


@pytest.fixture
def task():
    torch.manual_seed(1)
    edges = random_edges(N, 60, undirected=True)
    data = Data(x=torch.randn(N, 6), edge_index=edges, num_nodes=N)
    return RandomLinks(metric="auc")(GraphDataset("toy", data, "0" * 64), seed=0)


def test_ncnc_starts_as_the_ncn_of_another_run(run, task):
    encoder, ncn, path = run
    torch.manual_seed(5)
    again = NCNMPNN(6, 8, **SETTINGS, path=path)
    predictor = NCNCPredictor(8, node_mlp=True, alpha=0.0, learn_pt=True)
    head = LinkHead(task, predictor, batch_size=10, path=path)
    want = LinkHead(task, ncn, batch_size=10).test(encoder, task.test)
    assert head.test(again, task.test) == pytest.approx(want)
    assert float(predictor.alpha) == 0.0  # its own


def test_weights_that_do_not_fit_are_named(run, task):
    *_, path = run
    with pytest.raises(ValueError, match="there are no weights at 'nowhere'"):
        NCNMPNN(6, 8, path="nowhere")
    with pytest.raises(ValueError, match="other weights of encoder than NCNMPNN needs"):
        NCNMPNN(6, 9, **SETTINGS, path=path)
    with pytest.raises(ValueError, match=r"needs, among them node_mlp\.0\.bias"):
        LinkHead(task, NCNPredictor(8), batch_size=10, path=path)


def test_features_may_be_what_a_trained_encoder_gives(run, task):
    encoder, _, path = run
    transform = TrainedOutput(NCNMPNN(6, 8, **SETTINGS), path)
    data = CSRGraph()(transform(task.data))
    want = encoder.eval()(task.data.x, task.data.edge_index)
    torch.testing.assert_close(data.x, want.detach())
    assert not data.x.requires_grad
    seen = type(task)(**{**vars(task), "data": data, "transforms": (transform, CSRGraph())})
    with pytest.raises(ValueError, match=r"head\.target_link_removal=false"):
        LinkHead(seen, NCNPredictor(8), batch_size=10)
    head = LinkHead(seen, NCNPredictor(8), batch_size=10, target_link_removal=False)
    assert all(torch.equal(batch.data.x, data.x) for batch in head.batches("train"))
