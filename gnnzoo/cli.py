"""The command line: results on standard output, progress and complaints on standard error."""

import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer

import gnnzoo
from gnnzoo.interrupts import interrupt_on_sigterm, terminated

app = typer.Typer(
    help="A model zoo for graph neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_PASS_THROUGH)
def train(context: typer.Context) -> None:
    """Train: gnnzoo train model=dagnn dataset=cora; -m sweeps; --help lists all settings."""
    import hydra
    from hydra.errors import HydraException

    from gnnzoo import sweep, workers
    from gnnzoo.config import explained, register_schema
    from gnnzoo.paths import conf_root

    register_schema()
    flags = [argument for argument in context.args if argument in ("-m", "--multirun")]
    rest = [argument for argument in context.args if argument not in flags]
    arguments = [*flags, *rest]  # Hydra wants its flags before the overrides
    _check(arguments)
    sys.path.append(os.getcwd())  # a trusted package may lie where one stands
    sys.argv = ["gnnzoo train", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets its errors through to us
    if flags:
        workers.end_with_this_process()
    with sweep.ledger() as ledger:
        try:
            with _resumable(), sweep.seeds_composed_once():
                hydra.main(str(conf_root()), "config", version_base="1.3")(_job)()
        except HydraException as error:
            raise explained(error) from error
        finally:
            status = sweep.summarise(ledger)
        raise typer.Exit(status)


def _check(arguments: list[str]) -> None:
    """Refuse what Hydra would refuse at length; our messages are shorter."""
    from hydra._internal.utils import get_args_parser

    from gnnzoo.config import compose
    from gnnzoo.files import make_folder
    from gnnzoo.paths import runs_root

    parser = get_args_parser()
    parser.error = _refuse_flag
    flags = parser.parse_args(arguments)
    if not flags.multirun and not flags.config_path and not flags.config_name:
        compose(flags.overrides, [flags.config_dir] if flags.config_dir else [])
    if not (flags.help or flags.hydra_help or flags.cfg or flags.info):
        make_folder(runs_root(), "GNNZOO_RUNS")


def _refuse_flag(message: str) -> NoReturn:
    raise ValueError(f"{message}; settings are written without dashes, as in model=dagnn")


@contextmanager
def _resumable() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        saved = type(stop) is not KeyboardInterrupt  # but the one of a run that saved itself
        rest = "goes on from here" if saved else "keeps what is finished or saved and does the rest"
        print(f"interrupted; the same command {rest}", file=sys.stderr)
        raise typer.Exit(143 if terminated.is_set() else 130) from None


def _job(settings: object) -> None:
    """One run, alone or as a job of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from gnnzoo.config import from_hydra
    from gnnzoo.executor import execute
    from gnnzoo.sweep import report_job

    warnings.formatwarning = _plain_warning  # here as well, as a job may have a process of its own
    hydra = HydraConfig.get()
    in_sweep = hydra.mode == RunMode.MULTIRUN
    overrides = tuple(o for o in hydra.overrides.task if not o.startswith("launcher="))
    try:
        composed = from_hydra(settings, hydra)
        outcome = execute(composed, in_sweep)
    except Exception as error:
        message = _one_sentence(error)
        print(f"error: {message}", file=sys.stderr)
        if not in_sweep:
            raise SystemExit(1) from error
        report_job(overrides, "failed", error=message)
        return
    record, state = outcome.record, "skipped" if outcome.skipped else "finished"
    if in_sweep:
        report_job(overrides, state, metric=record["metric"], test=record["test"])
        print(f"{state}: {' '.join(overrides)}  {_score(record)}", file=sys.stderr)
        return
    if outcome.skipped:
        gone = "" if outcome.run_dir.is_dir() else ", its folder is gone"
        where = f"on {record['device']}{gone} (rerun=true runs it again)"
        print(f"this run was finished before {where}", file=sys.stderr)
    print(f"{_score(record)}\n{outcome.run_dir}")


_formatwarning = warnings.formatwarning


def _plain_warning(message: object, category: type[Warning], *place: object) -> str:
    """One line without the place in the code, which tells a user nothing."""
    if category is UserWarning:
        return f"warning: {message}\n"
    return _formatwarning(message, category, *place)


def _score(record: dict) -> str:
    return f"test {record['metric']} {record['test']:.4f} (val {record['val']:.4f})"


def _one_sentence(error: Exception) -> str:
    """The message of an expected error; anything else with its traceback."""
    expected = isinstance(error, ValueError | ImportError | OSError)
    expected |= type(error).__module__.startswith("gnnzoo.")
    if os.environ.get("GNNZOO_TRACEBACK") or not expected:
        traceback.print_exc()
    return str(error) if expected else f"{type(error).__name__}: {error}"


@app.callback(invoke_without_command=True)
def version(
    version: Annotated[bool, typer.Option("--version", help="show the version and exit")] = False,
) -> None:
    """A model zoo for graph neural networks."""
    if version:
        typer.echo(gnnzoo.__version__)
        raise typer.Exit


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="models, datasets, ...; none: all kinds")
    ] = None,
    pattern: Annotated[str, typer.Argument(help="shell wildcard")] = "*",
) -> None:
    """List models, data sets, recipes and so on; without an argument, what can be listed."""
    from gnnzoo.descriptions import describe
    from gnnzoo.registry import KINDS, list_names

    if kind is None:
        for name, (_, use) in KINDS.items():
            typer.echo(f"gnnzoo list {name:<12} {len(list_names(name)):>3}  {use}")
        return
    names = list_names(kind, pattern)
    if not names:
        close = list_names(kind, f"*{pattern}*")
        hint = f"'*{pattern}*' gives {', '.join(close)}" if close else "'*' stands for any letters"
        raise ValueError(f"no {kind} match {pattern!r}; {hint}")
    width = max(map(len, names))
    for name in names:
        typer.echo(f"{name:<{width}}  {describe(kind, name)}")


@app.command()
def table(
    name: Annotated[str, typer.Argument(help="a name of: gnnzoo list tables")],
    recheck: Annotated[
        bool,
        typer.Option(
            "--recheck",
            help="first run one seed of each stale cell; if its scores stay, so do the others",
        ),
    ] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="first search the recipes that are missing")
    ] = False,
    fill: Annotated[bool, typer.Option("--fill", help="first run the missing cells")] = False,
    only: Annotated[
        str | None,
        typer.Option(help="run no more than these cells: 'GCN*/cora', '*/texas' or 'texas'"),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="runs side by side; default: all cores")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="put the records beside table.yaml, the table in README")
    ] = False,
) -> None:
    """Show a table of reported and reproduced numbers; --fill runs what is missing."""
    from rich.console import Console

    from gnnzoo.files import make_folder
    from gnnzoo.paths import runs_root
    from gnnzoo.results import collect, load_table, to_rich

    blocks = load_table(name)

    from gnnzoo import tables  # slow, and not needed to know a name

    identify = tables.identifier()
    failures, chosen, num_jobs = [], blocks, jobs or tables.default_jobs()
    if only:
        chosen = tables.only(blocks, only)
    if keep:
        tables.refuse_installed(blocks)
    make_folder(runs_root(), "GNNZOO_RUNS")
    if recheck:
        tables.refuse_installed(blocks)
        with _resumable():
            changed = tables.recheck(chosen, identify, num_jobs)
        for line in changed:
            typer.echo(f"stays stale: {line}", err=True)
    if tune:
        from gnnzoo.searches import make_searches

        tables.refuse_installed(blocks)
        with _resumable():
            failures += make_searches(chosen, num_jobs)
        identify = tables.identifier()  # which recipes there are has changed
    if fill:
        with _resumable():
            failures += tables.fill(chosen, identify, num_jobs)
    if keep:
        tables.keep(blocks, identify)
    records = tables.known_records(blocks)
    summaries = [collect(block, identify, records) for block in blocks]
    console = Console(width=None if sys.stdout.isatty() else 200)
    for block, own in zip(blocks, summaries, strict=True):
        console.print(to_rich(block, own))
    for path in tables.write_files(blocks, summaries):
        typer.echo(path)
    for failure in failures:
        typer.echo(f"failed: {failure}", err=True)
    raise typer.Exit(1 if failures else 0)


@app.command()
def tune(
    overrides: Annotated[list[str], typer.Argument(help="as for train: model=gcn dataset=cora")],
    space: Annotated[str, typer.Option(help="a file of conf/search, or a .yaml of your own")],
    trials: Annotated[int, typer.Option(min=1, help="settings to try")] = 60,
    seeds: Annotated[str, typer.Option(help="seeds of a trial")] = "1000,1001,1002",
    final: Annotated[
        int, typer.Option(min=0, help="best trials that meet again on --final-seeds")
    ] = 0,
    final_seeds: Annotated[str, typer.Option(help="seeds of the second stage")] = "1000-1009",
    minutes: Annotated[
        float | None, typer.Option(min=0.0, help="begin no new trial after so many minutes")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="runs side by side; default: all cores")
    ] = None,
) -> None:
    """Search hyper-parameters by validation scores; prints the winning recipe and its file."""
    from gnnzoo.files import make_folder
    from gnnzoo.paths import runs_root
    from gnnzoo.tune.space import load_space

    sys.path.append(os.getcwd())  # a trusted package may lie where one stands
    make_folder(runs_root(), "GNNZOO_RUNS")
    budget = (trials, _numbers("--seeds", seeds), final, _numbers("--final-seeds", final_seeds))
    entries = load_space(space)

    from gnnzoo import tune as tuning  # slow, and not needed to know the options
    from gnnzoo.tables import default_jobs

    search = tuning.Search(tuple(overrides), entries, *budget)
    with _resumable():
        path = tuning.tune(search, jobs or default_jobs(), minutes)
    typer.echo(f"{path.read_text(encoding='utf-8')}\n{path}")


def _numbers(option: str, text: str) -> tuple[int, ...]:
    """The seeds in ``1000,1001`` or ``1000-1009``."""
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
    except ValueError:
        raise ValueError(f"{option} must be like 1000,1001 or 1000-1009, got {text!r}") from None
    return tuple(dict.fromkeys(numbers))


@app.command()
def inspect(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="dataset=cora; dataset=file dataset.path=graph.npz")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object, no more")] = False,
) -> None:
    """Measure a data set: degrees, homophily, direction, memory, and which methods suit it."""
    import json

    from gnnzoo.inspect import inspect_dataset
    from gnnzoo.results import json_safe
    from gnnzoo.results.inspection import to_text

    sys.path.append(os.getcwd())  # a trusted package may lie where one stands
    report = inspect_dataset(overrides or [])
    typer.echo(json.dumps(json_safe(report), indent=2) if as_json else to_text(report))


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="benchmarks; default: all")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    csv: Annotated[str | None, typer.Option(help="folder for one CSV file per benchmark")] = None,
) -> None:
    """Time ops and layers beside stock references, in one run."""
    from gnnzoo.bench import run_benchmarks

    run_benchmarks(names or [], device, csv)


@app.command()
def doctor() -> None:
    """Show versions, devices, back-ends and data folders, and what is missing."""
    from gnnzoo.doctor import report

    typer.echo(report())


def main() -> None:
    """Entry point of the ``gnnzoo`` command."""
    warnings.formatwarning = _plain_warning
    interrupt_on_sigterm()
    try:
        app()
    except Exception as error:
        print(f"error: {_one_sentence(error)}", file=sys.stderr)
        raise SystemExit(1) from None
