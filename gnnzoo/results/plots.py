"""Figures of training curves, drawn without touching matplotlib's global state."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gnnzoo.files import write_atomically
from gnnzoo.results.curves import CurveRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette without yellow: told apart with any colour vision; dashes help in print
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", "-.", ":")


def plot_curve(
    rows: Sequence[CurveRow],
    path: Path,
    title: str,
    metric: str = "accuracy",
    best_epoch: int | None = None,
    in_percent: bool = True,
) -> None:
    """Draw one run: loss on the left, metric on the right, the selected epoch marked in both.

    Args:
        rows: As for :func:`~gnnzoo.results.curves.write_curve_csv`.
        path: PNG file.
        title: Above both panels, such as "DAGNN on Cora, seed 0".
        metric: Which metric the right panel shows.
        best_epoch: The epoch whose weights were kept.
        in_percent: Whether the metric is a share, drawn as percent.
    """
    figure = _figure(title, width=9.0)
    left, right = figure.subplots(1, 2)
    scale = 100 if in_percent else 1
    for axes, quantity, factor in ((left, "loss", 1), (right, metric, scale)):
        for number, (prefix, label) in enumerate((("train", "training"), ("val", "validation"))):
            points = _points(rows, f"{prefix}_{quantity}", factor)
            if not points[0]:
                continue
            axes.plot(*points, color=_COLOURS[number], linestyle=_DASHES[number], label=label)
            for epoch, value in zip(*points, strict=True):
                if epoch == best_epoch and prefix == "val":
                    axes.plot(epoch, value, "o", color="black", markersize=5, zorder=5)
        if best_epoch is not None:
            selected = f"selected epoch ({best_epoch})"
            axes.axvline(best_epoch, color="0.35", linewidth=1, linestyle=":", label=selected)
        for epoch, layer in _first_epochs(rows):
            axes.axvline(epoch, color="0.8", linewidth=0.6, zorder=0)
            place = (epoch, 0.01)
            axes.annotate(
                f"layer {layer}",
                place,
                xycoords=("data", "axes fraction"),
                fontsize=7,
                color="0.35",
            )
    _dress(left, "loss")
    _dress(right, _named(metric, in_percent))
    _save(figure, path)


def _first_epochs(rows: Sequence[CurveRow]) -> list[tuple[float, int]]:
    """Where each layer begins, in a run that trains one after the other."""
    layers = [row.get("layer") for row in rows]
    starts = [
        (row["epoch"], row["layer"])
        for row, before in zip(rows, [None, *layers], strict=False)
        if row.get("layer") is not None and row["layer"] != before
    ]
    return [(epoch, int(layer)) for epoch, layer in starts]


def plot_comparison(
    runs: Mapping[str, Sequence[Sequence[CurveRow]]],
    path: Path,
    title: str,
    column: str = "val_accuracy",
    label: str = "validation accuracy",
    in_percent: bool = True,
) -> None:
    """Draw the mean curve of each model, with a band of one standard deviation over its runs.

    Runs end at different epochs; one that has stopped holds its last value, so that the mean is
    over the same runs everywhere.

    Args:
        runs: For each model, the rows of its runs.
        path: PNG file.
        title: Above the figure.
        column: Which column of the rows.
        label: Name of the vertical axis.
        in_percent: Whether the values are shares, drawn as percent.
    """
    figure = _figure(title, width=6.4)
    axes = figure.subplots()
    for number, (model, curves) in enumerate(runs.items()):
        epochs, mean, std = _band(curves, column, 100 if in_percent else 1)
        style = {"color": _COLOURS[number % len(_COLOURS)]}
        plural = "run" if len(curves) == 1 else "runs"
        name = f"{model} ({len(curves)} {plural})"
        axes.plot(epochs, mean, linestyle=_DASHES[number % len(_DASHES)], label=name, **style)
        lower = [m - s for m, s in zip(mean, std, strict=True)]
        upper = [m + s for m, s in zip(mean, std, strict=True)]
        axes.fill_between(epochs, lower, upper, alpha=0.18, linewidth=0, **style)
    early = [line.get_ydata()[len(line.get_ydata()) // 10] for line in axes.get_lines()]
    top = min(axes.get_ylim()[1], 100.5) if in_percent else None
    axes.set_ylim(min(early) - 0.05 * abs(min(early)), top)  # leave the first climb out of view
    _dress(axes, _named(label, in_percent), legend="mean ± std over seeds")
    _save(figure, path)


def _points(
    rows: Sequence[CurveRow], column: str, factor: float = 1
) -> tuple[list[float], list[float]]:
    known = [(row["epoch"], row.get(column)) for row in rows]
    known = [(e, v) for e, v in known if e is not None and v is not None and math.isfinite(v)]
    return [epoch for epoch, _ in known], [factor * value for _, value in known]


def _band(
    curves: Sequence[Sequence[CurveRow]], column: str, factor: float
) -> tuple[list[float], list[float], list[float]]:
    import numpy as np

    points = [_points(rows, column, factor) for rows in curves]
    points = [(epochs, values) for epochs, values in points if epochs]
    if not points:
        raise ValueError(f"no run has values in the column {column!r}")
    epochs = sorted({epoch for run, _ in points for epoch in run})
    held = np.array([np.interp(epochs, run, values) for run, values in points])
    spread = held.std(axis=0, ddof=1) if len(held) > 1 else np.zeros(len(epochs))
    return epochs, held.mean(axis=0).tolist(), spread.tolist()


def _named(metric: str, in_percent: bool) -> str:
    name = metric.replace("_", " ")
    return f"{name} (%)" if in_percent else name


def _figure(title: str, width: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 3.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12)
    return figure


def _dress(axes: "Axes", label: str, legend: str | None = None) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.margins(x=0.02)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if not axes.lines:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color="0.35")
        return
    axes.legend(fontsize=9, framealpha=0.9, edgecolor="none", title=legend, title_fontsize=9)


def _save(figure: "Figure", path: Path) -> None:
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))
