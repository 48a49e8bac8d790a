"""Rename: a new name for all photos of a person, and two people joined only when that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from facesearch.errors import BadName, NameTaken, UnknownPerson
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.rename import rename
from facesearch.gallery.store.store import Store
from facesearch.gallery.verify import verify
from tests.helpers.rows import contents, face, unit
from tests.helpers.saying import refused


@pytest.fixture
def folder(sixty_faces: Path) -> Path:
    return sixty_faces


def test_a_new_name_for_all_photos_and_the_old_one_is_gone(folder: Path):
    assert rename("person 4", "Zoe\u0301 Zanzibar", folder, join=False) == 7
    assert all(b"person 4" not in path.read_bytes() for path in folder.iterdir())
    with Store.open(folder) as gallery:
        assert nearest_people(gallery, open_index(gallery), unit(4)[0], 1)[0].person == "Zoé Zanzibar"
        with pytest.raises(UnknownPerson):
            gallery.eraser.delete("person 4")
    assert verify(folder, repair=True).problems == ()


def test_two_people_become_one_only_when_that_is_asked_for(folder: Path):
    with Store.open(folder) as gallery:
        gallery.faces.add([face("person 1", 2, "2.jpg")])  # a photo that both have
    with refused(NameTaken, "--join"):
        rename("person 2", "person 1", folder, join=False)
    rename("person 2", "person 1", folder, join=True)
    with Store.open(folder) as gallery:
        counts = {p.name: p.faces for p in gallery.faces.people()}
    assert "person 2" not in counts and counts["person 1"] == 14 and sum(counts.values()) == 60
    assert verify(folder, repair=True).problems == ()


def test_a_name_that_cannot_be_and_somebody_unknown(folder: Path):
    before = contents(folder)
    with pytest.raises(BadName):
        rename("person 1", "a\nb", folder, join=False)
    with pytest.raises(UnknownPerson, match="Did you mean"):
        rename("persn 1", "x", folder, join=False)
    assert rename("person 1", "person 1", folder, join=False) == 7 and contents(folder) == before
