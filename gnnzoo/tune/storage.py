"""The trials of a search in Optuna's own storage: asked, told, taken up again after a kill."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Any

import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState, create_trial

from gnnzoo.config import ConfigError
from gnnzoo.tune.space import distributions
from gnnzoo.tune.trials import Trial


def open_storage(path: Path) -> optuna.storages.RDBStorage:
    """The SQLite file ``path``, made where there is none.

    A kill in the middle of a write leaves what was there before: SQLite rolls it back.

    Raises:
        ConfigError: If the file is broken, or is none of Optuna's.
    """
    url = sqlalchemy.URL.create("sqlite", database=str(path.absolute()))
    try:
        with closing(sqlite3.connect(path)) as database:
            found = database.execute("PRAGMA quick_check").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        return optuna.storages.RDBStorage(
            url.render_as_string(),
            {"connect_args": {"timeout": 60}},  # seconds; somebody may be looking at it
        )
    except (sqlite3.Error, sqlalchemy.exc.SQLAlchemyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{path} cannot be read as a study of Optuna's ({reason}); if it is broken, remove it "
            "and search again: runs that were finished are looked up, not run again"
        ) from error


class Stage:
    """The trials of one stage of a search, those of earlier calls included.

    Attributes:
        params: Settings of every trial in the study, by number.
        begun: Trials asked for in this call that have not ended.
        ended: Trials that have ended.
    """

    def __init__(
        self, storage: optuna.storages.RDBStorage, name: str, space: Mapping[str, Any]
    ) -> None:
        self.study = optuna.create_study(
            storage=storage,
            sampler=optuna.samplers.RandomSampler(),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
        )
        self.distributions = distributions(space)
        kept = {trial.user_attrs.get("trial"): trial for trial in self.study.get_trials()}
        kept.pop(None, None)  # somebody else's
        self.params = {number: trial.params for number, trial in kept.items()}
        self.begun: dict[int, Trial] = {}
        self.ended = {n: _ended(n, kept[n]) for n in kept if kept[n].state.is_finished()}
        self._running = {n: kept[n] for n in kept if kept[n].state == TrialState.RUNNING}
        self._asked: dict[int, optuna.Trial] = {}
        self._lock = Lock()  # runs are handed out in one thread and come back in another

    def begin(self, number: int, params: Mapping[str, Any]) -> Trial:
        """Ask for a trial; one that a killed process left is taken up as it was."""
        with self._lock:
            if number in self._running:
                asked = optuna.Trial(self.study, self._running[number]._trial_id)
            else:
                if number not in self.params:
                    self._enqueue(number, params)
                asked = self.study.ask()
            if asked.user_attrs.get("trial") != number:
                raise ConfigError(
                    f"the study {self.study.study_name!r} holds a waiting trial that its search "
                    f"did not put there, Optuna's number {asked.number}; nobody else may add any"
                )
            self._asked[number] = asked
            self.begun[number] = Trial(number, asked.params)
            return self.begun[number]

    def _enqueue(self, number: int, params: Mapping[str, Any]) -> None:
        """Put a trial down whole, so that a kill leaves none with half of its settings."""
        own = {key: self.distributions[key] for key in params}
        self.study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=dict(params),
                distributions=own,
                user_attrs={"trial": number},
            )
        )
        self.params[number] = params

    def end(self, trial: Trial) -> None:
        """Tell what came of a trial; settings that cannot be trained are told as a failure."""
        with self._lock:
            asked = self._asked[trial.number]
            for name in ("vals", "seconds", "epochs", "error"):
                asked.set_user_attr(name, getattr(trial, name))
            state = TrialState.FAIL if trial.mean is None else TrialState.COMPLETE
            self.study.tell(asked, trial.mean, state)
            self.ended[trial.number] = self.begun.pop(trial.number)


def _ended(number: int, kept: FrozenTrial) -> Trial:
    told = kept.user_attrs
    vals = {int(seed): val for seed, val in told.get("vals", {}).items()}
    error = told.get("error", "told as failed by hand")
    return Trial(number, kept.params, vals, told.get("seconds", 0.0), told.get("epochs", 0), error)
