"""Raw files: found, copied out whole, checked, and missed with one clear error."""

import hashlib
import io
import multiprocessing
import os
import time
import zipfile
from pathlib import Path

import pytest

from gnnzoo.data.card import Card, RawFiles
from gnnzoo.data.mirrors import ChecksumError, MissingDataError, combined_sha256, ensure_raw

CONTENT = {"a.txt": b"first", "sub/b.txt": b"second"}


def make_card(**changes: object) -> Card:
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    files = {"folder": "Toy/raw", "sha256": sums, "url": "https://example.org/toy", **changes}
    return Card(
        name="toy",
        title="Toy",
        source="here",
        paper="none",
        licence="none",
        homepage="https://example.org",
        sizes={"num_nodes": 3},
        files={"graph": RawFiles(**files)},
    )


def fill(place: Path) -> Path:
    for name, content in CONTENT.items():
        path = place / "Toy/raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place


def read(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in CONTENT}


def test_files_are_copied_out_of_the_first_mirror_that_has_them(root, tmp_path, monkeypatch):
    mirror = fill(tmp_path / "full")
    monkeypatch.setenv("GNNZOO_MIRROR", os.pathsep.join([str(tmp_path / "empty"), str(mirror)]))
    folder = ensure_raw(make_card())
    assert folder == root / "Toy/raw"
    assert read(folder) == CONTENT


def test_a_read_only_mirror_is_enough_and_stays_as_it_was(tmp_path, monkeypatch):
    mirror = fill(tmp_path / "mirror")
    paths = sorted(mirror.rglob("*"))
    for path in [*paths, mirror]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setenv("GNNZOO_MIRROR", str(mirror))
    try:
        folder = ensure_raw(make_card())
        assert sorted(mirror.rglob("*")) == paths
        (folder / "a.txt").write_bytes(b"copies are writable")
    finally:
        for path in [mirror, *paths]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_files_in_the_data_root_need_neither_mirror_nor_lock(root):
    fill(root)
    assert read(ensure_raw(make_card())) == CONTENT
    assert not (root / ".locks").exists()


def test_missing_files_give_one_error_with_file_places_and_origin(root, tmp_path, monkeypatch):
    monkeypatch.setenv("GNNZOO_MIRROR", str(tmp_path / "empty"))
    with pytest.raises(MissingDataError) as caught:
        ensure_raw(make_card())
    message = str(caught.value)
    for part in ("Toy/raw/a.txt and 1 more", str(root), str(tmp_path / "empty"), "no network"):
        assert part in message
    assert "https://example.org/toy" in message
    assert "GNNZOO_MIRROR" in message
    assert "\n" not in message
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.__suppress_context__


def test_a_card_without_address_says_so():
    with pytest.raises(MissingDataError, match="no public address is known"):
        ensure_raw(make_card(url=None))


@pytest.mark.parametrize("place", ["root", "mirror"])
def test_a_wrong_checksum_names_the_file_and_both_sums(place, root, tmp_path, monkeypatch):
    where = fill(root if place == "root" else tmp_path / "mirror")
    monkeypatch.setenv("GNNZOO_MIRROR", str(tmp_path / "mirror"))
    bad = where / "Toy/raw/sub/b.txt"
    bad.write_bytes(b"someone else's")
    with pytest.raises(ChecksumError) as caught:
        ensure_raw(make_card())
    message = str(caught.value)
    assert str(bad) in message
    assert hashlib.sha256(b"someone else's").hexdigest() in message
    assert hashlib.sha256(b"second").hexdigest() in message
    if place == "mirror":
        assert not (root / "Toy/raw/sub/b.txt").exists()


def answer_with(monkeypatch, answers: dict[str, bytes]) -> None:
    monkeypatch.setattr(
        "urllib.request.urlopen", lambda address, timeout: io.BytesIO(answers[address])
    )


def test_files_are_downloaded_one_by_one(monkeypatch):
    answers = {f"https://example.org/toy/{name}": value for name, value in CONTENT.items()}
    answer_with(monkeypatch, answers)
    assert read(ensure_raw(make_card())) == CONTENT


def test_a_file_may_have_another_name_at_its_address(monkeypatch):
    address = "https://example.org/toy"
    answers = {f"{address}/A.TXT": b"first", f"{address}/sub/b.txt": b"second"}
    answer_with(monkeypatch, answers)
    card = make_card(remote={"a.txt": "A.TXT"})
    assert card.files["graph"].origin == f"{address} (a.txt is A.TXT there)"
    assert read(ensure_raw(card)) == CONTENT


def test_a_download_with_a_wrong_checksum_is_not_kept(root, monkeypatch):
    answers = {f"https://example.org/toy/{name}": b"<html>" for name in CONTENT}
    answer_with(monkeypatch, answers)
    with pytest.raises(ChecksumError, match=r"example\.org/toy/a\.txt"):
        ensure_raw(make_card())
    assert not list((root / "Toy/raw").iterdir())


def test_files_are_taken_out_of_a_downloaded_archive(root, monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, value in CONTENT.items():
            archive.writestr(f"inside/{name}", value)
        archive.writestr("inside/not_asked_for.txt", b"")
    answer_with(monkeypatch, {"https://example.org/toy.zip": packed.getvalue()})
    card = make_card(archive="https://example.org/toy.zip", archive_folder="inside", url=None)
    folder = ensure_raw(card)
    assert read(folder) == CONTENT
    assert not (folder / "not_asked_for.txt").exists()
    assert not list((root / ".downloads").iterdir())


def test_an_archive_that_is_none_counts_as_missing(monkeypatch):
    answer_with(monkeypatch, {"https://example.org/toy.zip": b"<html>"})
    with pytest.raises(MissingDataError, match="not a zip file"):
        ensure_raw(make_card(archive="https://example.org/toy.zip", url=None))


def test_the_combined_checksum_sees_names_and_contents(root):
    files = make_card().files["graph"]
    folder = fill(root) / "Toy/raw"
    before = combined_sha256(files, folder)
    assert before == combined_sha256(files, folder)
    (folder / "a.txt").write_bytes(b"other")
    assert before != combined_sha256(files, folder)


@pytest.mark.parametrize("folder", ["/etc", "../elsewhere"])
def test_a_card_cannot_lead_out_of_the_data_root(folder):
    with pytest.raises(ValueError, match="below the data root"):
        make_card(folder=folder)


def test_two_processes_at_once_and_a_killed_one_do_no_harm(root, tmp_path, monkeypatch):
    monkeypatch.setenv("GNNZOO_MIRROR", str(fill(tmp_path / "mirror")))
    processes = multiprocessing.get_context("fork")
    half_written = processes.Event()

    def copy_half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:2])
        half_written.set()
        time.sleep(60)

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", copy_half)
        killed = processes.Process(target=ensure_raw, args=(make_card(),))
        killed.start()
        assert half_written.wait(timeout=30)
    others = [processes.Process(target=ensure_raw, args=(make_card(),)) for _ in range(2)]
    for process in others:
        process.start()
    killed.kill()
    for process in [killed, *others]:
        process.join(timeout=30)
    assert [process.exitcode for process in others] == [0, 0]
    assert read(root / "Toy/raw") == CONTENT
