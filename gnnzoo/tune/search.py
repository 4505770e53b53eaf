"""What a search is: where it starts, what it may change, its budget, and its folder."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gnnzoo.config import Composed, ConfigError, compose
from gnnzoo.executor import override_strings
from gnnzoo.identity import Identity
from gnnzoo.paths import runs_root
from gnnzoo.tune.space import draw


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
        num_finalists: So many of the best trials meet again on ``final_seeds``; 0: no such stage.
        final_seeds: Seeds of the second stage, for instance one for each of ten splits.
    """

    overrides: tuple[str, ...]
    space: Mapping[str, Any]
    num_trials: int = 60
    seeds: tuple[int, ...] = (1000, 1001, 1002)
    num_finalists: int = 0
    final_seeds: tuple[int, ...] = tuple(range(1000, 1010))

    def __post_init__(self) -> None:
        if self.num_trials < 1 or not self.seeds or not self.final_seeds:
            raise ConfigError(
                f"a search needs at least one trial and one seed per stage, got {self.num_trials} "
                f"trials, the seeds {list(self.seeds)} and final seeds {list(self.final_seeds)}"
            )
        if not 0 <= self.num_finalists <= self.num_trials:
            raise ConfigError(
                f"the second stage takes 0 to {self.num_trials} trials, got {self.num_finalists}"
            )

    @cached_property
    def composed(self) -> Composed:
        """The start, composed."""
        return compose(self.overrides)

    @cached_property
    def metric(self) -> str:
        """What a trial's scores are, in words."""
        return f"validation {self.composed.settings.protocol.metric}"

    @cached_property
    def folder(self) -> Path:
        """Where trials and winner lie; one folder per start, space, seeds and sources.

        The order of the space counts, since settings are drawn in it.
        """
        identity = Identity.of(self.composed)
        what = [identity.cell_hash, identity.code_hash, self.space, self.seeds]
        digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()
        choices = self.composed.choices
        name = "_".join(str(choices[group]) for group in ("dataset", "head", "model", "trainer"))
        return runs_root() / "tune" / f"{name}_{digest[:12]}"

    @cached_property
    def start(self) -> dict[str, Any]:
        """What the start sets where the space would; empty text where it leaves a setting alone."""
        settings = OmegaConf.to_container(self.composed.settings, resolve=True)
        return {key: _value(settings, key) for key in self.space}

    def params(self, number: int) -> dict[str, Any]:
        """What trial ``number`` sets on top of the start, which is number 1 and sets nothing."""
        return {} if number == 1 else draw(self.space, number - 2)

    def overrides_of(self, params: Mapping[str, Any]) -> list[str]:
        """The command line of a trial."""
        return [*self.overrides, *override_strings(params)]


def _value(settings: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(settings, Mapping) or part not in settings:
            return ""
        settings = settings[part]
    return settings
