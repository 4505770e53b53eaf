"""Curves on disk and as figures."""

import math
import sys

import pytest

from gnnzoo.results import plot_comparison, plot_curve, read_curve_csv, write_curve_csv


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
