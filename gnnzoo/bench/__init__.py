"""Benchmarks: time and peak memory of ops, layers and the trainer beside stock references."""

from collections.abc import Sequence

# Each is a module here with a function of its name, imported when it is run.
BENCHMARKS = (
    "classics",
    "dagnn",
    "forward",
    "gcn",
    "loop",
    "ncn",
    "overlap",
    "patterns",
    "scan",
    "sheaf",
    "spmm",
    "sweep",
)


def run_benchmarks(
    names: Sequence[str], device: str = "cpu", csv: str | None = None, quick: bool = False
) -> None:
    """Run benchmarks and print a table for each.

    Args:
        names: Which ones; all if empty.
        device: ``"cpu"`` or a CUDA device.
        csv: Folder for one CSV file per benchmark.
        quick: Only try them out, on small generated graphs; the numbers mean nothing.

    Raises:
        ValueError: If there is no such benchmark or no such device.
    """
    if unknown := [name for name in names if name not in BENCHMARKS]:
        raise ValueError(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    if device.split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda, got {device!r}")
    from gnnzoo.bench.run import run

    run(names or BENCHMARKS, device, csv, quick)
