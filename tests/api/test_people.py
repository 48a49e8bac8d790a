"""The people of an open gallery: listed, shown with their photos, enrolled one photo at a time."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from facesearch.answers import Enrolled
from facesearch.api.encoder import Encoder
from facesearch.api.gallery import Gallery
from facesearch.api.names import LONGEST_NAME, clean_name
from facesearch.api.opening import open_gallery
from facesearch.api.people import Listing, enroll_file, listing, people_page, photos_of
from facesearch.api.results import Apart
from facesearch.errors import BadName, CloserToAnother, CorruptGallery, NoFace, UnknownPerson
from facesearch.gallery.store.rows import Threshold
from tests.helpers.drawn import ColourEncoder, save_colour

STATE = (1, 2, "encoder", 7)
EVERYBODY = Listing(
    STATE,
    numbers=np.array([5, 2, 9]),
    names=("Ada", "Ben", "cleo"),
    folded=("ada", "ben", "cleo"),
    photos=np.array([1, 5, 2]),
)
APART = Apart(np.array([2, 5, 9]), np.array([0.2, np.nan, -0.1], np.float32), np.array([5, 2, 5]))


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ["cleo", "Ben", "Ada"]),
        ({"sort": "name"}, ["Ada", "Ben", "cleo"]),
        ({"sort": "photos"}, ["Ben", "cleo", "Ada"]),
        ({"offset": 1, "limit": 1}, ["Ben"]),
        ({"offset": 9}, []),
    ],
)
def test_a_page_is_sorted_and_cut(asked: dict[str, object], names: list[str]):
    page = people_page(EVERYBODY, APART, **asked)  # type: ignore[arg-type]
    assert [person.name for person in page.people] == names
    assert (page.total, page.offset, page.generation) == (3, asked.get("offset", 0), 7)


def test_a_part_of_the_name_is_found_in_any_case_and_an_order_must_be_known():
    (found,) = people_page(EVERYBODY, APART, search="CLE").people
    assert (found.name, found.photos, found.nearest, found.pending) == ("cleo", 2, "Ada", False)
    assert found.separation == pytest.approx(-0.1)
    assert people_page(EVERYBODY, APART, search="nobody").total == 0
    with pytest.raises(ValueError, match="sort"):
        people_page(EVERYBODY, sort="age")


def test_while_nothing_is_known_of_separations_people_are_listed_by_name_and_pending():
    page = people_page(EVERYBODY)
    assert [person.name for person in page.people] == ["Ada", "Ben", "cleo"]
    assert all(
        person.pending and person.separation is None and person.nearest is None for person in page.people
    )
    assert page.separations.state == "running"


def test_separations_of_before_are_pending_for_the_new_and_where_the_nearest_has_gone():
    before = Apart(np.array([2, 4, 5]), np.array([0.2, 0.5, 0.3], np.float32), np.array([4, 5, 2]))
    told = {person.name: person for person in people_page(EVERYBODY, before).people}
    assert (told["Ada"].nearest, told["Ada"].pending) == ("Ben", False)
    assert (told["Ben"].nearest, told["Ben"].pending) == (None, True)  # to number 4, who was forgotten
    assert (told["cleo"].separation, told["cleo"].pending) == (None, True)


def test_a_list_made_from_the_one_before_is_the_same_as_one_made_anew(
    colours: Gallery, nobody: Gallery, tmp_path: Path
):
    before = listing(nobody)
    assert before.names == () and before.generation == 0
    for change in (
        lambda: colours.enroll("ada", save_colour(tmp_path / "new.png", (9, 120, 130))),
        lambda: colours.rename("Ben", "Zoe"),
        lambda: colours.rename("Cleo", "Zoe", join=True),
        lambda: colours.forget("Ada"),
    ):
        change()
        old, before = before, listing(colours, before)
        assert repr(before) == repr(listing(colours)) and before.state != old.state
    assert before.names == ("ada", "Zoe") and before.photos.tolist() == [1, 4]
    assert set(before.stored.values()) == {"ada", "Zoe"}  # nobody forgotten


@pytest.mark.parametrize("key", [None, b"k" * 32])
def test_names_of_every_kind_are_listed_encrypted_too(tmp_path: Path, key: bytes | None):
    if key is not None:
        pytest.importorskip("cryptography", reason="needs cryptography")
    names = ["Ada", "Zoé \U0001f600", '"quoted" \\ {}', "Ben", "王"]
    with open_gallery(
        tmp_path / "people", encoder=Encoder.of(ColourEncoder()), detector="aligned", key=key
    ) as gallery:
        for shade, name in enumerate(names):
            gallery.enroll(name, save_colour(tmp_path / f"{shade}.png", (9, 120, 130), shade=shade + 1))
        told = listing(gallery)
        assert sorted(told.names) == sorted(names) and listing(gallery, told).names == told.names


def test_a_name_that_is_none_is_damage(colours: Gallery):
    with colours.opened() as store:
        store.database.run("UPDATE people SET name = x'41' WHERE name = 'Ada'")
    with pytest.raises(CorruptGallery):
        listing(colours)


def test_photos_are_told_by_name_and_content(colours: Gallery, nobody: Gallery, tmp_path: Path):
    told = photos_of(colours, "Ada")
    path = tmp_path / "photos" / "Ada" / "Ada20.png"
    assert told.name == "Ada" and [photo.source for photo in told.photos] == ["Ada20.png", "Ada60.png"]
    assert told.photos[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for gallery in (colours, nobody):
        with pytest.raises(UnknownPerson):
            photos_of(gallery, "Dora")


def test_one_file_is_enrolled_under_a_clean_name(colours: Gallery, tmp_path: Path):
    data = save_colour(tmp_path / "new.png", (200, 200, 10)).read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    done = enroll_file(colours, " Dora ", "new.png", data)
    assert done == Enrolled("Dora", sha256, photos=1, known=False, unchecked=done.unchecked)
    assert enroll_file(colours, "Dora", "new.png", data).known
    assert [asdict(photo) for photo in photos_of(colours, "Dora").photos] == [
        {"source": "new.png", "sha256": sha256}
    ]
    with pytest.raises(NoFace):
        enroll_file(colours, "Dora", "new.png", data + b"\0", face=2)


def test_closer_to_somebody_else_needs_force(colours: Gallery, tmp_path: Path):
    with colours.opened() as store:
        store.notes.set_threshold(Threshold(0.9, 0.01, "made up", 300, 6))
    data = save_colour(tmp_path / "new.png", (220, 10, 10), shade=33).read_bytes()
    with pytest.raises(CloserToAnother):
        enroll_file(colours, "Dora", "new.png", data)
    assert enroll_file(colours, "Dora", "new.png", data, force=True).photos == 1


def test_names_are_brought_to_one_form():
    assert clean_name(" Zoe\u0301 ") == "Zoé"
    with pytest.raises(BadName):
        clean_name("x" * (LONGEST_NAME + 1))
