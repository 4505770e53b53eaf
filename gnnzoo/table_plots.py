"""Figures of a published table that need its data sets."""

from pathlib import Path

from gnnzoo.config import build, compose
from gnnzoo.data.label_mixing import label_measures
from gnnzoo.ops import Graph
from gnnzoo.results import Column, Summary, Table, plot_by_homophily


def draw_homophily(blocks: list[Table], summaries: list[list[Summary]], folder: Path) -> list[Path]:
    """Draw scores against homophily, if a block asks for it and has runs; the file drawn.

    Args:
        blocks: Of one table; a method is one row of the figure whatever block it stands in.
        summaries: Of each block.
        folder: Where ``homophily.png`` goes.
    """
    scores: dict[str, dict[str, tuple[float, float | None]]] = {}
    columns: dict[str, Column] = {}
    for table, own in zip(blocks, summaries, strict=True):
        for summary in own:
            row, column = summary.cell.row, table.column(summary.cell.column)
            if row in table.plots.get("homophily", []) and summary.fresh:
                scores.setdefault(row, {})[column.title] = (summary.mean, summary.std)
                columns[column.title] = column
    if not scores:
        return []
    homophily = {title: edge_homophily(column) for title, column in columns.items()}
    first = next(table for table in blocks if table.plots)
    path = folder / "homophily.png"
    in_percent = first.unit == "percent"
    plot_by_homophily(scores, homophily, path, first.title, first.metric, in_percent)
    return [path]


def edge_homophily(column: Column) -> float:
    """Share of a data set's edges between labelled nodes that join two of one class."""
    composed = compose(column.overrides)
    dataset = build(composed.settings.dataset, composed.trusted())
    data = dataset.data
    graph = Graph.from_edge_index(data.edge_index, data.num_nodes)
    return label_measures(graph, data.y, dataset.num_classes)["homophily"]["edge"]
