"""Run records, the store they are kept in, and the tables and plots made from them alone."""

from gnnzoo.results.curves import read_curve_csv, write_curve_csv
from gnnzoo.results.homophily_plot import plot_by_homophily
from gnnzoo.results.plots import plot_comparison, plot_curve
from gnnzoo.results.rechecks import Recheck, add_rechecks, same_scores
from gnnzoo.results.record import (
    compact,
    json_safe,
    new_record,
    provenance,
    timestamp,
    validate,
    versions,
    write_record,
)
from gnnzoo.results.render import to_csv, to_markdown, to_rich, update_between_markers
from gnnzoo.results.store import Rebuilt, RunStore
from gnnzoo.results.summary import (
    Summary,
    collect,
    compare,
    extract,
    missing,
    published_records,
    summarise,
)
from gnnzoo.results.table import Cell, Column, Reported, Row, Table
from gnnzoo.results.table_yaml import UnknownTableError, list_tables, load_table
from gnnzoo.results.tracks import Tracks, require_mirrors

__all__ = [
    "Cell",
    "Column",
    "Rebuilt",
    "Recheck",
    "Reported",
    "Row",
    "RunStore",
    "Summary",
    "Table",
    "Tracks",
    "UnknownTableError",
    "add_rechecks",
    "collect",
    "compact",
    "compare",
    "extract",
    "json_safe",
    "list_tables",
    "load_table",
    "missing",
    "new_record",
    "plot_by_homophily",
    "plot_comparison",
    "plot_curve",
    "provenance",
    "published_records",
    "read_curve_csv",
    "require_mirrors",
    "same_scores",
    "summarise",
    "timestamp",
    "to_csv",
    "to_markdown",
    "to_rich",
    "update_between_markers",
    "validate",
    "versions",
    "write_curve_csv",
    "write_record",
]
