"""Curves on disk and as figures."""

import math
import sys

import pytest

from gnnzoo.results import (
    plot_by_homophily,
    plot_comparison,
    plot_curve,
    read_curve_csv,
    write_curve_csv,
)


def _rows(num_epochs, top=0.8):
    return [
        {
            "epoch": epoch,
            "train_loss": 2 / epoch,
            "val_loss": 2.2 / epoch,
            "train_accuracy": top - 0.5 / epoch,
            "val_accuracy": top - 0.6 / epoch,
        }
        for epoch in range(1, num_epochs + 1)
    ]


def _is_png(path):
    content = path.read_bytes()
    return content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) > 5000


def test_a_curve_survives_the_disk(tmp_path):
    rows = [*_rows(2), {"epoch": 3, "train_loss": math.nan, "seconds": 0.1}]
    write_curve_csv(tmp_path / "curve.csv", rows)
    back = read_curve_csv(tmp_path / "curve.csv")
    assert back[0]["train_accuracy"] == rows[0]["train_accuracy"]
    assert back[0]["seconds"] is None
    assert back[2]["train_loss"] is None
    assert back[2]["seconds"] == 0.1
    assert (tmp_path / "curve.csv").read_text().startswith("epoch,train_loss,val_loss,")


def test_one_run_is_drawn_without_global_state(tmp_path):
    plot_curve(_rows(30), tmp_path / "curve.png", "DAGNN on Cora", best_epoch=20)
    assert _is_png(tmp_path / "curve.png")
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_a_curve_without_validation_is_drawn(tmp_path):
    rows = [{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": math.nan}]
    plot_curve(rows, tmp_path / "curve.png", "One point")
    assert _is_png(tmp_path / "curve.png")


def test_several_models_are_compared(tmp_path):
    runs = {"DAGNN": [_rows(30), _rows(40, 0.82)], "MLP": [_rows(10, 0.5)]}
    plot_comparison(runs, tmp_path / "comparison.png", "Cora, public split")
    assert _is_png(tmp_path / "comparison.png")


def test_a_column_without_values_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no run has values in the column 'val_f1'"):
        plot_comparison({"MLP": [_rows(3)]}, tmp_path / "c.png", "x", column="val_f1")


def test_scores_stand_in_the_order_of_homophily(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("gnnzoo.results.homophily_plot._save", lambda *args: drawn.append(args[0]))
    scores = {
        "MLP": {"Cora": (0.76, 0.01), "Texas": (0.8, 0.05)},
        "GCN": {"Cora": (0.87, None), "unknown": (0.5, 0.1)},
    }
    plot_by_homophily(scores, {"Cora": 0.81, "Texas": 0.06}, tmp_path / "h.png", "Title")
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Texas\n0.06", "Cora\n0.81"]
    mlp, gcn = (container.lines[0] for container in axes.containers)
    assert (mlp.get_ydata() == [80.0, 76.0]).all()
    assert (gcn.get_ydata() == [87.0]).all()
    assert mlp.get_xdata()[1] < 1 < gcn.get_xdata()[0]


def test_scores_by_homophily_become_a_file(tmp_path):
    plot_by_homophily({"MLP": {"a": (0.5, 0.1)}}, {"a": 0.2}, tmp_path / "h.png", "Title")
    assert _is_png(tmp_path / "h.png")
