"""The winner of a search as a YAML file for ``conf/tuned``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from omegaconf import OmegaConf

from gnnzoo.config import Composed, compose
from gnnzoo.tune.search import Search
from gnnzoo.tune.trials import Trial


def recipe(
    search: Search,
    winner: Trial,
    trials: Sequence[Trial],
    finals: Mapping[int, Trial],
    seconds: float,
) -> str:
    """The winner as text.

    It holds all that the winner's model, head, features and trainer set beyond the defaults of
    their YAML files, so that it stands without the recipe that the search started from.

    Args:
        search: What was searched.
        winner: The trial that won.
        trials: All trials made.
        finals: What came of some of them in the second stage, by number.
        seconds: Time of all their runs.
    """
    best = compose(search.overrides_of(winner.params))
    parts = ("head", "features", "model", "trainer")
    wanted, plain = (
        {part: OmegaConf.to_container(composed.settings[part], resolve=False) for part in parts}
        for composed in (best, _defaults(best))
    )
    lines = ["# @package _global_", *_header(search, winner, trials, finals)]
    lines += [f"# {_limits(wanted['trainer'])}; {seconds:.0f} s of training in all."]
    lines += [f"# Space: {', '.join(search.space)}. Start: {' '.join(search.overrides)}."]
    return "\n".join(lines) + "\n" + yaml.safe_dump(_beyond(wanted, plain), sort_keys=False)


def _header(
    search: Search, winner: Trial, trials: Sequence[Trial], finals: Mapping[int, Trial]
) -> list[str]:
    made, trained = len(trials), sum(trial.mean is not None for trial in trials)
    planned = "" if made == search.num_trials else f" of {search.num_trials} planned"
    lines = [
        f"# Searched: {made} trials{planned} (the start and random draws), {trained} trained. "
        f"Trial {winner.number} won: mean validation score {winner.mean:.4f} over the seeds "
        f"{_listed(search.seeds)}."
    ]
    if winner.number in finals:
        num_finalists = min(search.num_finalists, len(finals))
        lines.append(
            f"# Second stage: the best {num_finalists} of them on the seeds "
            f"{_listed(search.final_seeds)}; its mean {finals[winner.number].mean:.4f}."
        )
    return lines


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))


def _limits(trainer: Mapping[str, Any]) -> str:
    """Epochs and stopping rule, which a fair comparison keeps equal."""
    stopping = trainer.get("stopping")
    if not stopping:
        return f"{trainer.get('epochs')} epochs per run, no early stopping"
    rule = stopping["_target_"].rpartition(".")[2]
    rest = ", ".join(f"{key} {value}" for key, value in stopping.items() if key != "_target_")
    return f"At most {trainer.get('epochs')} epochs per run, stopped by {rule} ({rest})"


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
