"""Search hyper-parameters on validation scores alone, with Optuna, and write the winner down."""

import hashlib
import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from gnnzoo.config import Composed, ConfigError, compose
from gnnzoo.executor import RunRefused, execute, override_strings
from gnnzoo.files import write_text
from gnnzoo.identity import Identity
from gnnzoo.paths import conf_root, runs_root
from gnnzoo.train.backprop import TrainingFailed

SEED_OF_THE_SEARCH = 20240601  # one number, so that all models of a table draw the same sequence


@dataclass(frozen=True)
class Search:
    """What is searched, and with what budget.

    Attributes:
        overrides: Settings to start from; they name model, data set and head. They are the first
            trial, whether the space holds them or not: the recipe where there is one.
        space: Setting to its choices (a list) or its range (``low``, ``high``, perhaps ``log``).
        num_trials: Settings tried, the first one included; the others are drawn at random.
        seeds: A trial's score is its mean validation metric over these; report others. Where the
            seed names the split, these are the splits that decide.
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
        """Where trials and winner lie; one folder per start, space, seeds and sources."""
        composed = compose(self.overrides)
        identity = Identity.of(composed)
        what = [identity.cell_hash, identity.code_hash, self.space, self.seeds]
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        choices = composed.choices
        name = "_".join(str(choices[group]) for group in ("dataset", "head", "model", "trainer"))
        return runs_root() / "tune" / f"{name}_{digest[:12]}"


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
    if not isinstance(space, dict) or not space:
        raise ConfigError(f"{path} must map settings to choices or ranges")
    for key, entry in space.items():
        keys = set(entry) if isinstance(entry, dict) else set()
        is_range = {"low", "high"} <= keys <= {"low", "high", "log"}
        if not is_range and not (isinstance(entry, list) and entry):
            raise ConfigError(f"{path}: {key} must be a list of choices or {{low, high, log}}")
    return space


def tune(search: Search, num_jobs: int = 1) -> Path:
    """Run the trials that are left and write the winner as a recipe.

    Trials are kept in an SQLite file and their runs in the run store, so a killed search goes on
    where it was. Settings that cannot be trained count as one trial of the budget; anything else
    that fails, such as missing data, ends the search and can be put right.

    Args:
        search: What to search.
        num_jobs: Runs side by side, one torch thread each.

    Returns:
        The recipe, a YAML file.

    Raises:
        ImportError: If Optuna is missing.
        ConfigError: If every trial failed.
        RunRefused: If another process is at the same search.
    """
    optuna = _optuna()
    search.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(search.folder / ".lock", timeout=0):
            study = _open(optuna, search)
            if "start" not in study.user_attrs:
                study.set_user_attr("start", _scores([{}], search, num_jobs)[0])
            while left := search.num_trials - 1 - len(_counted(study)):
                trials = [_ask(optuna, study, search) for _ in range(min(num_jobs, left))]
                results = _scores([trial.params for trial in trials], search, num_jobs)
                for trial, result in zip(trials, results, strict=True):
                    trial.set_user_attr("result", result)
                    _tell(optuna, study, trial.number, result)
                    print(f"trial {trial.number + 2}: {trial.params}  {result}", file=sys.stderr)
            return _winner(study, search)
    except Timeout as error:
        raise RunRefused(f"{search.folder} is in use by another search; wait for it") from error


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError('gnnzoo tune needs Optuna: pip install "gnnzoo[tune]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _open(optuna: Any, search: Search) -> Any:
    """The study on disk; what a killed search left under way is told or queued again."""
    storage = f"sqlite:///{search.folder / 'trials.db'}"
    study = optuna.create_study(
        study_name="search", storage=storage, direction="maximize", load_if_exists=True
    )
    for trial in study.trials:
        if trial.state != optuna.trial.TrialState.RUNNING:
            continue
        if "result" in trial.user_attrs:
            _tell(optuna, study, trial.number, trial.user_attrs["result"])
        else:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
    return study


def _counted(study: Any) -> list[Any]:
    """Trials that ended with a score or an error of their own."""
    return [trial for trial in study.trials if "result" in trial.user_attrs]


def _ask(optuna: Any, study: Any, search: Search) -> Any:
    """The next trial: the same draw for the same place in the sequence, stopped before or not."""
    failed = optuna.trial.TrialState.FAIL
    abandoned = [t for t in study.trials if t.state == failed and "result" not in t.user_attrs]
    place = len(study.trials) - len(abandoned)
    study.sampler = optuna.samplers.RandomSampler(SEED_OF_THE_SEARCH + place)
    trial = study.ask()
    for key, entry in search.space.items():
        if isinstance(entry, list):
            trial.suggest_categorical(key, entry)
        elif isinstance(entry["low"], int) and isinstance(entry["high"], int):
            trial.suggest_int(key, entry["low"], entry["high"], log=entry.get("log", False))
        else:
            trial.suggest_float(key, entry["low"], entry["high"], log=entry.get("log", False))
    return trial


def _tell(optuna: Any, study: Any, number: int, result: float | str) -> None:
    if isinstance(result, str):
        study.tell(number, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(number, result)


def _scores(drawn: list[Mapping[str, Any]], search: Search, num_jobs: int) -> list[float | str]:
    """Mean validation score of each draw over the seeds, or why it cannot be trained."""
    from joblib import Parallel, delayed

    jobs = [(_overrides(search, params), seed) for params in drawn for seed in search.seeds]
    found = Parallel(n_jobs=num_jobs, backend="loky")(delayed(_validate)(*job) for job in jobs)
    count = len(search.seeds)
    groups = [found[first : first + count] for first in range(0, len(found), count)]
    errors = [[entry for entry in group if isinstance(entry, str)] for group in groups]
    return [
        failed[0] if failed else statistics.mean(group)
        for failed, group in zip(errors, groups, strict=True)
    ]


def _overrides(search: Search, params: Mapping[str, Any]) -> list[str]:
    return [*search.overrides, *override_strings(params)]


def _validate(overrides: list[str], seed: int) -> float | str:
    try:
        composed = compose([*overrides, f"seed={seed}", "threads=1", "progress=none"])
        return execute(composed, in_sweep=True).record["val"]
    except (ValueError, TrainingFailed) as error:
        return f"{type(error).__name__}: {error}"


def _winner(study: Any, search: Search) -> Path:
    """Write the recipe of the best trial; of equal ones the first."""
    results = [(study.user_attrs["start"], {})]
    results += [(trial.user_attrs["result"], trial.params) for trial in _counted(study)]
    scored = [entry for entry in results if not isinstance(entry[0], str)]
    if not scored:
        raise ConfigError(
            f"all {len(results)} trials failed; the last one: {results[-1][0]} "
            f"(remove {search.folder} to search again)"
        )
    score, params = max(scored, key=lambda entry: entry[0])
    path = search.folder / "recipe.yaml"
    write_text(path, recipe(search, params, score, f"{len(scored)} of {len(results)}"))
    return path


def recipe(search: Search, params: Mapping[str, Any], score: float, trained: str) -> str:
    """The winner as a file for ``conf/tuned``.

    It holds all that the winner's model, head, features and trainer set beyond the defaults of
    their YAML files, so that it stands without the recipe that the search started from.
    """
    best = compose(_overrides(search, params))
    parts = ("head", "features", "model", "trainer")
    wanted, plain = (
        {part: OmegaConf.to_container(composed.settings[part], resolve=True) for part in parts}
        for composed in (best, _defaults(best))
    )
    lines = [
        "# @package _global_",
        f"# Searched: random draws, {trained} trials trained, best mean validation score "
        f"{score:.4f} over the seeds {', '.join(map(str, search.seeds))}.",
        f"# Space: {', '.join(search.space)}. Start: {' '.join(search.overrides)}.",
    ]
    return "\n".join(lines) + "\n" + yaml.safe_dump(_beyond(wanted, plain), sort_keys=False)


def _defaults(composed: Composed) -> Composed:
    groups = ("dataset", "head", "model", "trainer")
    return compose([*(f"{group}={composed.choices[group]}" for group in groups), "tuned=none"])


def _beyond(wanted: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in wanted.items():
        base = plain.get(key)
        if isinstance(value, Mapping) and isinstance(base, Mapping):
            if inner := _beyond(value, base):
                found[key] = inner
        elif key not in plain or value != base:
            found[key] = value
    return found
