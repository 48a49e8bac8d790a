"""One template a person, in step with their photos through every change, searched first, erased with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facesearch.errors import CorruptGallery
from facesearch.gallery.encrypt import decrypt, encrypt
from facesearch.gallery.forget import forget
from facesearch.gallery.index import faiss_index
from facesearch.gallery.index.choice import choose_index
from facesearch.gallery.index.faiss_index import open_for, open_index, refresh, update
from facesearch.gallery.move import move
from facesearch.gallery.nearest import Among, nearest_people, nearest_to_each
from facesearch.gallery.rename import rename
from facesearch.gallery.store.rewriting import take_vectors_of
from facesearch.gallery.store.rows import NewFace, Threshold, template_checksum
from facesearch.gallery.store.schema import FILE, is_ours
from facesearch.gallery.store.store import Store
from facesearch.gallery.transfer import export, import_into
from facesearch.gallery.verify import verify
from tests.helpers.encrypted import FACES, KEY, NAMES, OTHER
from tests.helpers.index import KINDS, asked, people

WAY = "mean-template"
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def gallery(three_hundred_people: Store) -> Store:
    return three_hundred_people


@pytest.fixture
def few_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of templates has files from 40 people on."""
    monkeypatch.setattr(faiss_index, "DELTA_LIMIT", 40)
    monkeypatch.setattr(faiss_index._bring_up_to_date, "__defaults__", (40,))


def by_hand(gallery: Store) -> dict[str, np.ndarray]:
    """The slow, obvious twin: the mean of each person's vectors, of length 1, in half precision."""
    means = {}
    for person in gallery.faces.people():
        mean = gallery.faces.vectors_of(person.name).astype(np.float64).mean(axis=0)
        means[person.name] = (mean / np.linalg.norm(mean)).astype(np.float16).astype(np.float32)
    return means


def kept_right(gallery: Store) -> bool:
    """Whether there is one template a person, and it is what is computed by hand."""
    means = by_hand(gallery)
    _, vectors, names = gallery.templates.vectors()
    assert sorted(names) == sorted(means) and not list(gallery.templates.wrong())
    return all(np.allclose(means[name], own, atol=1e-3) for name, own in zip(names, vectors, strict=True))


def answers_right(gallery: Store, top: int = 5) -> None:
    means = by_hand(gallery)
    index = open_for(gallery, WAY)
    assert index.finds == "templates" and index.faces == len(gallery)
    for query, (nearest, score) in zip(asked(), nearest_to_each(gallery, index, asked(), WAY), strict=True):
        scores = {name: float(mean @ query) for name, mean in means.items()}
        best = sorted(scores, key=lambda name: -scores[name])[:top]
        found = nearest_people(gallery, index, query, top, by=WAY)
        assert [match.person for match in found] == best and nearest == best[0]
        assert [match.score for match in found] == pytest.approx([scores[name] for name in best], abs=2e-3)
        assert score == found[0].score
        photos = gallery.faces.vectors_of(best[0]) @ query
        assert [one.score for one in found[0].support] == pytest.approx(sorted(photos)[:-4:-1], abs=1e-5)
        assert found[0].photos == len(photos)


# ---- in step with the photos


def test_every_change_of_a_person_changes_their_template(tmp_path: Path):
    folder = tmp_path / "g"
    with Store.create(folder, "e" * 64, 64, "encoder") as gallery:
        gallery.faces.add(people(12))
        assert kept_right(gallery)
        gallery.faces.add(people(1, 9)[5:])  # more photos of somebody
        assert kept_right(gallery)
        photo = gallery.faces.photos_of("person 00003")[0]
        before = gallery.templates.of_people(["person 00003"])["person 00003"]
    forget("person 00003", folder, [], print, contents={photo[1]})
    move("person 00004", {_hash(folder, "person 00004")}, "person 00005", folder, print)
    rename("person 00006", "Somebody Else", folder, join=False)
    rename("person 00007", "person 00008", folder, join=True)
    forget("person 00009", folder, (), print)
    with Store.open(folder) as gallery:
        assert kept_right(gallery) and len(gallery.templates) == 10
        assert not np.allclose(gallery.templates.of_people(["person 00003"])["person 00003"], before)
    export(folder, tmp_path / "out.sqlite")
    import_into(tmp_path / "out.sqlite", tmp_path / "other", lambda done, total: None)
    with Store.open(tmp_path / "other") as other:
        assert kept_right(other) and len(other.templates) == 10


def _hash(folder: Path, person: str) -> str:
    with Store.open(folder) as gallery:
        return gallery.faces.photos_of(person)[0][1]


def test_another_encoder_brings_other_templates(tmp_path: Path, gallery: Store):
    with Store.create(tmp_path / "next", "f" * 64, 64, "another") as fresh:
        fresh.faces.add([_mirrored(face) for face in people(299)])  # one person is not there any more
        take_vectors_of(gallery, fresh)
    assert kept_right(gallery) and len(gallery.templates) == 299
    answered = nearest_people(gallery, open_for(gallery, WAY), -people(8, 1)[7].vector, 1, by=WAY)
    assert answered[0].person == "person 00007"


def _mirrored(face: NewFace) -> NewFace:
    return NewFace(face.person, face.sha256, face.source, -face.vector)


def test_photos_that_cancel_each_other_out_have_no_template_and_harm_nobody(gallery: Store):
    one = people(1, 1, seed=8, first=900)[0]
    gallery.faces.add([one, NewFace(one.person, "f" * 64, "other.jpg", -one.vector)])
    assert one.person not in gallery.templates.of_people([one.person]) and len(gallery.templates) == 300
    assert "template" not in verify(gallery.folder, repair=False).index
    found = nearest_people(gallery, open_for(gallery, WAY), people(1)[0].vector, 1, by=WAY)
    assert found[0].person == "person 00000"


# ---- searched


@pytest.mark.parametrize("kind", KINDS)
def test_templates_are_searched_by_every_kind_of_index(gallery: Store, few_beside: None, kind: str):
    choose_index(gallery, kind)
    refresh(gallery, "test")
    assert list(gallery.folder.glob("templates-*.faiss"))
    answers_right(gallery)
    gallery.faces.add([*people(8, 7, first=2)[5:7], *people(20, seed=5, first=300)])  # beside the files
    answers_right(gallery)
    gallery.faces.add(people(60, seed=6, first=400))
    for number in (1, 4, 250):
        gallery.eraser.delete(f"person {number:05}")
    answers_right(gallery)
    update(gallery)
    answers_right(gallery)
    assert not verify(gallery.folder, repair=False).index


def test_up_to_so_many_people_there_is_no_file_of_templates(gallery: Store):
    refresh(gallery, "test")
    answers_right(gallery)
    assert not list(gallery.folder.glob("templates*"))


def test_an_index_that_was_opened_before_a_change_still_knows_everybody(gallery: Store, few_beside: None):
    refresh(gallery, "test")
    index = open_for(gallery, WAY)
    person = people(1, 1)[0]
    gallery.faces.add(people(1, 9)[5:])
    gallery.eraser.delete("person 00002")
    (match,) = nearest_people(gallery, index, person.vector, 1, by=WAY)
    assert match.person == person.person and match.photos == 9
    everybody = nearest_people(gallery, index, person.vector, 400, by=WAY)
    assert len(everybody) == 299 and len({one.person for one in everybody}) == 299
    among = Among.of(gallery, index, [person.person, "person 00003"])
    assert among.faces == 14
    found = nearest_people(gallery, index, person.vector, 5, among, WAY)
    assert [one.person for one in found] == [person.person, "person 00003"]


def test_scores_by_photo_need_no_files_of_templates(gallery: Store, few_beside: None):
    gallery.notes.set_threshold(Threshold(0.5, 0.01, "by hand", 300, 1500, by=WAY))
    refresh(gallery, "test")
    assert list(gallery.folder.glob("templates*"))
    gallery.notes.set_threshold(Threshold(0.5, 0.01, "by hand", 300, 1500, by="best-photo"))
    assert open_for(gallery, gallery.notes.scored_by).finds == "photos"
    update(gallery)
    assert not list(gallery.folder.glob("templates*"))


# ---- galleries from before


def without_templates(folder: Path) -> None:
    with sqlite3.connect(folder / FILE) as db:
        db.execute("DROP TABLE templates")
        assert is_ours(db)


def test_a_gallery_from_before_answers_alike_and_gets_templates_with_its_first_change(gallery: Store):
    now = nearest_people(gallery, open_for(gallery, WAY), asked()[0], 5, by=WAY)
    without_templates(gallery.folder)
    with Store.open(gallery.folder) as old:
        index = open_for(old, WAY)
        assert index.finds == "photos"
        before = nearest_people(old, index, asked()[0], 5, by=WAY)
        assert [one.person for one in before] == [one.person for one in now]
        assert [one.score for one in before] == pytest.approx([one.score for one in now], abs=1e-3)
        forget("person 00009", old.folder, (), print)
        assert not old.templates.are_kept() and not list(old.templates.stored(10)) and not len(old.templates)
        old.faces.add(people(1, 6, first=3)[5:])
        assert old.templates.are_kept() and kept_right(old) and len(old.templates) == 299
        answers_right(old)


# ---- erased


def pieces(*vectors: np.ndarray) -> set[bytes]:
    blobs = [vector.astype("<f2").tobytes() for vector in vectors]
    return {blob[i : i + 16] for blob in blobs for i in range(0, len(blob) - 15, 8)}


def holding(folder: Path, wanted: set[bytes]) -> list[str]:
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [name for name, data in files.items() if any(piece in data for piece in wanted)]


@pytest.mark.parametrize("part", ["the whole person", "one photo"])
def test_forgetting_leaves_no_byte_of_a_template(gallery: Store, few_beside: None, part: str):
    gallery.notes.set_threshold(Threshold(0.5, 0.01, "by hand", 300, 1500, by=WAY))
    refresh(gallery, "test")
    gone = pieces(gallery.templates.of_people(["person 00007"])["person 00007"])
    assert any(name.startswith("templates-") for name in holding(gallery.folder, gone))
    photo = gallery.faces.photos_of("person 00007")[0]
    contents = set() if part == "the whole person" else {photo[1]}
    forget("person 00007", gallery.folder, (), print, contents=contents)
    assert not holding(gallery.folder, gone)
    answers_right(gallery)


def test_the_proof_looks_for_templates_too(gallery: Store, monkeypatch: pytest.MonkeyPatch):
    """With the deletion of the row switched off, the bytes stay and it is noticed."""
    from facesearch.errors import StillThere
    from facesearch.gallery import forget as erase

    kept = gallery.templates.of_people(["person 00007"])["person 00007"]
    monkeypatch.setattr(erase.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(type(gallery.eraser), "alive", lambda self, wanted: set())
    (gallery.folder / "left.bin").write_bytes(kept.astype("<f2").tobytes())
    with pytest.raises(StillThere, match=r"left\.bin"):
        forget("person 00007", gallery.folder, (), print)


# ---- encrypted, damaged


def test_an_encrypted_gallery_keeps_its_templates_encrypted(sealed: Path, plain: Path):
    with Store.open(sealed, KEY) as gallery:
        templates = gallery.templates.of_people(NAMES)
        answered = nearest_people(gallery, open_for(gallery, WAY), FACES[0].vector, 4, by=WAY)
    assert len(templates) == 4 and not holding(sealed, pieces(*templates.values()))
    assert holding(plain, pieces(*templates.values()))
    encrypt(plain, KEY)
    assert not holding(plain, pieces(*templates.values()))
    encrypt(plain, KEY, OTHER)
    with Store.open(plain, OTHER) as gallery:
        again = nearest_people(gallery, open_for(gallery, WAY), FACES[0].vector, 4, by=WAY)
        assert [(one.person, one.score) for one in again] == [(one.person, one.score) for one in answered]
        assert not list(gallery.templates.wrong())
    decrypt(plain, OTHER)
    with Store.open(plain) as gallery:
        assert not list(gallery.templates.wrong())


def changed(what: str) -> Callable[[sqlite3.Connection], None]:
    if what == "bytes of another":
        blob = "(SELECT vector FROM templates WHERE template_id = 2)"
        return lambda db: db.execute(f"UPDATE templates SET vector = {blob} WHERE template_id = 1")
    if what == "given to somebody else":
        return lambda db: db.executescript(
            "UPDATE templates SET person_id = 999 WHERE person_id = 1;"
            "UPDATE templates SET person_id = 1 WHERE person_id = 2;"
            "UPDATE templates SET person_id = 2 WHERE person_id = 999;"
        )
    return lambda db: db.execute("DELETE FROM templates WHERE template_id = 1")


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@pytest.mark.parametrize("what", ["bytes of another", "given to somebody else"])
def test_a_template_that_somebody_changed_is_refused_and_mended(
    plain: Path, sealed: Path, what: str, key: object
):
    folder = sealed if key else plain
    with sqlite3.connect(folder / FILE) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        changed(what)(db)
    with Store.open(folder, key) as gallery, pytest.raises(CorruptGallery, match="template"):
        nearest_people(gallery, open_for(gallery, WAY), FACES[0].vector, 4, by=WAY)
    found = verify(folder, repair=True, key=key)
    assert "template" in found.index and "templates of all people" in found.mended[0] and not found.problems
    assert verify(folder, repair=False, key=key).index == ""


@pytest.mark.parametrize("what", ["none", "of other photos"])
def test_a_template_that_is_missing_or_of_other_photos_is_found_and_mended(plain: Path, what: str):
    with Store.open(plain) as gallery, sqlite3.connect(plain / FILE) as db:
        if what == "none":
            changed(what)(db)
        else:
            ((name, photos),) = db.execute(
                "SELECT name, photos FROM templates JOIN people USING (person_id) WHERE template_id = 1"
            ).fetchall()
            blob = FACES[3].vector.astype("<f2").tobytes()
            values = (blob, template_checksum(name, photos, blob))
            db.execute("UPDATE templates SET vector = ?, checksum = ? WHERE template_id = 1", values)
        db.commit()
        assert len(list(gallery.templates.wrong())) == 1
    assert "not the mean" in verify(plain, repair=True).index
    with Store.open(plain) as gallery:
        assert not list(gallery.templates.wrong()) and len(gallery.templates) == 4


def test_a_row_that_cannot_be_read_takes_no_part_and_can_be_forgotten(plain: Path):
    with sqlite3.connect(plain / FILE) as db:
        db.execute("UPDATE faces SET checksum = checksum + 1 WHERE face_id = 1")
    with Store.open(plain) as gallery:
        gallery.faces.add([NewFace(NAMES[0], "a" * 64, "new.jpg", FACES[4].vector)])
        assert gallery.templates.photos_of(gallery.templates.ids().tolist()) == 40
        index = open_index(gallery, "templates")
        assert len(index) == 4
    forget(NAMES[0], plain, (), print)
    assert verify(plain, repair=False).problems == ()
