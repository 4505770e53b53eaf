"""Getting raw files: data root first, then each mirror, and only then the network.

Files arrive in the data root complete or not at all (temporary file, checksum, rename), under a
lock, so that a kill or a second process at any moment does no harm.
"""

import hashlib
import shutil
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock

from gnnzoo.data.card import Card, RawFiles
from gnnzoo.files import write_atomically
from gnnzoo.paths import data_root, mirrors

DOWNLOAD_TIMEOUT = 15.0  # seconds without an answer
LOCK_TIMEOUT = 1800.0  # seconds; another process may be downloading


class MissingDataError(FileNotFoundError):
    """A raw file is neither in the data root nor in a mirror, and could not be downloaded."""


class ChecksumError(ValueError):
    """A raw file is not the one that the card describes."""


def ensure_raw(card: Card, group: str = "graph") -> Path:
    """Make sure that a group of raw files lies in the data root.

    Args:
        card: The data set.
        group: Key of ``card.files``.

    Returns:
        The folder of the data root that holds the files, checksums verified.

    Raises:
        MissingDataError: If a file is nowhere to be had.
        ChecksumError: If a file differs from the card.
    """
    files = card.files[group]
    folder = data_root() / files.folder
    if not _missing(files, folder):
        _verify_all(card, files, folder)
        return folder
    with dataset_lock(card.name):
        for name in _missing(files, folder):
            _copy_from_mirror(card, files, name, folder)
        missing = _missing(files, folder)
        if missing:
            _download(card, files, missing, folder)
        _verify_all(card, files, folder)
    return folder


def dataset_lock(name: str) -> AbstractContextManager:
    """Lock between processes for everything written about one data set."""
    folder = data_root() / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock", timeout=LOCK_TIMEOUT)


def sha256_of(path: Path) -> str:
    """Checksum of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def combined_sha256(files: RawFiles, folder: Path) -> str:
    """One checksum over a group of files: their names and contents."""
    lines = [f"{name} {sha256_of(folder / name)}\n" for name in sorted(files.sha256)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _missing(files: RawFiles, folder: Path) -> list[str]:
    return [name for name in files.sha256 if not (folder / name).is_file()]


def _verify_all(card: Card, files: RawFiles, folder: Path) -> None:
    for name in files.sha256:
        _verify(card, files, name, folder / name, str(folder / name))


def _verify(card: Card, files: RawFiles, name: str, path: Path, shown: str) -> None:
    expected = files.sha256[name]
    if expected is None:
        return
    found = sha256_of(path)
    if found != expected:
        raise ChecksumError(
            f"{shown} has sha256 {found}, but the card of {card.name} says {expected}; "
            "remove it or put the published file in its place, then run again"
        )


def _copy_from_mirror(card: Card, files: RawFiles, name: str, folder: Path) -> None:
    for mirror in mirrors():
        source = mirror / files.folder / name
        if source.is_file():
            copy = partial(shutil.copyfile, source)
            _store(card, files, name, folder, str(source), copy)
            return


def _download(card: Card, files: RawFiles, missing: list[str], folder: Path) -> None:
    try:
        if files.archive:
            _download_archive(card, files, missing, folder)
        elif files.url:
            for name in missing:
                address = f"{files.url}/{files.remote.get(name, name)}"
                _store(card, files, name, folder, address, partial(_fetch, address))
        else:
            raise OSError("the card has no address to download from")
    except (OSError, HTTPException, KeyError, zipfile.BadZipFile) as error:
        first, *others = _missing(files, folder)
        more = f" and {len(others)} more of its files" if others else ""
        looked = ", ".join(str(place) for place in (data_root(), *mirrors()))
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MissingDataError(
            f"{card.name} needs {files.folder}/{first}{more}; looked in {looked}, and the download "
            f"failed ({reason}). Get the files from {files.origin} and put them into "
            f"{folder}, or set GNNZOO_MIRROR to a folder that holds {files.folder}/"
        ) from None


def _download_archive(card: Card, files: RawFiles, missing: list[str], folder: Path) -> None:
    packed = data_root() / ".downloads" / f"{card.name}.zip"
    write_atomically(packed, partial(_fetch, files.archive))
    with zipfile.ZipFile(packed) as archive:
        for name in missing:
            member = f"{files.archive_folder}/{name}".lstrip("/")
            unpack = partial(_unpack, archive, member)
            _store(card, files, name, folder, f"{files.archive}:{member}", unpack)
    packed.unlink()


def _unpack(archive: zipfile.ZipFile, member: str, path: Path) -> None:
    with archive.open(member) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)


def _store(
    card: Card,
    files: RawFiles,
    name: str,
    folder: Path,
    shown: str,
    write: Callable[[Path], object],
) -> None:
    """Let ``write`` make one file, verify it, and only then give it its name."""

    def write_and_verify(temporary: Path) -> None:
        write(temporary)
        _verify(card, files, name, temporary, shown)

    write_atomically(folder / name, write_and_verify)


def _fetch(address: str, path: Path) -> None:
    with (
        urllib.request.urlopen(address, timeout=DOWNLOAD_TIMEOUT) as answer,
        path.open("wb") as target,
    ):
        shutil.copyfileobj(answer, target)
