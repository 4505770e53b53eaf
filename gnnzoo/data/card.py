"""Dataset cards: what a data set is, where its raw files come from, and how big it must be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

from gnnzoo.paths import cards_root


class UnknownDatasetError(KeyError):
    """No card bears the name that was asked for."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class RawFiles:
    """Raw files that belong together, one folder of the data root.

    Attributes:
        folder: Folder below the data root (and below a mirror).
        sha256: Checksum of each file, by its path inside ``folder``; None where none is published.
        url: Address of the folder that holds the files one by one.
        archive: Address of a zip file that holds them, instead of ``url``.
        archive_folder: Folder inside the zip file that corresponds to ``folder``.
        remote: Name of a file at ``url`` where it is another one.
    """

    folder: str
    sha256: Mapping[str, str | None]
    url: str | None = None
    archive: str | None = None
    archive_folder: str = ""
    remote: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.folder, *self.sha256):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"raw files stay below the data root, got {name!r}")

    @property
    def origin(self) -> str:
        """Where the files can be had, and under which names if others."""
        place = self.archive or self.url or "no public address is known"
        renamed = ", ".join(f"{name} is {there} there" for name, there in self.remote.items())
        return f"{place} ({renamed})" if renamed else place


@dataclass(frozen=True)
class Card:
    """One data set: source, licence, sizes, checksums and notes on how it is measured.

    Attributes:
        name: Name used everywhere (``dataset=name``).
        title: Name for people.
        source: Who published the files.
        paper: The work to cite.
        licence: Licence as stated by the source.
        homepage: Address of the source.
        sizes: ``num_nodes``, ``num_edges`` (both directions of an undirected edge count),
            ``num_features`` and ``num_classes``.
        files: Raw files by group; empty when the data travel with a dependency.
        notes: What to know about its protocols.
    """

    name: str
    title: str
    source: str
    paper: str
    licence: str
    homepage: str
    sizes: Mapping[str, int]
    files: Mapping[str, RawFiles]
    notes: str = ""

    def check_sizes(self, **found: int) -> None:
        """Hold loaded sizes against the card.

        Raises:
            ValueError: If a size differs.
        """
        for key, value in found.items():
            if value != self.sizes[key]:
                raise ValueError(
                    f"{self.name} was loaded with {key}={value}, its card says {self.sizes[key]}; "
                    "the raw files are not the published ones"
                )


def load_card(name: str) -> Card:
    """Read ``datasets/<name>/card.yaml``.

    A card whose ``files`` is the name of another card has the same raw files as that one.

    Raises:
        UnknownDatasetError: If there is no such card.
    """
    path = cards_root() / name / "card.yaml"
    if not path.is_file():
        known = sorted(entry.parent.name for entry in cards_root().glob("*/card.yaml"))
        raise UnknownDatasetError(f"no card for data set {name!r}; there are: {', '.join(known)}")
    fields: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    groups = fields.pop("files", None) or {}
    if isinstance(groups, str):
        return Card(**fields, files=load_card(groups).files)
    return Card(**fields, files={key: RawFiles(**group) for key, group in groups.items()})
