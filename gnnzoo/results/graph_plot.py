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
            label += f" ({zeros:,} nodes have 0)"
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
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(-0.02, 1.0))


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
