"""Nothing is left out silently: it is counted, named, and written where it is asked for."""

from __future__ import annotations

import csv
import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from facesearch.errors import unshown
from facesearch.faces import kinds
from tests.helpers.drawn import own

MOVIE = b"\0\0\0\x18ftypisom" + bytes(64)
RAW = b"FUJIFILMCCD-RAW 0201" + bytes(64)


@pytest.fixture
def folder(album: Path, tmp_path: Path) -> Path:
    """A person's photos: one called as none is, three videos, a RAW, what belongs to them, a broken one."""
    root = tmp_path / "people" / "Ada"
    root.mkdir(parents=True)
    shutil.copy(own(album, 0, 0), root / "a.png")
    shutil.copy(own(album, 0, 1), root / "IMG_2.HEIC")
    shutil.copy(own(album, 0, 2), root / "IMG_3.txt")
    for name in ("x.mov", "y.MP4", "z"):
        (root / name).write_bytes(MOVIE)
    (root / "r.RAF").write_bytes(RAW)
    (root / "r.xmp").write_text("<x:xmpmeta>")
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


SUMMARY = "5 skipped; 3 videos, 1 RAW not read"


@pytest.mark.slow
def test_every_command_counts_and_names_it(run: Any, folder: Path, weights: Path):
    told = run("enroll", "--from", folder.parent, "--aligned", "--weights", weights)
    assert told.stdout == "Ada: 3 photos enrolled\n" and SUMMARY in told.stderr
    assert "Ada/x.mov: videos are not read" in told.stderr and "r.xmp" not in told.stderr
    told = run("query", folder, "--aligned", "--json")
    answers = {Path(photo["photo"]).name: photo["skipped"] for photo in json.loads(told.stdout)["photos"]}
    assert answers["y.MP4"] == "videos are not read" and answers["r.RAF"] == "RAW pictures are not read"
    assert answers["IMG_2.HEIC"] is answers["IMG_3.txt"] is None and SUMMARY in told.stderr
    for words in (
        ("detect", folder, "--aligned"),
        ("embed", folder, "--aligned", "--weights", weights, "--out", "v.jsonl"),
        ("prepare", folder.parent, "--aligned", "--out", "data"),
        ("scan", folder, "--aligned", "--weights", weights, "--cut", "0.9"),
    ):
        assert SUMMARY in run(*words).stderr, words[0]
    assert "5 left out" in run("query", folder, "--aligned", "--strict", code=1).stderr
    assert "5 left out" in run("detect", folder, "--aligned", "--strict", code=1).stderr


def test_a_dataset_that_is_there_already_says_it_again(run: Any, folder: Path):
    words = ("prepare", folder.parent, "--aligned", "--out", "data")
    run(*words)
    again = run(*words, "--skipped-to", "left.csv").stderr
    assert "nothing was done" in again and SUMMARY in again
    assert len(Path("left.csv").read_text("utf-8").splitlines()) == 6


def test_a_later_scan_opens_no_file_again(
    run: Any, folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
):
    words = ("scan", folder, "--aligned", "--weights", weights, "--cut", "0.9", "--json")
    first = json.loads(run(*words).stdout)
    assert first["photos"] == 4 and len(first["skipped"]) == 5
    monkeypatch.setattr(kinds, "_head", lambda *_: pytest.fail("a file was opened"))
    monkeypatch.setattr("facesearch.album.scan.read_bytes", lambda *_: pytest.fail("a photo was opened"))
    again = json.loads(run(*words).stdout)
    assert again["skipped"] == first["skipped"] and again["new_photos"] == 0


def test_what_can_be_read_by_now_is_looked_into(
    run: Any, folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
):
    words = ("scan", folder, "--aligned", "--weights", weights, "--cut", "0.9")
    with monkeypatch.context() as without:
        formats = tuple(name for name in kinds.FORMATS if name != "PNG")
        without.setattr(kinds, "FORMATS", formats)
        assert "3 PNG" in run(*words).stderr
    later = run(*words)
    assert "3 faces found, 3 in all" in later.stdout and SUMMARY in later.stderr


def test_all_of_it_is_written_where_it_is_asked_for(run: Any, tmp_path: Path, album: Path, gallery: Path):
    folder = tmp_path / "many"
    folder.mkdir()
    shutil.copy(own(album, 0, 0), folder / "a.png")
    for number in range(30):
        (folder / f"{number:02}.mov").write_bytes(MOVIE)
    (folder / "zz\n.jpg").write_bytes(b"")
    told = run("query", folder, "--aligned").stderr
    assert "... and 11 more; --skipped-to FILE writes them all" in told
    assert "skipped" in told and "zz\\x0a.jpg: the file is empty" in told, "what can be mended comes first"
    told = run("query", folder, "--aligned", "--skipped-to", "left.csv").stderr
    assert "... and 11 more; left.csv names them all" in told and "31 skipped; 30 videos not read" in told
    with Path("left.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "reason"] and len(rows) == 31
    assert {Path(unshown(row["path"])).exists() for row in rows} == {True}
    assert stat.S_IMODE(Path("left.csv").stat().st_mode) == 0o600


@pytest.mark.slow
def test_it_is_written_too_when_nothing_else_came_of_it(run: Any, tmp_path: Path, gallery: Path):
    folder = tmp_path / "people" / "Ada"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.mov").write_bytes(MOVIE)
    for words in (
        ("query", folder),
        ("enroll", "Ada", folder),
        ("enroll", "--from", folder.parent),
        ("scan", folder),
        ("detect", folder),
        ("embed", folder, "--out", "v.npy"),
        ("prepare", folder, "--unlabelled", "--out", "data"),
    ):
        told = run(*words, "--skipped-to", "left.csv", code=1).stderr
        assert "3 skipped; 3 videos not read" in told, (words[0], told)
        assert len(Path("left.csv").read_text("utf-8").splitlines()) == 4, words[0]
        Path("left.csv").unlink()
    run("list", "--gallery", gallery)


def test_the_file_is_written_when_nothing_was_left_out(run: Any, gallery: Path, album: Path):
    Path("left.csv").write_text("of another day")
    run("query", own(album, 0, 0), "--aligned", "--skipped-to", "left.csv")
    assert Path("left.csv").read_text("utf-8") == "path,reason\n"


def test_photos_in_a_linked_folder_are_scanned_sorted_and_shown(
    run: Any, tmp_path: Path, album: Path, weights: Path
):
    from facesearch.api.originals import Originals
    from facesearch.files import sha256_of

    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(own(album, 0, 0), root / "a.png")
    (root / "more").symlink_to(album / "p001")
    told = run("scan", root, "--aligned", "--weights", weights, "--cut", "0.9", "--out", "s")
    assert "9 photos, 9 new; 9 faces found" in told.stdout
    run("sort", "s", "--into", "sorted", "--strict")
    assert len([path for path in Path("sorted").rglob("*.png") if not path.is_symlink()]) == 9
    photo = own(album, 1, 0)
    assert Originals(root).read(photo.name, sha256_of(photo)) == photo.read_bytes()


def test_enrolled_photos_that_reindex_does_not_find_are_written_too(
    run: Any, tmp_path: Path, gallery: Path, weights: Path
):
    (tmp_path / "empty").mkdir()
    words = ("reindex", "--photos", "empty", "--aligned", "--skipped-to", "left.csv")
    told = run(*words, code=1).stderr
    assert "12 enrolled photos were not found" in told
    assert Path("left.csv").read_text("utf-8").splitlines()[1] == "Person 0: 00.png,not found"
