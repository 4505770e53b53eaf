"""From YAML files and overrides to settings."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from gnnzoo.parts import ConfigError, build, check_arguments, resolve_target, targets
from gnnzoo.paths import conf_root

__all__ = [
    "Composed",
    "ConfigError",
    "Features",
    "MissingRecipe",
    "RunConfig",
    "build",
    "compose",
    "explain",
    "explained",
    "from_hydra",
    "refuse_missing",
    "register_schema",
    "resolve_target",
    "targets",
]


@dataclass
class Features:
    """How node features enter the encoder."""

    # auto: given or, where there are none, a learned embedding of each node of the graph
    kind: str = "auto"  # auto | given | degree | ids | embedding | onehot (of categories)
    embedding_channels: int = 256  # width of a learned embedding
    normalize: str = "none"  # none | row: divide each row by its sum
    sparse: str = "auto"  # auto | always | never: keep mostly-zero features as a sparse matrix
    random_walk_steps: int = 0  # steps after which a walk's return is encoded; 0: none
    laplacian_vectors: int = 0  # eigenvectors of the normalised Laplacian; 0: none
    encoding_channels: int = 16  # width that each of these encodings is mapped to


@dataclass
class RunConfig:
    """Settings of one run; the parts are YAML groups with a ``_target_`` each."""

    head: Any = None
    dataset: Any = None
    protocol: Any = None
    model: Any = None
    trainer: Any = None
    features: Features = field(default_factory=Features)
    seed: int = 0
    device: str = "auto"  # auto | cpu | cuda | cuda:1
    threads: int | None = None  # torch threads; null: one for small graphs, else torch's choice
    deterministic: bool = False  # refuse operations whose result may differ between two runs
    run_dir: str | None = None  # null: a folder under runs/ named after the settings
    rerun: bool = False  # run again although a finished record exists
    progress: str = "auto"  # auto | bar | lines | none
    track: Any = "none"  # none | tensorboard | wandb | a list: mirror the run there as well
    checkpoint_seconds: float = 20.0  # time between two checkpoints, and between two such updates
    trusted_targets: list[str] = field(default_factory=list)  # packages whose parts may be built


def register_schema() -> None:
    """Make ``run_schema`` known to Hydra; needed before any composition."""
    ConfigStore.instance().store("run_schema", RunConfig)


@dataclass(frozen=True)
class Composed:
    """Settings of one run, with the choice made in each group and the recipe that was applied."""

    settings: DictConfig
    choices: Mapping[str, str | None]
    overrides: tuple[str, ...]
    tuned: str | None

    def trusted(self) -> tuple[str, ...]:
        """Packages named on the command line or in ``GNNZOO_TRUSTED_TARGETS``."""
        return _trusted_packages(self.settings, self.overrides)


def compose(overrides: Iterable[str], config_dirs: Iterable[str | Path] = ()) -> Composed:
    """Compose the settings that the command line ``gnnzoo train <overrides>`` would run.

    Raises:
        ConfigError: If an override names an unknown setting, option or recipe.
    """
    overrides = list(overrides)
    folders = [Path(folder).absolute() for folder in config_dirs]
    search = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders)}]"]
    register_schema()
    try:
        with initialize_config_dir(str(conf_root()), version_base="1.3"):
            config = hydra_compose(
                "config", overrides + search * bool(folders), return_hydra_config=True
            )
    except HydraException as error:
        raise ConfigError(explain(error, overrides, folders)) from error
    settings = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    return from_hydra(settings, config.hydra)


def from_hydra(settings: DictConfig, hydra: DictConfig) -> Composed:
    """Join a job's settings with what Hydra knows of it, and check what Hydra lets pass."""
    known = {setting.name for setting in fields(RunConfig)}
    if unknown := [str(key) for key in settings if key not in known]:
        raise ConfigError(_no_setting(unknown[0], settings))
    choices = dict(hydra.runtime.choices)
    overrides = tuple(hydra.overrides.task)
    search_path = [Path(str(source.path)) for source in hydra.runtime.config_sources]
    tuned = _tuned_recipe(choices.get("tuned"), overrides, search_path)
    composed = Composed(settings, choices, overrides, tuned)
    trusted = composed.trusted()
    if tuned and _asked_for("tuned", overrides):
        _refuse_misfit(composed, search_path, trusted)
    if settings.seed < 0:
        raise ConfigError(f"seed must be a whole number from 0, got {settings.seed}")
    return composed


def refuse_missing(settings: DictConfig) -> None:
    """Raise a ``ConfigError`` if a part needs a setting that nobody gave."""
    if missing := sorted(OmegaConf.missing_keys(settings)):
        raise ConfigError(f"{missing[0]} is needed; give it as {missing[0]}=...")


def explained(error: HydraException) -> ConfigError:
    """The error of a sweep, which is over then."""
    GlobalHydra.instance().clear()  # explaining may compose anew
    return ConfigError(explain(error))


def explain(
    error: HydraException, overrides: Iterable[str] = (), config_dirs: Iterable[str | Path] = ()
) -> str:
    """What Hydra could not compose, in one sentence."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        hint = "lists like 'track=[a,b]', text with signs like 'x=\"a, b\"'"
        if "=" not in error.override:
            hint = f"{error.override}=..."
        return f"cannot read {error.override!r}; write {hint}"
    if found := re.match(r"(?:In '.*': )?Could not find '([^']*)/([^'/]*)'", text):
        group, name = found.groups()
        options = re.findall(r"^\t(\S+)$", text.partition("Available options")[2], re.MULTILINE)
        return f"no {group} named {name!r}; {_options(name, options)}"
    if found := re.match(r"Could not override '([^']*)'", text):
        others = [entry for entry in overrides if entry.lstrip("+~").split("=")[0] != found[1]]
        return _no_setting(found[1], compose(others, config_dirs).settings)
    reason = str(error.__cause__).splitlines()[0] if error.__cause__ else ""
    if found := re.match(r"Value '(.*)' of type .* could not be converted to (\w+)", reason):
        kind = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}
        setting = text.removeprefix("Error merging override ").partition("=")[0]
        return f"{setting} must be {kind.get(found[2], found[2])}, got {found[1]!r}"
    if text.startswith("Ambiguous value"):
        return f"{text.splitlines()[0]}; add -m to sweep over several values"
    first = text.split("\nConfig search path")[0].strip().splitlines()[0]
    return f"{first}: {reason}" if reason else first


def _options(name: str, options: Iterable[str]) -> str:
    """The options close to a name, all of them where none is."""
    options = list(options)
    if close := get_close_matches(name, options):
        return f"did you mean {' or '.join(close)}?"
    return f"there is: {', '.join(options)}"


def _no_setting(name: str, settings: DictConfig) -> str:
    paths = [path for path in _paths(OmegaConf.to_container(settings)) if path != name]
    last = name.rpartition(".")[2]
    by_last = {path.rpartition(".")[2]: path for path in reversed(paths)}
    close = (
        get_close_matches(name, paths, n=1, cutoff=0.9)
        or [path for path in paths if path.rpartition(".")[2] == last]
        or get_close_matches(name, paths, n=2)
        or [by_last[match] for match in get_close_matches(last, by_last, n=2)]
    )
    hint = (
        f"; did you mean {' or '.join(close)}?" if close else "; gnnzoo train --cfg job shows all"
    )
    return f"no setting {name!r}{hint}"


def _paths(settings: Any, prefix: str = "") -> Iterable[str]:
    for key, value in settings.items():
        if key.startswith("_"):
            continue
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{key}.")


class MissingRecipe(ConfigError):
    """A recipe was asked for by name and there is none."""


def _tuned_recipe(name: str | None, overrides: Iterable[str], folders: list[Path]) -> str | None:
    """The recipe file that was applied; Hydra skips a missing optional one without a word."""
    if name in (None, "none", "null"):
        return None
    if any((folder / "tuned" / f"{name}.yaml").is_file() for folder in folders):
        return name
    if _asked_for("tuned", overrides):
        root = conf_root() / "tuned"
        known = sorted(str(path.relative_to(root).with_suffix("")) for path in root.rglob("*.yaml"))
        folder = name.rpartition("/")[0] or name
        close = [path for path in known if f"{folder}/" in path] or get_close_matches(name, known)
        close = close or [path for path in known if name in path]
        hint = f"close matches: {', '.join(close[:5])}; " if close else ""
        raise MissingRecipe(f"no recipe named {name!r}; {hint}gnnzoo list recipes shows all")
    return None


def _asked_for(name: str, overrides: Iterable[str]) -> bool:
    return any(override.lstrip("+").startswith(f"{name}=") for override in overrides)


def _refuse_misfit(composed: Composed, folders: list[Path], trusted: Iterable[str]) -> None:
    """See that a recipe that was asked for by name is for parts like those that are used."""
    files = (folder / "tuned" / f"{composed.tuned}.yaml" for folder in folders)
    recipe = OmegaConf.to_container(OmegaConf.load(next(file for file in files if file.is_file())))
    for part, given in recipe.items():
        node = composed.settings.get(part)
        if not isinstance(given, dict) or "_target_" not in (node or {}):
            continue
        resolve_target(node._target_, trusted)
        own = {key: None for key in given if key != "transform"}
        try:
            check_arguments({**own, "_target_": node._target_}, {})
        except ConfigError as error:
            raise ConfigError(
                f"recipe {composed.tuned} is not for {part}={composed.choices[part]}: {error}"
            ) from None


def _trusted_packages(settings: DictConfig, overrides: Iterable[str]) -> tuple[str, ...]:
    """Packages to trust; a configuration file may not widen the list by itself."""
    from_environment = os.environ.get("GNNZOO_TRUSTED_TARGETS", "").replace(",", " ").split()
    listed = [str(package) for package in settings.trusted_targets]
    if listed and not any(override.startswith("trusted_targets=") for override in overrides):
        raise ConfigError(
            f"trusted_targets={listed} comes from a configuration file; give it on the command "
            "line or in GNNZOO_TRUSTED_TARGETS"
        )
    return (*from_environment, *listed)
