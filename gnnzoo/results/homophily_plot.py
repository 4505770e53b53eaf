"""A figure of scores against the homophily of the graphs that they were measured on."""

from collections.abc import Mapping
from pathlib import Path

from gnnzoo.results.plots import _COLOURS, _figure, _named, _save

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def plot_by_homophily(
    scores: Mapping[str, Mapping[str, tuple[float, float | None]]],
    homophily: Mapping[str, float],
    path: Path,
    title: str,
    metric: str = "accuracy",
    in_percent: bool = True,
) -> None:
    """Draw mean and standard deviation of each method on each graph, graphs from left to right.

    Graphs of nearly equal homophily would lie on each other, so they stand side by side in its
    order with the number written below; methods are set off a little from each other.

    Args:
        scores: Mean and standard deviation by method and graph.
        homophily: Share of edges that join nodes of one class, by graph; those without are left
            out.
        path: PNG file.
        title: Above the figure.
        metric: Name of the score.
        in_percent: Whether scores are shares, drawn as percent.
    """
    known = {graph for of_method in scores.values() for graph in of_method} & homophily.keys()
    graphs = sorted(known, key=lambda graph: (homophily[graph], graph))
    figure = _figure(title, width=max(6.4, 1.3 * len(graphs)))
    axes, factor = figure.subplots(), 100 if in_percent else 1
    for number, (method, of_method) in enumerate(scores.items()):
        shift = 0.6 * ((number + 0.5) / len(scores) - 0.5)
        own = [place for place, graph in enumerate(graphs) if graph in of_method]
        pairs = [of_method[graphs[place]] for place in own]
        axes.errorbar(
            [place + shift for place in own],
            [factor * mean for mean, _ in pairs],
            yerr=[factor * (std or 0.0) for _, std in pairs],
            fmt=_MARKERS[number % len(_MARKERS)],
            color=_COLOURS[number % len(_COLOURS)],
            markersize=4,
            elinewidth=0.8,
            label=method,
        )
    axes.set_xticks(range(len(graphs)), [f"{graph}\n{homophily[graph]:.2f}" for graph in graphs])
    axes.set_xlabel("edge homophily of the graph")
    axes.set_ylabel(_named(f"test {metric}", in_percent))
    axes.grid(alpha=0.25, linewidth=0.6, axis="y")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, framealpha=0.9, edgecolor="none", loc="best")
    _save(figure, path)
