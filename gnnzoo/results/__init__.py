"""Run records, the store they are kept in, and the tables and plots made from them alone."""

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
from gnnzoo.results.store import Rebuilt, RunStore

__all__ = [
    "Rebuilt",
    "RunStore",
    "compact",
    "json_safe",
    "new_record",
    "provenance",
    "timestamp",
    "validate",
    "versions",
    "write_record",
]
