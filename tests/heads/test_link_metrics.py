import pytest
import torch
from ogb.linkproppred import Evaluator
from sklearn.metrics import average_precision_score, roc_auc_score

from gnnzoo.heads import link_metrics
from gnnzoo.heads.link_metrics import ap, auc, hits, link_metric, mrr, ranks
from tests.live_bytes import PeakBytes


def scores(num_positives=200, num_negatives=300, distinct=40):
    """Scores with many ties."""
    torch.manual_seed(0)
    return torch.randint(distinct, (num_positives,)).float(), torch.randint(
        distinct, (num_negatives,)
    ).float()


@pytest.mark.parametrize("k", [20, 50, 100])
def test_hits_equal_ogbs(k):
    positives, negatives = scores()
    positives = positives + 3
    evaluator = Evaluator("ogbl-ddi")
    evaluator.K = k
    want = evaluator.eval({"y_pred_pos": positives, "y_pred_neg": negatives})[f"hits@{k}"]
    assert hits(positives, negatives, k) == pytest.approx(want)


def test_a_tie_with_the_threshold_is_a_miss():
    assert hits(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0]), 1) == 0.5


def test_constant_scores_hit_nothing():
    assert hits(torch.ones(5), torch.ones(10), 3) == 0.0


def test_too_few_negatives_are_refused():
    with pytest.raises(ValueError, match="hits@20 needs at least 20 negatives, there are 5"):
        hits(torch.ones(3), torch.ones(5), 20)


def test_mrr_equals_ogbs():
    torch.manual_seed(0)
    positives = torch.randint(9, (50,)).float()
    negatives = torch.randint(9, (50, 1000)).float()
    found = Evaluator("ogbl-citation2").eval({"y_pred_pos": positives, "y_pred_neg": negatives})
    assert mrr(positives, negatives) == pytest.approx(found["mrr_list"].mean().item())
    assert hits(positives, negatives, 10) == pytest.approx(found["hits@10_list"].mean().item())


def test_shared_negatives_are_those_of_every_positive():
    positives, negatives = scores()
    own = negatives.expand(positives.numel(), -1)
    assert torch.equal(ranks(positives, negatives), ranks(positives, own))


def test_all_equal_is_the_middle_rank():
    assert ranks(torch.zeros(2), torch.zeros(2, 10)).tolist() == [6.0, 6.0]
    assert ranks(torch.tensor([1.0]), torch.tensor([0.0, 2.0, 3.0])).tolist() == [3.0]


def test_auc_and_ap_equal_scikit_learns():
    from sklearn.metrics import average_precision_score, roc_auc_score

    positives, negatives = scores()
    positives = positives + 5
    y = [1] * positives.numel() + [0] * negatives.numel()
    both = torch.cat([positives, negatives])
    assert auc(positives, negatives) == pytest.approx(roc_auc_score(y, both))
    assert ap(positives, negatives) == pytest.approx(average_precision_score(y, both))


def test_large_logits_do_not_tie():
    positives, negatives = torch.tensor([60.0]), torch.tensor([50.0, 40.0])
    assert auc(positives, negatives) == 1.0


@pytest.mark.parametrize("name", ["hits@1", "mrr", "auc", "ap"])
def test_scores_that_are_not_finite_are_refused(name):
    with pytest.raises(ValueError, match="not finite"):
        link_metric(name)(torch.tensor([float("nan")]), torch.zeros(3))


@pytest.mark.parametrize("name", ["hits@0", "hits@", "hit@3", "accuracy"])
def test_unknown_metrics_are_refused(name):
    with pytest.raises(ValueError, match="no link metric"):
        link_metric(name)


@pytest.mark.parametrize("counted", [1, 7, 1 << 22])
@pytest.mark.parametrize("shape", [(50,), (40, 3)])
def test_auc_and_ap_counted_in_parts_equal_scikit_learns(counted, shape, monkeypatch):
    monkeypatch.setattr(link_metrics, "MAX_CURVE", 0)
    monkeypatch.setattr(link_metrics, "COUNTED", counted)
    torch.manual_seed(3)
    for decimals in (0, 1, 5):  # from mostly ties to none
        positives = (torch.randn(40) + 0.5).round(decimals=decimals)
        negatives = torch.randn(shape).round(decimals=decimals)
        labels = [1] * 40 + [0] * negatives.numel()
        scores = torch.cat([positives, negatives.flatten()])
        assert auc(positives, negatives) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        want = average_precision_score(labels, scores)
        assert ap(positives, negatives) == pytest.approx(want, abs=1e-12)


def test_many_negatives_take_little_memory_beside_them(monkeypatch):
    monkeypatch.setattr(link_metrics, "COUNTED", 1 << 14)
    positives, negatives = torch.randn(1000), torch.randn(1 << 20)
    monkeypatch.setattr(link_metrics, "MAX_CURVE", 0)
    for metric in (auc, ap):
        with PeakBytes((positives, negatives)) as held:
            metric(positives, negatives)
        assert held.peak < negatives.numel()  # the scores themselves take four bytes each


def test_counting_in_parts_begins_at_its_threshold(monkeypatch):
    monkeypatch.setattr(link_metrics, "MAX_CURVE", 5)
    seen = []
    of = link_metrics._Thresholds.of
    monkeypatch.setattr(link_metrics._Thresholds, "of", lambda *a: seen.append(a) or of(*a))
    few = torch.tensor([0.5, 0.5]), torch.tensor([0.0, 0.5, 1.0])
    many = few[0], torch.tensor([0.0, 0.0, 0.5, 1.0])
    assert auc(*few) == pytest.approx(0.5)
    assert seen == []
    assert auc(*many) == pytest.approx((2 + 0.5) / 4)
    assert len(seen) == 1
