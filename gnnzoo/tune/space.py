"""What a search may set, and which settings its n-th trial draws."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from gnnzoo.config import ConfigError
from gnnzoo.paths import conf_root

try:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
except ImportError as error:
    raise ImportError('gnnzoo tune needs Optuna: pip install "gnnzoo[tune]"') from error

SEED_OF_THE_SEARCH = 20240601  # one number, so that all models of a table draw the same sequence

optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line per study made tells nobody anything


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
    try:
        space = OmegaConf.to_container(OmegaConf.load(path))  # reads 1e-3 as the number it is
    except (yaml.YAMLError, OSError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(space, dict) or not space:
        raise ConfigError(f"{path} must map settings to choices or ranges")
    for key, entry in space.items():
        keys = set(entry) if isinstance(entry, dict) else set()
        is_range = {"low", "high"} <= keys <= {"low", "high", "log"}
        if not is_range and not (isinstance(entry, list) and entry):
            raise ConfigError(f"{path}: {key} must be a list of choices or {{low, high, log}}")
    return space


def distributions(space: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """The space as Optuna knows it, in its order.

    Raises:
        ConfigError: If a range is empty, or logarithmic and not above zero.
    """
    return {key: _distribution(key, entry) for key, entry in space.items()}


def _distribution(key: str, entry: Any) -> BaseDistribution:
    if isinstance(entry, list):
        return CategoricalDistribution(entry)
    low, high, log = entry["low"], entry["high"], entry.get("log", False)
    kind = IntDistribution if isinstance(low, int) and isinstance(high, int) else FloatDistribution
    try:
        return kind(low, high, log=log)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key} cannot range over {entry}: {error}") from error


def draw(space: Mapping[str, Any], place: int) -> dict[str, Any]:
    """The settings at one place of the random sequence, counted from 0.

    They depend on space and place alone, so trials may end in any order, and a search that was
    stopped draws on as if it had not been.
    """
    sampler = optuna.samplers.RandomSampler(SEED_OF_THE_SEARCH + place)
    return optuna.create_study(sampler=sampler).ask(distributions(space)).params
