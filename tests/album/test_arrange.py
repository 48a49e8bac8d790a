"""An album is grouped once: where nothing has changed nothing is done, what is new is compared with all
others; and faces of poor quality lie apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesearch.album import arrange as arranging
from facesearch.album.album import Album, AlbumFile, FoundFace, FoundPhoto
from facesearch.album.arrange import arrange
from facesearch.album.review import review_rows
from facesearch.album.standing import Standing
from facesearch.records import F32
from facesearch.report.album import write_review

D = 256


def faces_of(people: np.ndarray, seed: int) -> F32:
    """Unit vectors of people, two of one at a cosine of about 0.6; the same people for every seed."""
    own = np.random.default_rng(0).normal(size=(int(people.max()) + 1, D))[people]
    rng = np.random.default_rng([seed, 1])
    vectors = own + np.sqrt(0.4 / 0.6) * rng.normal(size=(len(people), D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def take_in(album: Album, vectors: F32, first: int, **facts: Any) -> None:
    """A photo for each vector, numbered from first on."""
    of = {"score": 0.95, "sharpness": 300.0} | facts
    photos, files = [], []
    for i, vector in enumerate(vectors, first):
        sha = f"{i:064x}"
        face = FoundFace(1, (0.0, 0.0, 90.0, 90.0), "", of["score"], 90.0, of["sharpness"], vector)
        photos.append(FoundPhoto(sha, (face,)))
        files.append(AlbumFile(f"{i:05}.jpg", 1, 1, sha, ""))
    album.add(files, photos)


@pytest.fixture
def album(tmp_path: Path) -> Iterator[Album]:
    """Thirty people with ten photos each."""
    made = Album.create(
        tmp_path / "scan", tmp_path, encoder_id="e" * 64, dimension=D, encoder="e", detector="d", notes={}
    )
    with made as album:
        take_in(album, faces_of(np.repeat(np.arange(30), 10), 1), 0)
        yield album


def groups(album: Album) -> dict[int, int]:
    return {face.face_id: face.group for face in album.faces()}


def test_where_nothing_has_changed_nothing_is_done(album: Album, monkeypatch: pytest.MonkeyPatch):
    first = arrange(album, "average")
    assert (first.groups, first.new, first.sure) == (30, 30, 30)
    before, told = groups(album), Standing.of(album)
    for name in ("find_groups", "add_groups", "group", "settle"):
        monkeypatch.delattr(arranging, name)
    again = arrange(album, "average")
    assert (again.groups, again.new, again.joined, again.sure, again.alone) == (30, 0, 0, 30, first.alone)
    assert groups(album) == before and Standing.of(album) == told
    with pytest.raises(NameError):  # another way of grouping is something else
        arrange(album, "average", 0.5)


@pytest.mark.parametrize("change", ["name", "reviewed", "nobody", "nearest", "photo"])
def test_whatever_groups_depend_on_is_noticed(album: Album, change: str, monkeypatch: pytest.MonkeyPatch):
    arrange(album, "average")
    some = album.faces()[0].face_id
    if change == "photo":
        take_in(album, faces_of(np.array([31]), 2), 500)
    elif change == "nearest":
        album.change({some: {"nearest": "Ada", "nearest_score": 0.9, "known": True}})
    else:
        album.change({some: {change: "Ada" if change == "name" else True}})
    monkeypatch.delattr(arranging, "settle")
    with pytest.raises(NameError):
        arrange(album, "average")


def test_new_faces_are_compared_and_the_rest_stays(album: Album, monkeypatch: pytest.MonkeyPatch):
    arrange(album, "average")
    before = groups(album)
    take_in(album, faces_of(np.repeat(np.arange(20, 32), 3), 2), 300)
    monkeypatch.delattr(arranging, "find_groups")
    found = arrange(album, "average")
    after = groups(album)
    assert {face: after[face] for face in before} == before
    assert found.joined >= 25 and found.new == 2 and found.groups == 32
    for face, person in zip(sorted(after)[300:], np.repeat(np.arange(20, 32), 3).tolist(), strict=True):
        own = after[10 * person + 1] if person < 30 else 0
        assert after[face] in (own, 0) if own else after[face] not in set(before.values())


def test_much_that_is_new_is_grouped_from_nothing_and_old_numbers_stay(
    album: Album, monkeypatch: pytest.MonkeyPatch
):
    arrange(album, "average")
    before = groups(album)
    take_in(album, faces_of(np.repeat(np.arange(20, 60), 10), 2), 300)
    monkeypatch.delattr(arranging, "add_groups")
    assert arrange(album, "average").groups == 60
    assert {face: number for face, number in groups(album).items() if face in before} == before


def test_faces_of_poor_quality_lie_apart_until_somebody_names_them(
    album: Album, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(arranging, "LEAST_SHARPNESS", 40.0)  # see conftest.py
    blurred = faces_of(np.zeros(12, np.int64), 3)  # all alike, as blurred faces are
    take_in(album, blurred[:6], 300, sharpness=20.0)
    take_in(album, blurred[6:], 306, score=0.8)
    found = arrange(album, "average")
    assert found.poor == 12 and found.groups == 30 and found.alone >= 12
    rows = review_rows(album)
    assert [row.state for row in rows].count("poor") == 12 and all(row.state == "poor" for row in rows[-12:])
    page = write_review(album, None, "").page.read_text()
    drawer = page[page.index('data-kind="poor"') : page.index('data-kind="aside"')]
    assert drawer.count("<li data-face") == 12 and "<details>" in drawer
    first = next(face for face in album.faces() if face.sharpness == 20.0)
    album.change({first.face_id: {"name": "Ada", "reviewed": True}})
    assert arrange(album, "average").poor == 11


def test_the_review_says_how_sure_a_group_is_and_asks(album: Album):
    arrange(album, "average")
    told = Standing.of(album)
    assert {row.level for row in review_rows(album) if row.group} == {"sure"}
    assert all(0.9 < row.likely <= 1 for row in review_rows(album) if row.likely is not None)
    one, other = sorted(told.sure)[:2]
    Standing(told.sure | {other: (False, 0.61)}, ((one, other, 0.7),), {}).keep(album)
    rows = review_rows(album)
    assert {row.perhaps for row in rows if row.group == f"g{one}"} == {f"g{other}"}
    assert {(row.level, row.likely) for row in rows if row.group == f"g{other}"} == {("perhaps", 0.61)}
    page = write_review(album, None, "").page.read_text()
    assert f'Is this the same person as <a href="#h-g{other}">' in page and "perhaps one person: 61 %" in page
    assert "100 %" not in page


def test_notes_of_a_damaged_album_are_passed_over(album: Album):
    arrange(album, "average")
    before = groups(album)
    for note in ("", "[1]", '{"state": 3}', "{", '{"sure": [[1]]}'):
        album.remember("arranged", note)
        album.remember("standing", note)
        assert Standing.of(album) == Standing()
        assert arrange(album, "average").groups == 30 and groups(album) == before
