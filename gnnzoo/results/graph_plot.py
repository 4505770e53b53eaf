"""A figure of one graph: how degrees are spread, and how labels mix along edges."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gnnzoo.results.plots import _COLOURS, _figure, _save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_WRITTEN = 10  # classes up to which the shares are written into the cells
_MARKERS = ("o", "^")


def plot_graph(
    degrees: Mapping[str, Sequence[int]],
    mixing: Sequence[Sequence[float] | None] | None,
    path: Path,
    title: str,
) -> None:
    """Draw the share of nodes with at least each degree, and the mixing of labels beside it.

    Args:
        degrees: A degree for each node, by name: "degree", or "in" and "out".
        mixing: Row by class: of the edges that leave it, the share that ends in each class; None
            for a class without edges. None leaves the panel out.
        path: PNG file.
        title: Above both panels.
    """
    figure = _figure(title, width=9.0 if mixing else 5.0)
    panels = figure.subplots(1, 2 if mixing else 1, squeeze=False)[0]
    _draw_degrees(panels[0], degrees)
    if mixing:
        _draw_mixing(panels[1], mixing)
    _save(figure, path)


def _draw_degrees(axes: "Axes", degrees: Mapping[str, Sequence[int]]) -> None:
    import numpy as np

    for number, (name, values) in enumerate(degrees.items()):
        values = np.asarray(values)
        steps, counts = np.unique(values, return_counts=True)
        at_least = counts[::-1].cumsum()[::-1] / max(len(values), 1)
        zeros = int((values == 0).sum())
        label = name if name == "degree" else f"{name}-degree"
        if zeros:
            label += f" (0 for {zeros:,} of {len(values):,} nodes)"
        axes.plot(
            steps[steps > 0],
            at_least[steps > 0],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=3,
            linewidth=1,
            color=_COLOURS[number],
            label=label,
        )
    axes.set_xlabel("degree")
    axes.set_ylabel("share of nodes with at least that degree")
    axes.spines[["top", "right"]].set_visible(False)
    if not any(len(line.get_xdata()) for line in axes.lines):
        axes.text(0.5, 0.5, "no edges", transform=axes.transAxes, ha="center", color="0.35")
        return
    _scale(axes)
    axes.grid(alpha=0.25, linewidth=0.6)
    above = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0)}
    axes.legend(fontsize=8, frameon=False, **above)


def _scale(axes: "Axes") -> None:
    """Logarithmic axes with plain numbers at the powers of ten, of which two are always in view."""
    from matplotlib.ticker import NullFormatter

    points = [line.get_xydata() for line in axes.lines]
    largest = max(line[:, 0].max() for line in points if len(line))
    least = min(line[:, 1].min() for line in points if len(line))
    axes.set(xscale="log", yscale="log", xlim=(0.8, max(1.3 * largest, 12)))
    axes.set_ylim(min(0.7 * least, 0.08), 1.3)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_mixing(axes: "Axes", mixing: Sequence[Sequence[float] | None]) -> None:
    import numpy as np

    size = len(mixing)
    cells = np.array([[np.nan] * size if row is None else row for row in mixing], dtype=float)
    image = axes.imshow(cells, vmin=0, vmax=1, cmap="Blues")
    axes.set_xlabel("class at the end of the edge")
    axes.set_ylabel("class at its start")
    if size <= MOST_WRITTEN:
        axes.set_xticks(range(size))
        axes.set_yticks(range(size))
        for row in range(size):
            for column in range(size):
                share = cells[row, column]
                text = "-" if np.isnan(share) else f"{share:.2f}"
                colour = "white" if share > 0.55 else "black"
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    axes.figure.colorbar(image, ax=axes, label="share of the edges that leave a class", shrink=0.9)
