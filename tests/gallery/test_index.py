"""Every kind of index answers as trying all does, through additions, removals, filters and the commands."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from facesearch.cli.commands.query import _named_in
from facesearch.errors import BadIndex, NothingToDo, UnknownPerson
from facesearch.gallery.index import faiss_index
from facesearch.gallery.index.choice import choose_index, chosen_index, index_parts
from facesearch.gallery.index.faiss_index import (
    count_faces,
    erase_from_index,
    is_current,
    open_index,
    refresh,
)
from facesearch.gallery.index.files import MANIFEST
from facesearch.gallery.index.kinds import AUTO, FLAT
from facesearch.gallery.nearest import Among, nearest_people
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.verify import verify
from tests.helpers.index import KINDS, D, answers_right, indexed, people
from tests.helpers.saying import refused

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def gallery(three_hundred_people: Store) -> Store:
    return three_hundred_people


# ---- every kind


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_answers_as_trying_all_does(gallery: Store, kind: str):
    indexed(gallery, kind)
    answers_right(gallery)
    answers_right(gallery, k=1)
    answers_right(gallery, k=1600)  # more than there are: all of them, in order, and then none
    among = gallery.faces.ids(["person 00003", "person 00200", "person 00299"])
    assert len(among) == 15
    answers_right(gallery, k=4, among=among)
    answers_right(gallery, k=15, among=among)


@pytest.mark.parametrize("kind", KINDS)
def test_additions_and_removals_are_seen_at_once_and_after_compaction(
    gallery: Store, kind: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(faiss_index, "DELTA_LIMIT", 40)
    monkeypatch.setattr(faiss_index._bring_up_to_date, "__defaults__", (40,))
    indexed(gallery, kind)
    gallery.faces.add(people(8, seed=5, first=300))  # beside the files
    assert open_index(gallery).built == "" and len(index_parts(gallery)) == 1
    answers_right(gallery)
    gallery.faces.add(people(8, seed=5, first=308))  # a segment of their own
    assert "80 faces were enrolled" in open_index(gallery).built and [
        part["faces"] for part in index_parts(gallery)
    ] == [1500, 80]
    answers_right(gallery)
    for number in (1, 4, 250, 301):
        gallery.eraser.delete(f"person {number:05}")
    answers_right(gallery)
    assert (
        sum(part["faces"] for part in index_parts(gallery))
        == 1560
        == len(open_index(gallery))
        == count_faces(gallery)
    )
    gallery.faces.add(people(100, seed=6, first=400))  # swallows what came before
    open_index(gallery)
    assert [part["faces"] for part in index_parts(gallery)] == [2060]
    answers_right(gallery)
    for number in range(50):
        if number not in (1, 4):
            gallery.eraser.delete(f"person {number:05}")  # more than a tenth: rewritten
    open_index(gallery)
    assert [(part["rows"], part["faces"]) for part in index_parts(gallery)] == [(1820, 1820)]
    answers_right(gallery)
    assert verify(gallery.folder, repair=True).index == ""


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_read_only_folder_the_same_answers_and_no_file_is_touched(
    gallery: Store, kind: str, monkeypatch: pytest.MonkeyPatch
):
    indexed(gallery, kind)
    gallery.eraser.delete("person 00001")
    gallery.faces.add(people(450, seed=5, first=300))  # too many to be searched beside it
    before = {path.name: path.read_bytes() for path in gallery.folder.glob("vectors*")}
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: False if mode == os.W_OK else real(path, mode))
    answers_right(gallery)
    assert {path.name: path.read_bytes() for path in gallery.folder.glob("vectors*")} == before


def test_a_kind_that_is_none_is_refused_and_the_choice_stays(gallery: Store):
    choose_index(gallery, "bits2")
    for wrong in ("IVF8,SQ8", "bits3", "", "flat "):
        with refused(BadIndex, "auto, flat, bits1, bits2"):
            choose_index(gallery, wrong)
    assert chosen_index(gallery) == "bits2"


def test_an_index_in_faiss_words_as_version_0_1_0_made_it_is_rebuilt_as_auto(gallery: Store):
    gallery.notes.set_index("IVF8,SQ8")
    refresh(gallery, "test")
    path = gallery.folder / MANIFEST
    manifest = json.loads(path.read_text())
    entry = {**manifest["segments"][0], "kind": "IVF8,SQ8", "setting": 4}
    path.write_text(json.dumps({**manifest, "segments": [entry]}))
    assert chosen_index(gallery) == AUTO and "not made any more" in is_current(gallery)[1]
    answers_right(gallery)
    assert [part["kind"] for part in index_parts(gallery)] == [FLAT]


def test_an_encrypted_gallery_keeps_its_index_in_memory_alone(tmp_path: Path):
    from facesearch.gallery.store.keys import Key

    pytest.importorskip("cryptography")
    key = Key(bytes(range(32)), "a test")
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder", key) as gallery:
        gallery.faces.add(people(100))
        for kind in KINDS:
            choose_index(gallery, kind)
            answers_right(gallery)
        assert (
            sorted(
                path.name.split("-")[0] for path in gallery.folder.iterdir() if not path.name.startswith(FILE)
            )
            == []
        )


# ---- filters, counts, the commands


def test_a_filter_keeps_to_its_people_and_an_unknown_name_is_the_usual_error(gallery: Store, tmp_path: Path):
    indexed(gallery, "bits1")
    gallery.faces.add(people(1, seed=5, first=300))  # beside the files
    index = open_index(gallery)
    query = people(1, 1)[0].vector
    assert nearest_people(gallery, index, query, 2)[0].person == "person 00000"
    among = Among.of(gallery, index, ["person 00009", "person 00300"])
    found = nearest_people(gallery, index, query, 5, among)
    assert {match.person for match in found} == {"person 00009", "person 00300"} and all(
        match.photos == 5 for match in found
    )
    with pytest.raises(UnknownPerson, match="Did you mean"):
        gallery.faces.ids(["person 0009"])
    (tmp_path / "names.txt").write_text("person 00009\n\nperson 00300\n")
    assert _named_in(tmp_path / "names.txt") == ["person 00009", "person 00300"]
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(NothingToDo, match="No name"):
        _named_in(tmp_path / "none.txt")


def test_counting_by_the_index_is_counting(gallery: Store):
    assert count_faces(gallery) == 1500  # no index yet
    refresh(gallery, "test")
    gallery.faces.add(people(3, seed=5, first=300))
    assert count_faces(gallery) == 1515
    gallery.eraser.delete("person 00000")
    assert count_faces(gallery) == 1510
    erase_from_index(gallery)
    assert count_faces(gallery) == 1510


@pytest.mark.slow
def test_the_commands(run, tmp_path: Path, album: Path, weights: Path):
    use = ("--aligned", "--weights", weights)
    run("enroll", "--from", album, *use)
    made = run("verify", "--rebuild", "--index", "bits1").stdout
    assert (
        "rebuilt the index: bits1, 48 faces" in made
        and "bits1: 48 faces, the best 200 compared exactly" in made
    )
    facts = run("info").stdout
    assert "bits1: 48 faces" in facts and "chosen index" in facts
    assert "IVF8,SQ8" in run("verify", "--rebuild", "--index", "IVF8,SQ8", code=2).stderr
    photo = sorted((album / "p001").iterdir())[0]
    assert "p001  8 photos, nearest: 00.png (1.000)" in run("query", photo, *use, "--threshold", "0.9").stdout
    answer = run("query", photo, *use, "--among", "p002", "--among", "p003").stdout
    assert "p002" in answer and "p003" in answer and "p001 " not in answer.replace(str(photo), "")
    (tmp_path / "names").write_text("p004\n")
    answer = run("query", photo, *use, "--among-file", "names").stdout
    assert "p004" in answer and "p002" not in answer
    assert "Nobody called 'p0' is enrolled" in run("query", photo, *use, "--among", "p0", code=1).stderr


def test_an_index_that_is_rebuilt_for_the_same_state_changes_no_byte_of_the_gallery(gallery: Store):
    refresh(gallery, "test")
    gallery.eraser.cut_log()
    before = (gallery.folder / FILE).read_bytes()
    for path in [*gallery.folder.glob("vectors*")]:
        path.unlink()
    assert open_index(gallery).built
    gallery.eraser.cut_log()
    assert (gallery.folder / FILE).read_bytes() == before
    gallery.faces.add(people(1, seed=5, first=300))
    refresh(gallery, "test")
    gallery.eraser.cut_log()
    assert (gallery.folder / FILE).read_bytes() != before and is_current(gallery)[0]
