"""What a search may set, and which settings its n-th trial draws."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gnnzoo.config import ConfigError
from gnnzoo.paths import conf_root

SEED_OF_THE_SEARCH = 20240601  # one number, so that all models of a table draw the same sequence


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


def draw(space: Mapping[str, Any], place: int) -> dict[str, Any]:
    """The settings at one place of the random sequence, counted from 0.

    They depend on space and place alone, so trials may end in any order, and a search that was
    stopped draws on as if it had not been.

    Raises:
        ImportError: If Optuna is missing.
    """
    optuna = _optuna()
    sampler = optuna.samplers.RandomSampler(SEED_OF_THE_SEARCH + place)
    trial = optuna.create_study(sampler=sampler).ask()
    for key, entry in space.items():
        if isinstance(entry, list):
            trial.suggest_categorical(key, entry)
        elif isinstance(entry["low"], int) and isinstance(entry["high"], int):
            trial.suggest_int(key, entry["low"], entry["high"], log=entry.get("log", False))
        else:
            trial.suggest_float(key, entry["low"], entry["high"], log=entry.get("log", False))
    return trial.params


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError('gnnzoo tune needs Optuna: pip install "gnnzoo[tune]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
