"""Search hyper-parameters on validation scores alone, with Optuna, and write the winner down."""

import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from gnnzoo.config import ConfigError, compose
from gnnzoo.executor import execute, override_strings
from gnnzoo.files import write_text
from gnnzoo.identity import cell_hash
from gnnzoo.paths import conf_root, runs_root

SEED_OF_THE_SEARCH = 20240601  # one number, so that all models of a table draw the same sequence


@dataclass(frozen=True)
class Search:
    """What is searched, and with what budget.

    Attributes:
        overrides: Settings that stay fixed; they name model, data set and head.
        space: Setting to its choices (a list) or its range (``low``, ``high``, perhaps ``log``).
        num_trials: Settings tried. The first is what is set already, the recipe where there is
            one, if the space holds it.
        seeds: A trial's score is its mean validation metric over these; report others.
    """

    overrides: tuple[str, ...]
    space: Mapping[str, Any]
    num_trials: int = 60
    seeds: tuple[int, ...] = (1000, 1001, 1002)

    def __post_init__(self) -> None:
        if self.num_trials < 1 or not self.seeds:
            raise ConfigError(
                f"a search needs at least one trial and one seed, got {self.num_trials} trials "
                f"and the seeds {list(self.seeds)}"
            )

    @property
    def folder(self) -> Path:
        """Where the trials and the winner lie; another start or space has another folder."""
        composed = compose(self.overrides)
        choices = composed.choices
        name = "_".join(str(choices[group]) for group in ("dataset", "head", "model", "trainer"))
        return runs_root() / "tune" / f"{name}_{cell_hash(composed)[:10]}_{len(self.space)}"


def load_space(name: str) -> dict[str, Any]:
    """A search space by its name under ``conf/search`` or by the path of a YAML file.

    Raises:
        ConfigError: If there is no such file, or an entry is neither a choice nor a range.
    """
    folder = conf_root() / "search"
    path = Path(name) if name.endswith(".yaml") else folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise ConfigError(f"no search space {name!r}; there are: {known}; or name a .yaml file")
    space = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, entry in space.items():
        keys = set(entry) if isinstance(entry, dict) else set()
        if not (isinstance(entry, list) and entry) and not {"low", "high"} <= keys <= {
            "low",
            "high",
            "log",
        }:
            raise ConfigError(f"{path}: {key} must be a list of choices or {{low, high, log}}")
    return space


def tune(search: Search, num_jobs: int = 1) -> Path:
    """Run the trials that are left and write the winner as a recipe.

    Trials are kept in an SQLite file and their runs in the run store, so a killed search goes on
    where it was. A trial that fails counts as one of the budget.

    Args:
        search: What to search.
        num_jobs: Runs side by side, one torch thread each.

    Returns:
        The recipe, a YAML file.

    Raises:
        ImportError: If Optuna is missing.
        ConfigError: If every trial failed.
    """
    study = _open(search)
    while left := search.num_trials - len(_counted(study)):
        trials = [_ask(study, search) for _ in range(min(num_jobs, left))]
        for trial, result in zip(trials, _run(trials, search, num_jobs), strict=True):
            _tell(study, trial, result)
            print(f"trial {trial.number + 1}: {trial.params}  {result}", file=sys.stderr)
    done = [trial for trial in _counted(study) if trial.value is not None]
    if not done:
        last = _counted(study)[-1].user_attrs["result"]
        raise ConfigError(f"all {search.num_trials} trials failed; the last one: {last}")
    path = search.folder / "recipe.yaml"
    write_text(path, recipe(search, max(done, key=lambda trial: trial.value), len(done)))
    return path


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError('gnnzoo tune needs Optuna: pip install "gnnzoo[tune]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _open(search: Search) -> Any:
    """The study on disk; what a killed search left under way is queued again."""
    optuna = _optuna()
    search.folder.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{search.folder / 'trials.db'}"
    study = optuna.create_study(
        study_name="search", storage=storage, direction="maximize", load_if_exists=True
    )
    if not study.trials and (start := _start_values(search)) is not None:
        study.enqueue_trial(start)
    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
    return study


def _start_values(search: Search) -> dict[str, Any] | None:
    settings = compose(search.overrides).settings
    values = {key: OmegaConf.select(settings, key) for key in search.space}
    inside = (
        values[key] in entry
        if isinstance(entry, list)
        else values[key] is not None and entry["low"] <= values[key] <= entry["high"]
        for key, entry in search.space.items()
    )
    return values if all(inside) else None


def _counted(study: Any) -> list[Any]:
    """Trials that ended with a score or an error of their own."""
    return [trial for trial in study.trials if "result" in trial.user_attrs]


def _ask(study: Any, search: Search) -> Any:
    optuna = _optuna()
    # a sampler per trial: a search that was stopped draws on as if it had not been
    study.sampler = optuna.samplers.RandomSampler(SEED_OF_THE_SEARCH + len(study.trials))
    trial = study.ask()
    for key, entry in search.space.items():
        if isinstance(entry, list):
            trial.suggest_categorical(key, entry)
        elif isinstance(entry["low"], int) and isinstance(entry["high"], int):
            trial.suggest_int(key, entry["low"], entry["high"], log=entry.get("log", False))
        else:
            trial.suggest_float(key, entry["low"], entry["high"], log=entry.get("log", False))
    return trial


def _run(trials: list[Any], search: Search, num_jobs: int) -> Iterator[float | str]:
    """Mean validation score of each trial, or its error."""
    from joblib import Parallel, delayed

    jobs = [
        ([*search.overrides, *override_strings(trial.params)], seed)
        for trial in trials
        for seed in search.seeds
    ]
    results = Parallel(n_jobs=num_jobs, backend="loky")(delayed(_validate)(*job) for job in jobs)
    count = len(search.seeds)
    for first in range(0, len(results), count):
        own = results[first : first + count]
        errors = [result for result in own if isinstance(result, str)]
        yield errors[0] if errors else statistics.mean(own)


def _validate(overrides: list[str], seed: int) -> float | str:
    try:
        composed = compose([*overrides, f"seed={seed}", "threads=1", "progress=none"])
        return execute(composed, in_sweep=True).record["val"]
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _tell(study: Any, trial: Any, result: float | str) -> None:
    trial.set_user_attr("result", result)
    if isinstance(result, str):
        study.tell(trial, state=_optuna().trial.TrialState.FAIL)
    else:
        study.tell(trial, result)


def recipe(search: Search, best: Any, num_done: int) -> str:
    """The winner as a file for ``conf/tuned``: its settings, and the budget it was found with."""
    settings = OmegaConf.create({})
    for override in search.overrides:
        key, _, value = override.lstrip("+").partition("=")
        if "." in key:
            OmegaConf.update(settings, key, yaml.safe_load(value))
    for key, value in best.params.items():
        OmegaConf.update(settings, key, value)
    lines = [
        "# @package _global_",
        f"# Searched: {num_done} of {search.num_trials} random trials ended with a score; this one "
        f"has the best mean validation score, {best.value:.4f},",
        f"# over the seeds {', '.join(map(str, search.seeds))}; space: "
        f"{', '.join(search.space)}; start: {' '.join(search.overrides)}",
    ]
    return "\n".join(lines) + "\n" + OmegaConf.to_yaml(settings)
