"""An album's photos: scanned once, whatever comes between, and its faces grouped and named by a gallery."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesearch.album import scan as scanning
from facesearch.album.album import FILE, Album
from facesearch.album.arrange import arrange
from facesearch.album.scan import recognise, scan
from facesearch.encoder import stream
from facesearch.errors import CorruptAlbum, EncoderMismatch, NoAlbum, OtherAlbum
from facesearch.gallery.nearest import nearest_to_each
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store
from facesearch.records import U8
from tests.helpers.album import CUT, GREEN, RED, Halves, empty_album, state
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet, refused

# ---- scan


def test_every_face_is_found_once_and_what_cannot_be_read_is_listed(photos: Path, found: Path):
    encoder = ColourEncoder()
    result = scan(photos, found, encoder, Halves(), quiet)
    assert (result.files, result.looked, result.new_faces, result.faces, result.faceless) == (11, 0, 0, 9, 1)
    assert [(item.path.name, "not a picture" in item.reason) for item in result.skipped] == [
        ("broken.jpg", True)
    ]
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
    assert encoder.seen == 1 and (result.new_faces, result.gone, result.renamed, result.faces) == (1, 1, 1, 9)
    assert result.copies == 1
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
        found.append(
            {face.key: (face.box, vector.tolist()) for face, vector in zip(faces, vectors, strict=True)}
        )
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


def test_never_more_than_a_bounded_number_of_photos_is_read_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for i in range(60):
        save_colour(tmp_path / "many" / f"{i:02}.png", RED, size=(8, 8), shade=i + 1)
    read: list[str] = []
    real = scanning.read_bytes
    monkeypatch.setattr(scanning, "read_bytes", lambda path: (read.append(path.name), real(path))[1])
    files, _ = scanning._files_under(tmp_path / "many", scanning.Judge())
    seen = scanning._Seen(empty_album(tmp_path / "scan"))
    looked = scanning._look_at_all(tmp_path / "many", list(files.values()), seen, Halves(), 2)
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


def test_the_gallery_names_whom_it_knows_and_no_gallery_names_nobody(
    photos: Path, found: Path, tmp_path: Path
):
    from facesearch.gallery.store.rows import NewFace, Threshold

    encoder = ColourEncoder()
    with Album.open(found) as album:
        faces, vectors = album.faces_and_vectors()
        red = next(i for i, face in enumerate(faces) if state(found)["a/red0.png#1"][0] == face.group)
        with Store.create(tmp_path / "g", encoder.encoder_id, 12, "colours") as gallery:
            assert recognise(album, gallery) == 0  # empty
            gallery.faces.add([NewFace("Ruby", "0" * 64, "r.png", vectors[red])])
            assert recognise(album, gallery, threshold=0.6) == 4
            assert {face.nearest for face in album.faces()} == {"Ruby"}
            assert (
                recognise(album, gallery) == 0
            )  # a gallery without a threshold tells resemblances and no matches
            gallery.faces.add(
                [
                    NewFace("Ruby", "1" * 64, "far.png", np.roll(vectors[red], 1)),
                    NewFace("Sam", "2" * 64, "s.png", np.roll(vectors[red], 2)),
                ]
            )
            gallery.notes.set_threshold(Threshold(0.6, 0.01, "made up", 0, 3, by="mean-template"))
            known = recognise(album, gallery)
            means = {"Ruby": vectors[red] + np.roll(vectors[red], 1), "Sam": np.roll(vectors[red], 2)}
            for face, vector in zip(album.faces(), vectors, strict=True):
                scores = {name: float(vector @ mean / np.linalg.norm(mean)) for name, mean in means.items()}
                assert face.nearest == max(scores, key=scores.__getitem__)
                assert face.nearest_score == pytest.approx(scores[face.nearest], abs=1e-3) and face.known == (
                    max(scores.values()) >= 0.6
                )
            assert known == sum(face.known for face in album.faces())
        assert recognise(album, None) == 0 and {face.nearest for face in album.faces()} == {""}
        with Store.create(tmp_path / "h", "f" * 64, 12, "other") as other:
            other.faces.add([NewFace("x", "0" * 64, "r.png", vectors[red])])
            with pytest.raises(EncoderMismatch):
                recognise(album, other)


def test_a_gallery_that_has_not_changed_is_asked_about_new_faces_only(
    photos: Path, found: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []

    def counting(gallery: Any, index: Any, vectors: Any, by: Any) -> Any:
        asked.append(len(vectors))
        return nearest_to_each(gallery, index, vectors, by)

    monkeypatch.setattr(scanning, "nearest_to_each", counting)
    with Album.open(found) as album:
        faces, vectors = album.faces_and_vectors()
        made = (tmp_path / "gallery", album.encoder_id, album.dimension, album.encoder)
        with Store.create(*made) as gallery:
            gallery.faces.add([NewFace("Red", "1" * 64, "r.png", vectors[0], "halves")])
            count = recognise(album, gallery, threshold=0.9)
            assert count and asked == [len(faces)]
            before = album.faces()
            assert recognise(album, gallery, threshold=0.9) == count and asked == [len(faces)]
            assert album.faces() == before
            assert recognise(album, gallery, threshold=2.0) == 0 and asked == [len(faces)] * 2
            recognise(album, gallery, threshold=0.9)
            save_colour(photos / "another.png", RED, shade=40)
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    with Album.open(found) as album, Store.open(tmp_path / "gallery") as gallery:
        assert recognise(album, gallery, threshold=0.9) >= count and asked[3:] == [1]
        gallery.faces.add([NewFace("Green", "2" * 64, "g.png", vectors[-1], "halves")])
        recognise(album, gallery, threshold=0.9)
        assert asked[4:] == [len(faces) + 1]
        album.remember("recognised", "[")
        recognise(album, gallery, threshold=0.9)
        recognise(album, None)
        assert asked[5:] == [len(faces) + 1] and not any(face.known for face in album.faces())
