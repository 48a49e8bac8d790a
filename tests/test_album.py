"""An album from its photos to its people: scanned once, grouped, reviewed, enrolled as reviewed, sorted without overwriting anything."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ColourEncoder, save_colour

from facesearch.errors import BadReview, CorruptAlbum, EncoderMismatch, InsideAlbum, NoAlbum, NothingToDo, OtherAlbum
from facesearch.gallery.album import FILE, Album
from facesearch.gallery.store import Gallery
from facesearch.jobs import scan as scanning
from facesearch.jobs import stream
from facesearch.jobs.arrange import arrange
from facesearch.jobs.review import COLUMNS, apply, as_cell, of_cell, read_review, review_rows
from facesearch.jobs.scan import album_folder, face_pictures, recognise, scan
from facesearch.jobs.sort import folder_names, sort_album
from facesearch.records import U8, Face
from facesearch.report_album import applied, write_review
from tests.conftest import refused

RED, GREEN, BLUE = (250, 20, 20), (20, 250, 20), (20, 20, 250)
CUT = 0.7


def quiet(done: int, total: int) -> None:
    """No bar."""


class Halves:
    """A detector that finds a face in each half of a photo twice as wide as high, one in a square, none in a high one."""

    name = "halves"

    def detect(self, pixels: U8) -> list[Face]:
        h, w = pixels.shape[:2]
        if h > w:
            return []
        boxes = [(x, 0, h, h) for x in ((0, h) if w == 2 * h else (0,))]
        eyes = np.array([[0.34, 0.46], [0.66, 0.46]], np.float32)
        return [Face(np.array(b, np.float32), eyes * b[2] + np.array(b[:2], np.float32), 0.9, self.name) for b in boxes]

    def another(self) -> Halves:
        return Halves()


def save_pair(path: Path, left: tuple[int, int, int], right: tuple[int, int, int]) -> None:
    from PIL import Image

    image = Image.new("RGB", (224, 112), left)
    image.paste(right, (112, 0, 224, 112))
    image.save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three of red, three of green, one of both, one blue, one of nobody, one broken, and a copy of a red one."""
    root = tmp_path / "holiday"
    for i in range(3):
        save_colour(root / "a" / f"red{i}.png", RED, shade=10 + i)
        save_colour(root / "b" / f"green{i}.png", GREEN, shade=10 + i)
    save_pair(root / "both.png", RED, GREEN)
    save_colour(root / "blue.png", BLUE)
    save_colour(root / "wall.png", (90, 90, 90), size=(50, 100))
    (root / "broken.jpg").write_text("no picture")
    shutil.copy(root / "a" / "red0.png", root / "copy of red0.png")
    return root


@pytest.fixture
def found(photos: Path) -> Path:
    """The scan of those photos, grouped, its review written."""
    folder = album_folder(photos)
    scan(photos, folder, ColourEncoder(), Halves(), quiet)
    with Album.open(folder) as album:
        arrange(album, "average", CUT)
        write_review(album, None, "facesearch scan")
    return folder


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def save_table(path: Path, rows: list[dict[str, str]], **kind: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), **kind)
        table.writeheader()
        table.writerows(rows)
    return path


def group_of(rows: list[dict[str, str]], photo: str) -> str:
    return next(row["group"] for row in rows if row["photo"].endswith(photo))


def name_groups(folder: Path, out: Path, **names: str) -> Path:
    """A review in which the group of photo `red1.png` is named by red1="Ada", and so on: in one row of it, as a person would."""
    rows = table_of(folder / "review.csv")
    for photo, name in names.items():
        next(row for row in rows if row["photo"].endswith(photo + ".png"))["name"] = name
    return save_table(out, rows)


def state(folder: Path) -> dict[str, tuple[int, str, bool]]:
    with Album.open(folder) as album:
        paths = {file.sha256: file.path for file in reversed(album.files().values())}
        return {f"{paths[face.sha256]}#{face.number}": (face.group, face.name, face.nobody) for face in album.faces()}


# ---- scan


def test_every_face_is_found_once_and_what_cannot_be_read_is_listed(photos: Path, found: Path):
    encoder = ColourEncoder()
    result = scan(photos, found, encoder, Halves(), quiet)
    assert (result.files, result.looked, result.new_faces, result.faces, result.faceless) == (11, 0, 0, 9, 1)
    assert [(item.path.name, "not a picture" in item.reason) for item in result.skipped] == [("broken.jpg", True)]
    assert encoder.seen == 0
    with Album.open(found) as album:
        faces, vectors = album.faces_and_vectors()
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
        assert sorted(face.box[0] for face in faces if face.number == 2) == [112.0] and len(faces) == 9


def test_a_later_scan_looks_only_at_what_is_new(photos: Path, found: Path):
    before = state(found)
    save_colour(photos / "c" / "red9.png", RED, shade=99)
    (photos / "a" / "red1.png").rename(photos / "moved.png")  # no new content
    (photos / "b" / "green2.png").unlink()
    encoder = ColourEncoder()
    result = scan(photos, found, encoder, Halves(), quiet)
    assert encoder.seen == 1 and (result.new_faces, result.gone, result.faces) == (1, 2, 9)
    with Album.open(found) as album:
        assert arrange(album, "average", CUT).joined == 1
    after = state(found)
    assert after["c/red9.png#1"][0] == before["a/red0.png#1"][0] == after["moved.png#1"][0]
    assert all(after[key] == before[key] for key in before.keys() & after.keys())


def test_a_photo_that_was_changed_is_looked_at_again(photos: Path, found: Path):
    path = photos / "blue.png"
    save_colour(path, GREEN, shade=77)
    os.utime(path, ns=(1, 1))
    assert scan(photos, found, ColourEncoder(), Halves(), quiet).new_faces == 1


def test_a_killed_scan_goes_on_where_it_was(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream, "BATCH", 2)

    class Dying(ColourEncoder):
        def embed(self, crops: U8) -> Any:
            if self.seen >= 4:
                raise KeyboardInterrupt
            return super().embed(crops)

    dying, folder = Dying(), tmp_path / "scan"
    with pytest.raises(KeyboardInterrupt):
        scan(photos, folder, dying, Halves(), quiet)
    after = ColourEncoder()
    assert scan(photos, folder, after, Halves(), quiet).faces == 9
    assert 0 < dying.seen < 9 and dying.seen + after.seen == 9


@pytest.mark.parametrize("workers", [2, 7])
def test_any_number_of_workers_finds_the_same(photos: Path, tmp_path: Path, workers: int):
    found = []
    for count in (1, workers):
        scan(photos, tmp_path / f"{count}", ColourEncoder(), Halves(), quiet, workers=count)
        with Album.open(tmp_path / f"{count}") as album:
            faces, vectors = album.faces_and_vectors()
        found.append({face.key: (face.box, vector.tolist()) for face, vector in zip(faces, vectors, strict=True)})
    assert found[0] == found[1] and len(found[0]) == 9


def test_a_copy_whose_twin_a_killed_run_never_reached_is_looked_into(photos: Path, found: Path):
    """As a kill between two files of one content leaves it: the file is known, its content is not."""
    import sqlite3

    with sqlite3.connect(found / FILE) as db:
        (sha256,) = db.execute("SELECT sha256 FROM files WHERE path = 'blue.png'").fetchone()
        db.execute("DELETE FROM faces WHERE sha256 = ?", (sha256,))
        db.execute("DELETE FROM photos WHERE sha256 = ?", (sha256,))
    db.close()
    assert scan(photos, found, ColourEncoder(), Halves(), quiet).new_faces == 1


def test_never_more_than_a_bounded_number_of_photos_is_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for i in range(60):
        save_colour(tmp_path / "many" / f"{i:02}.png", RED, size=(8, 8), shade=i + 1)
    read: list[str] = []
    real = scanning.read_bytes
    monkeypatch.setattr(scanning, "read_bytes", lambda path: (read.append(path.name), real(path))[1])
    files, _ = scanning._files_under(tmp_path / "many")
    looked = scanning._look_at_all(tmp_path / "many", list(files.values()), set(), Halves(), 2)
    most = 0
    for taken, _ in enumerate(looked, 1):
        most = max(most, len(read) - taken)
    assert len(read) == 60 and most <= stream.AHEAD * 2 + 1


def test_a_scan_is_of_one_encoder_detector_and_folder(photos: Path, found: Path, tmp_path: Path):
    with pytest.raises(OtherAlbum, match="encoder"):
        scan(photos, found, ColourEncoder("other"), Halves(), quiet)
    with refused(OtherAlbum, "detector halves, not aligned"):
        scan(photos, found, ColourEncoder(), None, quiet)
    other = tmp_path / "elsewhere"
    shutil.copytree(photos, other)
    with pytest.raises(OtherAlbum, match="folder"):
        scan(other, found, ColourEncoder(), Halves(), quiet)
    with pytest.raises(NoAlbum):
        Album.open(other)


def test_damage_is_told(photos: Path, found: Path, tmp_path: Path):
    import sqlite3

    with sqlite3.connect(found / FILE) as db:
        db.execute("UPDATE faces SET checksum = checksum + 1 WHERE face_id = 3")
    with Album.open(found) as album, pytest.raises(CorruptAlbum, match="face 3"):
        album.faces_and_vectors()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / FILE).write_bytes(b"SQLite format 3\0" + bytes(2000))
    with pytest.raises(CorruptAlbum):
        Album.open(tmp_path / "x")


def test_nothing_is_written_among_the_photos_and_only_the_owner_reads_the_scan(photos: Path, found: Path):
    assert found.parent == photos.parent
    assert {path.name for path in found.iterdir()} >= {FILE, "review.csv", "review.html"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (found, *found.iterdir()))
    assert sorted(path.name for path in photos.iterdir()) == [
        "a",
        "b",
        "blue.png",
        "both.png",
        "broken.jpg",
        "copy of red0.png",
        "wall.png",
    ]


# ---- groups and the gallery


def test_strangers_are_grouped_and_each_face_of_a_photo_by_itself(found: Path):
    groups = state(found)
    red, green = groups["a/red0.png#1"][0], groups["b/green0.png#1"][0]
    assert {groups[f"a/red{i}.png#1"][0] for i in (1, 2)} == {red} == {groups["both.png#1"][0]}
    assert groups["both.png#2"][0] == green != red and groups["blue.png#1"][0] == 0


def test_the_gallery_names_whom_it_knows_and_no_gallery_names_nobody(photos: Path, found: Path, tmp_path: Path):
    from facesearch.gallery.rows import NewFace, Threshold

    encoder = ColourEncoder()
    with Album.open(found) as album:
        faces, vectors = album.faces_and_vectors()
        red = next(i for i, face in enumerate(faces) if state(found)["a/red0.png#1"][0] == face.group)
        with Gallery.create(tmp_path / "g", encoder.encoder_id, 12, "colours") as gallery:
            assert recognise(album, gallery) == 0  # empty
            gallery.add([NewFace("Ruby", "0" * 64, "r.png", vectors[red])])
            assert recognise(album, gallery, threshold=0.6) == 4
            assert {face.nearest for face in album.faces()} == {"Ruby"}
            assert recognise(album, gallery) == 0  # a gallery without a threshold tells resemblances and no matches
            gallery.add(
                [
                    NewFace("Ruby", "1" * 64, "far.png", np.roll(vectors[red], 1)),
                    NewFace("Sam", "2" * 64, "s.png", np.roll(vectors[red], 2)),
                ]
            )
            gallery.set_threshold(Threshold(0.6, 0.01, "made up", 0, 3, by="mean-template"))
            known = recognise(album, gallery)
            means = {"Ruby": vectors[red] + np.roll(vectors[red], 1), "Sam": np.roll(vectors[red], 2)}
            for face, vector in zip(album.faces(), vectors, strict=True):
                scores = {name: float(vector @ mean / np.linalg.norm(mean)) for name, mean in means.items()}
                assert face.nearest == max(scores, key=scores.__getitem__)
                assert face.nearest_score == pytest.approx(scores[face.nearest], abs=1e-3) and face.known == (max(scores.values()) >= 0.6)
            assert known == sum(face.known for face in album.faces())
        assert recognise(album, None) == 0 and {face.nearest for face in album.faces()} == {""}
        with Gallery.create(tmp_path / "h", "f" * 64, 12, "other") as other:
            other.add([NewFace("x", "0" * 64, "r.png", vectors[red])])
            with pytest.raises(EncoderMismatch):
                recognise(album, other)


# ---- review


def test_the_review_holds_every_face_and_reads_back(found: Path):
    rows = table_of(found / "review.csv")
    assert list(rows[0]) == list(COLUMNS) and len(rows) == 9
    assert [line.face for line in read_review(found / "review.csv")] == [row["face"] for row in rows]
    assert [row["photo"] for row in rows if not row["group"]] == ["blue.png"]


def test_exactly_what_was_reviewed_is_enrolled(found: Path, tmp_path: Path):
    review = name_groups(found, tmp_path / "r.csv", red1="Ruby")
    with Album.open(found) as album:
        result = apply(album, tmp_path / "g", review, None)
    assert result.enrolled == {"Ruby": 4} and (result.named, result.unnamed, result.known) == (4, 5, 0)
    with Gallery.open(tmp_path / "g") as gallery:
        assert [(p.name, p.faces) for p in gallery.people()] == [("Ruby", 4)]
        assert {source for source, _ in gallery.photos_of("Ruby")} <= {"red0.png", "red1.png", "red2.png", "both.png", "copy of red0.png"}
        before = gallery.generation
    with Album.open(found) as album:
        again = apply(album, tmp_path / "g", review, None)
    assert again.enrolled == {} and again.known == 4
    with Gallery.open(tmp_path / "g") as gallery:
        assert gallery.generation == before


def test_an_enrolled_vector_is_the_scanned_one(found: Path, tmp_path: Path):
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", blue="Bo"), None)
        faces, vectors = album.faces_and_vectors()
    own = vectors[[face.name for face in faces].index("Bo")]
    with Gallery.open(tmp_path / "g") as gallery:
        assert (gallery.vectors_of("Bo") @ own).tolist() == pytest.approx([1], abs=1e-3)


def test_one_name_for_two_groups_joins_them_and_a_new_label_splits(found: Path, tmp_path: Path):
    rows = table_of(found / "review.csv")
    for row in rows:
        if row["photo"] == "both.png":
            row["group"] = "those two"
        if row["photo"].endswith(("red1.png", "green1.png")):
            row["name"] = "Kim"
    was = state(found)
    with Album.open(found) as album:
        apply(album, tmp_path / "g", save_table(tmp_path / "r.csv", rows), None)
    now = state(found)
    joined = min(was["a/red0.png#1"][0], was["b/green0.png#1"][0])
    assert {now[f"{c}.png#1"][:2] for c in ("a/red1", "a/red2", "b/green0", "b/green1", "b/green2")} == {(joined, "Kim")}
    assert now["both.png#1"] == now["both.png#2"] and now["both.png#1"][0] > max(group for group, _, _ in was.values())
    assert now["both.png#1"][1] == "" and now["blue.png#1"] == (0, "", False)


def test_two_names_in_one_group_split_it_when_every_face_has_one(found: Path, tmp_path: Path):
    rows = table_of(found / "review.csv")
    red = group_of(rows, "red1.png")
    own = [row for row in rows if row["group"] == red]
    for row, name in zip(own, ["Ann", "Ann", "Ann", "Eve"], strict=True):
        row["name"] = name
    with Album.open(found) as album:
        apply(album, tmp_path / "g", save_table(tmp_path / "r.csv", rows), None)
    groups = {name: {group for group, n, _ in state(found).values() if n == name} for name in ("Ann", "Eve")}
    assert groups["Ann"] == {int(red[1:])} and len(groups["Eve"]) == 1 and groups["Eve"] != groups["Ann"]
    own[1]["name"] = ""
    with Album.open(found) as album, pytest.raises(BadReview, match="'Ann' and 'Eve'"):
        apply(album, tmp_path / "g", save_table(tmp_path / "r.csv", rows), None)


def test_a_face_put_aside_is_in_no_group_and_is_not_grouped_again(photos: Path, found: Path, tmp_path: Path):
    review = name_groups(found, tmp_path / "r.csv", red1="-")
    with Album.open(found) as album:
        assert apply(album, tmp_path / "g", review, None).aside == 1
        arrange(album, "average", CUT, again=True)
    assert state(found)["a/red1.png#1"] == (0, "", True) and not (tmp_path / "g").exists()


WRONG = {
    "no column is called face": "group,name\ng1,Ada\n",
    "has no face '000000000000/1'": "group,name,face\ng1,Ada,000000000000/1\n",
    "stands in line 2 already": "group,name,face\ng1,Ada,{0}\ng1,,{0}\n",
    "cannot be a person's name": "group,name,face\ng1,A\x07da,{0}\n",
    "it has 1 cells": "group,name,face\nabc\n",
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_wrong_review_changes_nothing(found: Path, tmp_path: Path, reason: str):
    face, before = table_of(found / "review.csv")[0]["face"], state(found)
    (tmp_path / "r.csv").write_text(WRONG[reason].format(face))
    with Album.open(found) as album, pytest.raises(BadReview) as error:
        apply(album, tmp_path / "g", tmp_path / "r.csv", None)
    assert reason in str(error.value).lower() and state(found) == before and not (tmp_path / "g").exists()


def test_reviews_from_spreadsheets_are_read_and_other_encodings_refused(found: Path, tmp_path: Path):
    rows = table_of(found / "review.csv")
    rows[0]["name"] = "Zoë; the second"
    save_table(tmp_path / "semi.csv", rows, delimiter=";")
    text = (tmp_path / "semi.csv").read_text("utf-8")
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_review(tmp_path / "bom.csv")[0].name == "Zoë; the second"
    (tmp_path / "old.csv").write_bytes(text.encode("cp1252"))
    with pytest.raises(BadReview, match="UTF-8"):
        read_review(tmp_path / "old.csv")


@pytest.mark.parametrize("name", ["=1+1", "@x", "-5", "'=a", "-", "Ada", "'Tis", "\tx"])
def test_no_name_is_a_formula_in_a_spreadsheet_and_all_come_back(name: str):
    cell = as_cell(name)
    assert of_cell(cell) == name and (name == "-" or not cell.startswith(("=", "@", "-", "\t")))


def test_rows_that_are_not_in_the_file_stay_as_they_are(found: Path, tmp_path: Path):
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", red1="Ruby"), None)
        write_review(album, None, "")
    before = state(found)
    rows = [row for row in table_of(found / "review.csv") if row["photo"] == "blue.png"]
    rows[0]["name"] = "Bo"
    with Album.open(found) as album:
        assert apply(album, tmp_path / "g", save_table(tmp_path / "s.csv", rows), None).enrolled == {"Bo": 1}
    after = state(found)
    assert {key: value for key, value in after.items() if "blue" not in key} == {k: v for k, v in before.items() if "blue" not in k}


def test_a_name_taken_back_is_told_since_the_gallery_still_has_it(found: Path, tmp_path: Path):
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", blue="Bo"), None)
        write_review(album, None, "")
        result = apply(album, tmp_path / "g", name_groups(found, tmp_path / "s.csv", blue="Bob"), None)
    assert result.elsewhere == (("Bo", "blue.png"),) and result.enrolled == {"Bob": 1}


def test_reviewed_groups_survive_new_photos_and_a_grouping_anew(photos: Path, found: Path, tmp_path: Path):
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", red1="Ruby"), None)
    before = state(found)
    for i in range(4):
        save_colour(photos / "new" / f"{i}.png", BLUE, shade=30 + i)
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    with Album.open(found) as album:
        arrange(album, "average", CUT, again=True)
        rows = review_rows(album)
    after = state(found)
    assert all(after[key] == value for key, value in before.items() if value[1])
    assert len({after[f"new/{i}.png#1"][0] for i in range(4)} | {after["blue.png#1"][0]}) == 1 and after["blue.png#1"][0] > 0
    assert {row.state for row in rows} == {"enrolled", "new"}


def test_a_review_that_was_changed_and_not_applied_is_never_overwritten(found: Path, tmp_path: Path):
    name_groups(found, found / "review.csv", red1="Ruby")
    with Album.open(found) as album:
        kept = write_review(album, None, "").kept
        assert kept is not None and "Ruby" in kept.read_text()
        assert write_review(album, None, "").kept is None
        name_groups(found, found / "review.csv", red1="Ruby")
        apply(album, tmp_path / "g", found / "review.csv", None)
        applied(album)
        assert write_review(album, None, "").kept is None
    assert {row["name"] for row in table_of(found / "review.csv")} == {"Ruby", ""}


# ---- the page


def test_the_page_shows_no_face_unless_asked_and_escapes_everything(photos: Path, found: Path):
    (photos / "b" / "green0.png").rename(photos / "b" / "<script>alert(1)<.png")
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    with Album.open(found) as album:
        write_review(album, None, "facesearch scan <x>")
        page = (found / "review.html").read_text("utf-8")
        assert "data:image" not in page and "<script>alert" not in page and "&lt;script&gt;alert" in page and "scan &lt;x&gt;" in page
        pictures = face_pictures(album, 48, quiet)
        assert len(pictures) == 9 and write_review(album, pictures, "").crops == 9
    page = (found / "review.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 9 and "holds pictures of people" in page
    assert "http://" not in page and "https://" not in page and 'src="data:' in page


# ---- sort


@pytest.fixture
def named(found: Path, tmp_path: Path) -> Path:
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", red1="Ruby", green1="Ed/ith"), None)
    return found


def tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


EDITH = folder_names(["Ed/ith"])["Ed/ith"]


@pytest.mark.parametrize("way", ["copy", "hard", "sym"])
def test_one_folder_a_person_and_a_photo_of_two_in_both(photos: Path, named: Path, tmp_path: Path, way: str):
    out = tmp_path / "out"
    originals = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    with Album.open(named) as album:
        foreseen = sort_album(album, out, quiet, way=way, dry_run=True)
        assert not out.exists()
        result = sort_album(album, out, quiet, way=way)
        again = sort_album(album, out, quiet, way=way)
    assert foreseen == result and (again.made, again.there) == (0, result.made) and result.faceless == 1
    greens = {f"{EDITH}/green{i}.png" for i in range(3)} | {f"{EDITH}/both.png"}
    reds = {"Ruby/red0.png", "Ruby/red1.png", "Ruby/red2.png", "Ruby/both.png"}
    assert tree(out) in (
        greens | reds | {"_unknown/blue.png"},
        greens | reds - {"Ruby/red0.png"} | {"Ruby/copy of red0.png", "_unknown/blue.png"},
    )
    assert (out / "Ruby" / "red1.png").read_bytes() == (photos / "a" / "red1.png").read_bytes()
    assert (out / "Ruby" / "red1.png").is_symlink() == (way == "sym")
    assert (out / "Ruby" / "red1.png").samefile(photos / "a" / "red1.png") == (way != "copy")
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == originals


def test_nothing_is_overwritten_and_names_that_clash_live_side_by_side(photos: Path, named: Path, tmp_path: Path):
    out = tmp_path / "out"
    (out / "Ruby").mkdir(parents=True)
    (out / "Ruby" / "red1.png").write_text("mine")
    with Album.open(named) as album:
        sort_album(album, out, quiet)
        assert sort_album(album, out, quiet).made == 0
    assert (out / "Ruby" / "red1.png").read_text() == "mine"
    (beside,) = (out / "Ruby").glob("red1~*.png")
    assert beside.read_bytes() == (photos / "a" / "red1.png").read_bytes()
    beside.write_text("mine too")
    with Album.open(named) as album:
        (skip,) = sort_album(album, out, quiet).skipped
    assert "nothing is overwritten" in skip.reason and beside.read_text() == "mine too"


def test_a_dry_run_foresees_two_photos_of_one_name(photos: Path, found: Path, tmp_path: Path):
    save_colour(photos / "z" / "blue.png", GREEN, shade=60)  # another photo, of nobody with a name either
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    with Album.open(found) as album:
        foreseen = sort_album(album, tmp_path / "out", quiet, dry_run=True)
        assert sort_album(album, tmp_path / "out", quiet) == foreseen
    assert len(list((tmp_path / "out" / "_unknown").glob("blue*.png"))) == 2 and foreseen.skipped == ()


def test_photos_that_changed_or_went_are_skipped_and_half_copies_do_not_appear(photos: Path, named: Path, tmp_path: Path):
    (photos / "a" / "red1.png").write_bytes(b"other")
    (photos / "a" / "red2.png").unlink()
    with Album.open(named) as album:
        result = sort_album(album, tmp_path / "out", quiet)
    assert {item.path.name: "changed" in item.reason for item in result.skipped} == {"red1.png": True, "red2.png": False}
    assert not list((tmp_path / "out").rglob(".*"))


def test_an_album_that_was_moved_is_found_by_photos_and_out_may_not_lie_inside(photos: Path, named: Path, tmp_path: Path):
    photos.rename(tmp_path / "moved")
    with Album.open(named) as album:
        assert sort_album(album, tmp_path / "out", quiet, root=tmp_path / "moved").made == 9
        with pytest.raises(InsideAlbum):
            sort_album(album, tmp_path / "moved" / "a" / "out", quiet, root=tmp_path / "moved")


@pytest.mark.parametrize(
    "name", ["../../etc", "a/b", "CON", "nul.txt", ".hidden", "-rf", "_unknown", "x" * 300, "dots...", "a\u202eb", "<>"]
)
def test_a_persons_name_never_leaves_the_folder(name: str):
    safe = folder_names([name])[name]
    assert safe != name and Path(safe).name == safe and not safe.startswith((".", "-", "_")) and len(safe.encode()) < 255
    assert folder_names([name, "other"])[name] == safe


def test_no_two_people_share_a_folder_and_plain_names_stay():
    folders = folder_names(["Ada", "ada", "a/b", "a:b", "Zoë Müller", "李雷"])
    assert len({folder.casefold() for folder in folders.values()}) == 6
    assert folders["Zoë Müller"] == "Zoë Müller" and folders["李雷"] == "李雷"


def test_an_album_without_a_face_has_nothing_to_sort(tmp_path: Path):
    save_colour(tmp_path / "p" / "wall.png", RED, size=(20, 60))
    scan(tmp_path / "p", tmp_path / "s", ColourEncoder(), Halves(), quiet)
    with Album.open(tmp_path / "s") as album, pytest.raises(NothingToDo):
        sort_album(album, tmp_path / "out", quiet)
    with Album.open(tmp_path / "s") as album:
        assert arrange(album, "average").groups == 0 and review_rows(album) == []
