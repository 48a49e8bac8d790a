"""scan and sort as commands: what they print, where they look, what they refuse."""

from __future__ import annotations

import csv
import html
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facesearch.gallery.store.store import Store
from facesearch.report.lines import sort_lines
from tests.helpers.album import table_of


@pytest.fixture
def heap(album: Path, tmp_path: Path) -> Path:
    """Three drawn people's photos in one folder, and a broken one."""
    root = tmp_path / "heap"
    root.mkdir()
    for person in ("p000", "p001", "p002"):
        for photo in sorted((album / person).iterdir())[:4]:
            shutil.copy(photo, root / f"{person}-{photo.name}")
    (root / "broken.png").write_bytes(b"\x89PNG")
    return root


@pytest.fixture
def scanned(heap: Path, run: Any, weights: Path) -> Any:
    """Run scan on the heap with the untrained encoder, which needs a cut of its own."""

    def go(*words: object, code: int = 0) -> Any:
        return run("scan", heap, "--aligned", "--weights", weights, "--cut", "0.999", *words, code=code)

    return go


def name_all(review: Path, name: str) -> None:
    lines = review.read_text("utf-8").splitlines()
    review.write_text(
        "\n".join(
            [lines[0], *(line.split(",", 2)[0] + f",{name}," + line.split(",", 2)[2] for line in lines[1:])]
        )
        + "\n"
    )


def test_scan_says_what_it_found_and_a_second_one_finds_nothing_new(scanned: Any, heap: Path):
    first = scanned()
    assert (
        f"{heap}: 13 photos, 13 new; 12 faces found, 12 in all" in first.stdout and "review:" in first.stdout
    )
    assert (
        "gallery: none at index" in first.stderr
        and "broken.png" in first.stderr
        and "1 skipped" in first.stderr
    )
    again = scanned()
    assert "13 photos, 0 new; 0 faces found, 12 in all" in again.stdout and "broken.png" in again.stderr
    assert "1 left out" in scanned("--strict", code=1).stderr


def test_a_review_beside_its_scan_needs_no_more_words_and_sort_takes_the_album_or_the_scan(
    scanned: Any, heap: Path, run: Any
):
    scanned()
    review = heap.with_name("heap.scan") / "review.csv"
    name_all(review, "Ada")
    applied = run("scan", "--apply", review)
    assert "Ada: 12 photos enrolled" in applied.stdout and "12  Ada" in run("list").stdout
    assert "review-1.csv" not in applied.stderr, "the applied review counts as applied"
    dry = run("sort", heap, "--into", "out", "--dry-run")
    assert "12  out/Ada" in dry.stdout and "12 would be copied" in dry.stderr and not Path("out").exists()
    assert "12 linked" in run("sort", heap.with_name("heap.scan"), "--into", "out", "--link", "sym").stderr
    assert len(list(Path("out/Ada").iterdir())) == 12


def test_a_gallery_of_another_encoder_is_an_error_only_where_it_was_named(
    scanned: Any, run: Any, album: Path
):
    run("enroll", "Cy", album / "p004" / "00.png", "--aligned")  # into index/, by the shipped encoder
    assert "of another encoder" in scanned().stderr
    assert "was built with encoder" in scanned("--gallery", "index", code=1).stderr


def test_wrong_words_are_told_apart_from_things_that_are_not_there(run: Any, tmp_path: Path):
    assert "give the folder of photos" in run("scan", code=2).stderr
    assert "does not lie in a scan" in run("scan", "--apply", "nowhere.csv", code=2).stderr
    assert "no folder of photos there" in run("scan", "nowhere", "--aligned", code=1).stderr
    assert "Make one with: facesearch scan" in run("sort", "nowhere", "--into", "out", code=1).stderr
    assert "Make one with: facesearch scan" in run("scan", "nowhere", "--apply", "r.csv", code=1).stderr


def test_pictures_of_faces_are_on_the_page_only_when_asked_and_it_is_said(scanned: Any, heap: Path):
    page = heap.with_name("heap.scan") / "review.html"
    told = scanned("--with-photos").stderr
    assert "holds 12 pictures of faces" in told and page.read_text().count("data:image/jpeg") == 12


def test_a_page_with_pictures_keeps_them_and_only_new_photos_are_read_for_it(
    scanned: Any, heap: Path, album: Path, run: Any, monkeypatch: pytest.MonkeyPatch
):
    from facesearch.album import scan as scanning

    page = heap.with_name("heap.scan") / "review.html"
    scanned("--with-photos")
    shutil.copy(album / "p003" / "00.png", heap / "new.png")
    read: list[str] = []
    real = scanning.read_photo
    monkeypatch.setattr(scanning, "read_photo", lambda path: (read.append(path.name), real(path))[1])
    assert "holds 13 pictures of faces" in scanned().stderr
    assert page.read_text().count("data:image/jpeg") == 13 and read == ["new.png"]
    name_all(page.with_name("review.csv"), "Ada")
    run("scan", heap, "--apply", page.with_name("review.csv"))
    assert page.read_text().count("data:image/jpeg") == 13 and read == ["new.png"]
    page.unlink()
    scanned()
    assert "data:image/jpeg" not in page.read_text()


def test_scan_says_that_names_of_an_encrypted_gallery_stand_in_it_in_plain(
    scanned: Any, run: Any, album: Path, weights: Path
):
    pytest.importorskip("cryptography")
    run("enroll", "Ada", album / "p000" / "00.png", "--aligned", "--weights", weights)
    assert "plain text" not in scanned().stderr
    run("encrypt", "--new-key", "k.key")
    said = scanned("--key-file", "k.key").stderr
    assert "encrypted there, stand in plain text in" in said and "heap.scan" in said


def test_sort_told_in_twenty_lines_and_taken_back(scanned: Any, heap: Path, run: Any):
    scanned("--cut", "1")  # nobody is grouped
    review = heap.with_name("heap.scan") / "review.csv"
    lines = review.read_text("utf-8").splitlines()
    rows = [line.split(",", 2) for line in lines[1:]]
    named = [f"{group},Person {i % 30},{rest}" for i, (group, _, rest) in enumerate(rows)]
    review.write_text("\n".join([lines[0], *named]) + "\n")
    run("scan", "--apply", review)
    first = run("sort", heap, "--into", "out", "--json")
    assert json.loads(first.stdout)["made"] == 12 and len(json.loads(first.stdout)["folders"]) == 12
    assert "12 there already" in run("sort", heap, "--into", "out").stderr
    assert "12 would be taken away" in run("sort", heap, "--into", "out", "--undo", "--dry-run").stderr
    assert "12 taken away" in run("sort", heap, "--into", "out", "--undo").stderr and not Path("out").exists()
    assert "No photo of this album" in run("sort", heap, "--into", ".", "--undo", code=1).stderr
    assert (
        "--link is not for it" in run("sort", heap, "--into", "x", "--undo", "--link", "sym", code=2).stderr
    )


def test_however_many_folders_there_are_at_most_twenty_lines_tell_of_them():
    people = {f"Person {i:04d}": i + 1 for i in range(3_000)}
    unknown = {f"_unknown/g{i}": 2 for i in range(190)}
    for folders in (people | unknown, people, unknown | {"Ada": 1}, {"_unknown/g1": 1, "_unknown/g2": 1}):
        lines = sort_lines(Path("out"), folders)
        assert len(lines) <= 20
        assert sum(int(line.split()[0]) for line in lines) == sum(folders.values())
    assert sort_lines(Path("out"), people | unknown)[-1] == "  380  out/_unknown, 190 folders"
    assert "out/Person 2999" in "\n".join(sort_lines(Path("out"), people | unknown))


def command_on(page: Path) -> list[str]:
    return shlex.split(html.unescape(page.read_text("utf-8").split("<code>")[1].split("</code>")[0]))


def test_the_command_on_the_page_is_right_from_anywhere(
    heap: Path, run: Any, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    odd = heap.rename(heap.with_name("my 'heap' & $HOME"))
    aligned = ("--aligned", "--weights", weights, "--cut", "0.999")
    run("scan", odd, *aligned)
    run(
        "scan",
        Path(odd.name) if Path.cwd() == odd.parent else odd,
        "--out",
        "o t",
        "--gallery",
        "g's",
        *aligned,
    )
    words = command_on(Path("o t") / "review.html")
    review = Path("o t") / "review.csv"
    name_all(review, "Ada")
    before = (odd.with_name(odd.name + ".scan") / "scan.sqlite").read_bytes()
    saved = tmp_path / "downloads"
    saved.mkdir()
    shutil.copy(review, saved / "review.csv")
    here = Path.cwd()
    monkeypatch.chdir(saved)
    assert "Ada: 12 photos enrolled" in run(*words[1:]).stdout
    monkeypatch.chdir(here)
    assert "12  Ada" in run("list", "--gallery", "g's").stdout
    assert (odd.with_name(odd.name + ".scan") / "scan.sqlite").read_bytes() == before
    assert not (saved / "index").exists()
    assert command_on(Path("o t") / "review.html") == words  # after it was applied


def test_a_review_is_refused_by_another_album_and_another_gallery(
    scanned: Any, heap: Path, run: Any, weights: Path
):
    scanned("--gallery", "archive")
    run("scan", heap, "--aligned", "--weights", weights, "--cut", "0.999", "--out", "twin")
    review = heap.with_name("heap.scan") / "review.csv"
    name_all(review, "Ada")
    kept = review.read_text("utf-8")
    said = run("scan", heap, "--out", "twin", "--gallery", "archive", "--apply", review, code=1).stderr
    assert "for another album" in said and "heap.scan" in said and "twin" in said and "line 2" in said
    said = run("scan", heap, "--apply", review, code=1).stderr
    assert "for another gallery" in said and "archive" in said and "nobody was enrolled" in said
    assert not Path("archive").exists() and not Path("index").exists()
    Path("link").symlink_to("archive")
    for gallery in (Path("archive").absolute(), "link"):
        done = run("scan", heap, "--gallery", gallery, "--apply", review)
        assert "12 faces" in done.stdout and "could not be checked" not in done.stderr
    rows = list(csv.reader(kept.splitlines()))
    old = Path("old.csv")
    old.write_text("\n".join(",".join(row[:3]) for row in rows))
    assert "could not be checked" in run("scan", heap, "--gallery", "other", "--apply", old).stderr


def test_an_album_that_was_scanned_anew_takes_its_old_reviews(scanned: Any, heap: Path, run: Any):
    scanned()
    folder = heap.with_name("heap.scan")
    name_all(folder / "review.csv", "Ada")
    shutil.copy(folder / "review.csv", "kept.csv")
    shutil.rmtree(folder)
    scanned()
    assert "Ada: 12 photos enrolled" in run("scan", heap, "--apply", "kept.csv").stdout


def test_names_go_into_sidecars_and_come_back_as_suggestions(scanned: Any, heap: Path, run: Any):
    scanned()
    assert "a review gave" in run("album", "export", "--xmp", heap, code=1).stderr
    assert "--xmp" in run("album", "export", heap, code=2).stderr
    name_all(heap.with_name("heap.scan") / "review.csv", "Ada Ünal")
    run("scan", "--apply", heap.with_name("heap.scan") / "review.csv")
    said = run("album", "export", "--xmp", heap)
    assert "12 sidecars written, 0 right already; 12 faces with names" in said.stdout
    assert json.loads(run("album", "export", "--xmp", heap, "--json").stdout)["same"] == 12
    for path in heap.glob("*.xmp"):
        path.write_bytes(path.read_bytes().replace(b'facesearch:by="facesearch"', b""))
    shutil.rmtree(heap.with_name("heap.scan"))
    assert "12 on faces of the album" in scanned("--names-from-photos", "--gallery", "none").stderr
    rows = table_of(heap.with_name("heap.scan") / "review.csv")
    assert {(row["name"], row["in_photo"]) for row in rows} == {("", "Ada Ünal")}


@pytest.mark.slow
def test_a_missed_face_is_enrolled_by_its_box_and_marked_in_an_album(run: Any, tmp_path: Path, weights: Path):
    root = tmp_path / "plain"
    root.mkdir()
    pixels = np.full((200, 300, 3), 90, np.uint8)
    pixels[60:120, 100:150] = (250, 20, 20)
    Image.fromarray(pixels).save(root / "a.png")
    encoder = ("--weights", weights)
    assert "no face" in run("enroll", "Ada", root / "a.png", *encoder, code=1).stderr.lower()
    said = run("enroll", "Ada", root / "a.png", "--box", "100,60,50,60", *encoder)
    assert "Ada: 1 photo enrolled" in said.stdout and "by hand" in said.stderr
    with Store.open(Path("index")) as store:
        assert store.faces.detectors() == {"by hand": 1}
    for box, code, words in [
        ("400,60,50,60", 1, "outside of the photo"),
        ("1,2,3", 2, "is no box"),
        ("a,b,c,d", 2, "is no box"),
    ]:
        assert words in run("enroll", "Eva", root / "a.png", "--box", box, *encoder, code=code).stderr
    photo = root / "a.png"
    assert "one photo" in run("enroll", "Eva", photo, photo, "--box", "1,2,30,40", code=2).stderr
    assert "one photo" in run("enroll", "Eva", photo, "--box", "1,2,30,40", "--aligned", code=2).stderr
    first = run("scan", root, *encoder, "--box", "a.png", "100,60,50,60", "--box", photo, "0,0,40,40")
    assert "2 faces found, 2 in all" in first.stdout and first.stderr.count("added") == 2
    assert "0 faces found, 2 in all" in run("scan", root, *encoder).stdout
    again = run("scan", root, *encoder, "--box", "a.png", "100,60,50,60").stderr
    assert "there already" in again
    rows = table_of(tmp_path / "plain.scan" / "review.csv")
    assert {(row["photo"], row["x"], row["y"], row["w"], row["h"]) for row in rows} == {
        ("a.png", "100", "60", "50", "60"),
        ("a.png", "0", "0", "40", "40"),
    }
