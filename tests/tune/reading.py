"""What a search has left in its folder."""

import csv


def optunas_own(search, name="trials"):
    """The study as anybody's Optuna reads it."""
    import optuna

    return optuna.load_study(study_name=name, storage=f"sqlite:///{search.folder}/study.db")


def csv_of(search):
    return (search.folder / "trials.csv").read_text()


def rows(search):
    with (search.folder / "trials.csv").open() as stream:
        return list(csv.DictReader(stream))
