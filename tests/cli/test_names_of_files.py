"""Files called as people's files are: not in UTF-8, with line feeds, with what hides. Each command reads
them, keeps their names by one rule, and finds them again.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from facesearch.album.album import Album
from facesearch.api.originals import Originals
from facesearch.errors import CorruptAlbum, unshown
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store
from tests.helpers.drawn import own
from tests.helpers.rows import D, unit

pytestmark = pytest.mark.skipif(os.name != "posix", reason="such names cannot be given here")

FILES = [b"\xe9t\xe9.png", b"a\nface 1 of 1  match: Eve.png", b"lit\\xe9.png", "\u202egnp.jpg.png".encode()]
KEPT = ["\\xe9t\\xe9.png", "a\\x0aface 1 of 1  match: Eve.png", "lit\\\\xe9.png", "\\u202egnp.jpg.png"]


@pytest.fixture
def people(album: Path, tmp_path: Path) -> Path:
    """Two people with such photos, and two whose folders are called so."""
    root = tmp_path / "people"
    for person, folder in enumerate((b"Ada", b"Bob", b"\xe9va", "Eve\u202e".encode())):
        place = root / os.fsdecode(folder)
        place.mkdir(parents=True)
        for shot, file in enumerate(FILES):
            shutil.copy(own(album, person, shot), place / os.fsdecode(file))
    return root


def test_enroll_takes_everybody_but_those_who_can_have_no_name(run: Any, people: Path, weights: Path):
    done = run("enroll", "--from", people, "--aligned", "--weights", weights)
    assert done.stdout == "Ada: 4 photos enrolled\nBob: 4 photos enrolled\n"
    assert "\\xe9va/lit\\\\xe9.png: its folder cannot be a person's name: it is not UTF-8" in done.stderr
    assert "the invisible character U+202E" in done.stderr and "8 skipped" in done.stderr
    assert sorted(run("list", "Ada").stdout.splitlines()) == sorted(KEPT)
    answers = json.loads(run("query", people / "Ada", "--aligned", "--json").stdout)["photos"]
    assert sorted(unshown(Path(photo["photo"]).name) for photo in answers) == sorted(map(os.fsdecode, FILES))
    assert all(photo["faces"] and Path(unshown(photo["photo"])).exists() for photo in answers)
    sources = {
        support["source"]
        for photo in answers
        for match in photo["faces"][0]["matches"]
        for support in match["support"]
    }
    assert sources <= set(KEPT)
    lines = run("query", people / "Ada", "--aligned").stdout.splitlines()
    assert not [line for line in lines if line.startswith("face 1")], "no line is forged"
    assert "is right" in run("verify").stdout
    assert "1 photo forgotten" in run("forget", "Ada", "--photo", KEPT[0]).stdout


def test_prepare_and_build_index_keep_all_but_those_folders(run: Any, people: Path, weights: Path):
    done = run("prepare", people, "--aligned", "--out", "data")
    assert "8 photos of 2 people" in done.stdout and "it is not UTF-8" in done.stderr
    with Path("data/faces.csv").open(newline="", encoding="utf-8") as file:
        assert sorted({row["file"] for row in csv.DictReader(file) if row["person"] == "Ada"}) == sorted(
            f"Ada/{name}" for name in KEPT
        )
    assert "\\xe9va/" in Path("data/skipped.csv").read_text("utf-8")
    build = ("build-index", "--data", "data", "--weights", weights)
    assert "8 vectors added" in run(*build).stdout
    assert "0 vectors added, 8 known already" in run(*build).stdout


def test_nobody_at_all_is_said_with_the_reason(run: Any, people: Path):
    shutil.rmtree(people / "Ada")
    shutil.rmtree(people / "Bob")
    assert "cannot be a person's name" in run("prepare", people, "--aligned", "--out", "data", code=1).stderr
    assert "cannot be a person's name" in run("enroll", "--from", people, "--aligned", code=1).stderr


def test_scan_review_and_sort_find_such_files_again(run: Any, people: Path, weights: Path):
    go = ("scan", people, "--aligned", "--weights", weights, "--cut", "0.999", "--out", "s", "--with-photos")
    assert "16 photos, 16 new; 16 faces found" in run(*go).stdout
    assert "16 photos, 0 new" in run(*go).stdout
    with Path("s/review.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert {Path(row["photo"]).name for row in rows} == set(KEPT)
    assert "16 pictures of faces" in run(*go).stderr
    assert "%E9t%E9.png" in Path("s/review.html").read_text("utf-8"), "the link leads to the file"
    for row in rows:
        row["name"] = "Ada" if row["photo"].startswith("Ada/") else ""
        row["group"] = ""
    with Path("r.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    assert "Ada: 4 photos enrolled" in run("scan", "--out", "s", "--apply", "r.csv").stdout
    assert sorted(run("list", "Ada").stdout.splitlines()) == sorted(KEPT)
    run("sort", "s", "--into", "sorted")
    assert {os.fsencode(path.name) for path in Path("sorted/Ada").iterdir()} == set(FILES)


def test_an_album_may_lie_in_such_a_folder(run: Any, album: Path, weights: Path, tmp_path: Path):
    root = tmp_path / os.fsdecode(b"\xe9t\xe9")
    root.mkdir()
    shutil.copy(own(album, 0, 0), root / "a.png")
    for _ in range(2):
        done = run("scan", root, "--aligned", "--weights", weights, "--cut", "0.9")
    assert "\\xe9t\\xe9: 1 photo, 0 new" in done.stdout
    run("sort", f"{root}.scan", "--into", "sorted")
    assert Path("sorted/_unknown/a.png").is_file()


@pytest.mark.parametrize(
    "path", ["\\x2e\\x2e/secret.png", "\\x2fetc/passwd", "a/\\x2e\\x2e/\\x2e\\x2e/x", "\\x00"]
)
def test_no_escaped_path_in_a_scan_of_somebody_else_leads_out(
    run: Any, people: Path, weights: Path, path: str
):
    import sqlite3

    run("scan", people, "--aligned", "--weights", weights, "--cut", "0.9", "--out", "s")
    with sqlite3.connect("s/scan.sqlite") as db:
        db.execute("UPDATE files SET path = ? WHERE path LIKE 'Ada/lit%'", (path,))
    with Album.open(Path("s")) as opened, pytest.raises(CorruptAlbum, match="no file below"):
        opened.files()


def test_an_album_of_before_still_finds_its_files(run: Any, people: Path, weights: Path):
    import sqlite3

    run("scan", people, "--aligned", "--weights", weights, "--cut", "0.9", "--out", "s")
    with sqlite3.connect("s/scan.sqlite") as db:  # as it was kept until now
        db.execute("UPDATE files SET path = 'Ada/lit\\xe9.png' WHERE path LIKE 'Ada/lit%'")
    with Album.open(Path("s")) as opened:
        file = opened.files()["Ada/lit\\xe9.png"]
        assert file.below(people) == people / "Ada" / "lit\\xe9.png"
    again = run("scan", people, "--aligned", "--weights", weights, "--cut", "0.9", "--out", "s")
    assert "16 photos, 0 new, 1 renamed; 0 faces found, 16 in all" in again.stdout


def test_the_originals_of_such_photos_are_shown(people: Path, run: Any, weights: Path):
    run("enroll", "--from", people, "--aligned", "--weights", weights)
    found = Originals(people)
    with Store.open(Path("index")) as store:
        photos = store.faces.photos_of("Ada")
    assert len(photos) == 4 and all(found.read(source, sha256) for source, sha256 in photos)


def test_a_gallery_of_before_with_a_hidden_name_opens_lists_renames_and_forgets(run: Any, tmp_path: Path):
    evil, twin = "Ad\u200ba", "B\u202eob"
    with Store.create(tmp_path / "index", "e" * 64, D, "tests", None) as store:
        for number, name in enumerate((evil, twin, "Ada")):
            store.faces.add([NewFace(name, f"{number:064x}", "a\u200bb.jpg", unit(number)[0])])
    assert "is right" in run("verify").stdout
    assert run("list").stdout.splitlines() == ["1  Ada", "1  Ad\\u200ba", "1  B\\u202eob"]
    assert run("list", "Ad\\u200ba").stdout == "a\\u200bb.jpg\n"
    assert run("rename", "Ad\\u200ba", "Ada Byron").stdout.startswith("Ada Byron: 1 photo")
    assert "1 photo forgotten" in run("forget", "B\\u202eob").stdout
    assert "invisible" in run("rename", "Ada", evil, code=1).stderr
    run("export", "out.sqlite")
    run("import", "out.sqlite", "--gallery", "other")
    assert [line[3:] for line in run("list", "--gallery", "other").stdout.splitlines()] == [
        "Ada",
        "Ada Byron",
    ]


def test_paths_on_stdin_may_be_any_bytes(people: Path, run: Any, weights: Path):
    import subprocess
    import sys

    run("enroll", "--from", people, "--aligned", "--weights", weights)
    given = b"\n".join(os.fsencode(people / "Ada") + b"/" + name for name in (FILES[0], FILES[2])) + b"\n"
    command = [sys.executable, "-m", "facesearch", "query", "-", "--aligned", "--json"]
    done = subprocess.run(command, input=given, capture_output=True)
    answers = [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
    assert [Path(answer["photo"]).name for answer in answers] == [KEPT[0], KEPT[2]], done.stderr
    assert all(answer["faces"] for answer in answers)


def test_a_gallery_and_an_export_have_names_that_their_libraries_take(run: Any, people: Path, weights: Path):
    bad = os.fsdecode(b"g\xe9")
    enroll = ("enroll", "--from", people, "--aligned", "--weights", weights)
    assert "g\\xe9: The file or folder cannot be written: its name is not UTF-8" in (
        run(*enroll, "--gallery", bad, code=1).stderr
    )
    run(*enroll)
    assert "its name is not UTF-8" in run("export", bad, code=1).stderr


def test_json_is_utf8_whatever_is_said(run: Any):
    from facesearch.report.lines import as_json

    for value in (os.fsdecode(b"\xe9\x85"), "\ud800", Path(os.fsdecode(b"/\xe9"))):
        assert json.loads(as_json({"a": value}).encode("utf-8"))["a"].encode("utf-8")
    assert json.loads(as_json({"a": "x\x1b\u202e\n"}))["a"] == "x\x1b\u202e\n", "texts are exact"
