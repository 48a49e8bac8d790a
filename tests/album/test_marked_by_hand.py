"""A face that the detector missed is marked in an album, and stays there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facesearch.album.album import Album
from facesearch.album.arrange import arrange
from facesearch.album.by_hand import mark_face
from facesearch.album.review import apply, review_rows
from facesearch.album.scan import face_pictures, scan
from facesearch.errors import BadBox, NotFound, NothingToDo
from tests.helpers.album import CUT, Halves, name_groups
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet

BOX = (5.0, 20.0, 40.0, 40.0)


def test_a_marked_face_is_a_row_like_all_others_and_later_scans_keep_it(
    photos: Path, found: Path, tmp_path: Path
):
    with Album.open(found) as album:
        before = len(album.faces())
        marked = mark_face(album, ColourEncoder(), Halves(), photos / "wall.png", BOX)
        assert marked.new and marked.by_hand and len(album.faces()) == before + 1
        again = mark_face(album, ColourEncoder(), Halves(), Path("wall.png"), (7.0, 22.0, 40.0, 40.0))
        assert (again.new, again.key) == (False, marked.key)
        second = mark_face(album, ColourEncoder(), Halves(), Path("wall.png"), (0.0, 60.0, 40.0, 40.0))
        assert second.new and second.key.endswith("/2")
        assert {marked.key, second.key} <= face_pictures(album, 96, quiet).keys()
    save_colour(photos / "new.png", (1, 2, 3))
    result = scan(photos, found, ColourEncoder(), Halves(), quiet)
    assert result.faces == before + 3
    with Album.open(found) as album:
        arrange(album, "average", CUT, again=True)
        (row,) = [row for row in review_rows(album) if row.face == marked.key]
        assert (row.photo, row.x, row.y, row.w, row.h) == ("wall.png", 5, 20, 40, 40)


def test_a_marked_face_beside_one_that_was_found_has_the_next_number(photos: Path, found: Path):
    with Album.open(found) as album:
        faces = {file.path: album.faces_of(file.sha256)[0] for file in album.files().values()}
        assert len(faces["both.png"]) == 2
        left = mark_face(album, ColourEncoder(), Halves(), Path("both.png"), (0, 0, 112, 112))
        assert not left.new and left.key == faces["both.png"][0].key
        assert mark_face(album, ColourEncoder(), Halves(), Path("both.png"), (90, 30, 50, 50)).key.endswith(
            "/3"
        )


def test_what_cannot_be_marked_is_refused_and_changes_nothing(photos: Path, found: Path):
    with Album.open(found) as album:
        before = album.faces()
        for photo, box, error in [
            (Path("nowhere.png"), BOX, NotFound),
            (photos.parent / "elsewhere.png", BOX, NotFound),
            (Path("wall.png"), (500.0, 20.0, 40.0, 40.0), BadBox),
        ]:
            with pytest.raises(error):
                mark_face(album, ColourEncoder(), Halves(), photo, box)
        save_colour(photos / "wall.png", (1, 200, 3), size=(50, 100))
        with pytest.raises(NothingToDo, match="scan again"):
            mark_face(album, ColourEncoder(), Halves(), Path("wall.png"), BOX)
        assert album.faces() == before


def test_a_marked_face_can_be_enrolled(photos: Path, found: Path, tmp_path: Path):
    from facesearch.gallery.store.store import Store
    from facesearch.report.album import write_review

    with Album.open(found) as album:
        mark_face(album, ColourEncoder(), Halves(), Path("wall.png"), BOX)
        write_review(album, None, "facesearch scan")
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", wall="Wally"), None)
    with Store.open(tmp_path / "g") as store:
        assert [person.name for person in store.faces.people()] == ["Wally"]


def test_its_vector_is_that_of_the_box(photos: Path, found: Path):
    with Album.open(found) as album:
        mark_face(album, ColourEncoder(), Halves(), Path("wall.png"), BOX)
        faces, vectors = album.faces_and_vectors()
        grey = ColourEncoder().embed(np.full((1, 112, 112, 3), 90, np.uint8))[0]
        assert float(vectors[-1] @ grey) == pytest.approx(1, abs=0.01) and faces[-1].score == 0
