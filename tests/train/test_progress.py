import io

import pytest

from gnnzoo.train import progress


def play(reporter, epochs=3):
    reporter.start("dagnn on toy, seed 0", epochs, 0)
    for epoch in range(epochs):
        reporter.update(epoch, 0.5, "accuracy", 0.25)
    reporter.close()


def test_lines_show_loss_metric_and_time_left(capsys):
    play(progress.Lines(every_seconds=0))
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 4
    for word in ("epoch 2/3", "loss 0.5000", "val accuracy 0.2500", "s left"):
        assert word in lines[2]


def test_lines_are_rare_in_a_log(capsys):
    play(progress.Lines(every_seconds=1000), epochs=50)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_resumed_run_says_where_it_goes_on(capsys):
    reporter = progress.Lines()
    reporter.start("run", 10, 4)
    assert "from epoch 5" in capsys.readouterr().err


def test_the_bar_shows_loss_and_metric_on_a_terminal(monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress.Bar, "REDRAW_SECONDS", 0.0)
    play(progress.make_reporter("bar"))
    assert "val accuracy 0.250" in screen.getvalue()
    assert "3/3" in screen.getvalue()


@pytest.mark.parametrize(
    ("terminal", "in_sweep", "kind"),
    [(True, False, progress.Bar), (False, False, progress.Lines), (True, True, progress.Silent)],
)
def test_auto_suits_the_place(monkeypatch, terminal, in_sweep, kind):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    assert type(progress.make_reporter("auto", in_sweep)) is kind


def test_silence_is_silent(capsys):
    play(progress.make_reporter("none"))
    assert capsys.readouterr() == ("", "")
