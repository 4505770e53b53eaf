import pytest

from gnnzoo.train import Patience, TrailingMean


def stops_at(rule, losses, metrics=None, max_epochs=None):
    metrics = metrics or [0.0] * len(losses)
    for epoch, (loss, metric) in enumerate(zip(losses, metrics, strict=True)):
        if rule.should_stop(epoch, max_epochs or len(losses), loss, metric):
            return epoch
    return None


def test_patience_counts_epochs_since_the_best_loss():
    assert stops_at(Patience(2), [3.0, 2.0, 2.5, 2.0, 1.0]) == 3


def test_patience_on_the_metric_ignores_the_loss():
    rule = Patience(2, monitor="metric")
    assert stops_at(rule, [1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4]) is None


def test_patience_waits_for_its_start():
    assert stops_at(Patience(1, start=0.6), [1.0, 2.0, 3.0, 4.0, 5.0]) == 3


def test_trailing_mean_compares_with_the_window_before_the_epoch():
    # mean of (4, 2) is 3: 2.9 goes on; mean of (2, 2.9) is 2.45: 2.5 stops
    assert stops_at(TrailingMean(2), [4.0, 2.0, 2.9, 2.5]) == 3


def test_trailing_mean_stays_silent_before_its_start():
    assert stops_at(TrailingMean(1, start=0.5), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == 3


@pytest.mark.parametrize("make", [lambda: Patience(3), lambda: TrailingMean(3)])
def test_a_restored_rule_goes_on_like_the_original(make):
    losses = [5.0, 4.0, 4.5, 4.6, 4.7, 4.8, 4.9]
    whole = stops_at(make(), losses)
    first, second = make(), make()
    for epoch in range(2):
        first.should_stop(epoch, len(losses), losses[epoch], 0.0)
    second.load_state_dict(first.state_dict())
    resumed = next(
        epoch
        for epoch in range(2, len(losses))
        if second.should_stop(epoch, len(losses), losses[epoch], 0.0)
    )
    assert resumed == whole


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Patience(0), "at least 1, got 0"),
        (lambda: Patience(1, monitor="lost"), "monitor must be one of loss, metric, got 'lost'"),
        (lambda: TrailingMean(1, start=2.0), r"\[0, 1\], got 2.0"),
    ],
)
def test_bad_settings_raise(make, words):
    with pytest.raises(ValueError, match=words):
        make()
