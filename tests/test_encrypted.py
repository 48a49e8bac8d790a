"""An encrypted gallery: it answers as a plain one does, and its files hold nothing that a plain one's hold."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facesearch.errors import (
    CorruptGallery,
    FacesearchError,
    GalleryChanged,
    KeyMissing,
    NameTaken,
    NotEncrypted,
    StillThere,
    UnknownPerson,
    UnknownPhoto,
    WrongKey,
)
from facesearch.faces.table import Dataset
from facesearch.faces.toy import draw_people
from facesearch.gallery import faiss_index
from facesearch.gallery.cipher import PLAIN, new_cipher
from facesearch.gallery.faiss_index import is_current, open_index, refresh
from facesearch.gallery.index_files import drop_files
from facesearch.gallery.keys import Key
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.rows import NewFace, Threshold, checksum_of, vector_bytes
from facesearch.gallery.store import FILE, NEXT, Gallery
from facesearch.jobs import encrypt as job
from facesearch.jobs import erase
from facesearch.jobs.build import build_index
from facesearch.jobs.care import export, import_into, rename, verify
from facesearch.jobs.encrypt import decrypt, encrypt
from facesearch.jobs.erase import forget
from facesearch.jobs.reindex import reindex
from tests.conftest import ColourEncoder, refused
from tests.test_care import quiet
from tests.test_reindex import WideEncoder
from tests.test_store import D, unit

KEY, OTHER = Key(bytes(range(32)), "a test"), Key(bytes(32), "another test")
NAMES = ["Zanzibar Quetzalcoatl", "Ada Lovelace", "李小龍李小龍", "Žofie Nováková"]


def tell(line: str) -> None:
    pass


def face(person: str, seed: int, source: str = "") -> NewFace:
    return NewFace(person, f"{seed:x}".rjust(64, "7"), source or f"holiday-{seed:06d}.jpg", unit(seed)[0])


FACES = [face(NAMES[i % 4], i) for i in range(40)]


def contents(folder: Path, key: Key | None = None) -> set[tuple[str, str, str, bytes]]:
    with Gallery.open(folder, key) as gallery:
        return {(name, sha256, source, blob) for rows in gallery.batches(7) for _, name, sha256, source, blob, _ in rows}


@pytest.fixture
def key() -> Key:
    return KEY


@pytest.fixture
def folder(tmp_path: Path, key: Key) -> Path:
    with Gallery.create(tmp_path / "g", "e" * 64, D, "encoder in words", key) as gallery:
        gallery.add(FACES)
        gallery.set_threshold(Threshold(0.5, 0.01, "by hand", 300, 40))
    return tmp_path / "g"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The same in plain, with its index."""
    with Gallery.create(tmp_path / "p", "e" * 64, D, "encoder in words") as gallery:
        gallery.add(FACES)
        gallery.set_threshold(Threshold(0.5, 0.01, "by hand", 300, 40))
        refresh(gallery, "test")
    return tmp_path / "p"


def traces(place: Path, faces: Iterable[NewFace] = FACES) -> list[str]:
    """The slow, obvious way: files that hold any 16 bytes of a vector, a name, a source or a content hash, in any usual form."""
    needles: set[bytes] = set()
    for each in faces:
        blob = vector_bytes(each.vector, D)
        needles |= {blob[i : i + 16] for i in range(len(blob) - 15)} | {each.vector.tobytes()[:16]}
        for text in (each.person, each.source, each.sha256):
            needles |= {text.encode(), text.encode("utf-16-le"), text.encode().hex().encode()}
        needles |= {bytes.fromhex(each.sha256), str(each.person.encode())[2:-1].encode()}
    files = [path for path in place.rglob("*") if path.is_file()]
    assert files
    return [str(path.relative_to(place)) for path in files if any(needle in path.read_bytes() for needle in needles)]


# ---- the same answers, nothing on disk


def test_it_answers_as_a_plain_one_does(folder: Path, plain: Path):
    with Gallery.open(folder, KEY) as one, Gallery.open(plain, KEY, either=True) as two:
        assert one.sealed and not two.sealed and is_current(one) == (True, "in memory only, since the gallery is encrypted")
        assert one.people() == two.people() and one.known_photos() == two.known_photos() and one.threshold() == two.threshold()
        assert [one.photos_of(name) for name in NAMES] == [two.photos_of(name) for name in NAMES]
        assert one.enrolled()[0] == two.enrolled()[0] and np.array_equal(one.enrolled()[1], two.enrolled()[1])
        assert np.array_equal(one.vectors_of(NAMES[2]), two.vectors_of(NAMES[2])) and one.vectors_of("nobody").shape == (0, D)
        assert one.has_photo(NAMES[0], FACES[0].sha256) and not one.has_photo(NAMES[1], FACES[0].sha256)
        assert one.photo_counts(NAMES) == two.photo_counts(NAMES)
        for seed in (3, 77):
            asked = unit(seed)[0]
            assert nearest_people(one, open_index(one), asked, 4) == nearest_people(two, open_index(two), asked, 4)
        with pytest.raises(UnknownPerson, match="Did you mean 'Ada Lovelace'"):
            one.forget("Ada Lovelac")
    assert contents(folder, KEY) == {(f.person, f.sha256, f.source, vector_bytes(f.vector, D)) for f in FACES}


def test_no_file_holds_a_name_a_source_a_hash_or_a_vector(folder: Path, plain: Path):
    assert len(traces(plain)) >= 2  # what is searched for is what a plain gallery holds
    with Gallery.open(folder, KEY) as gallery:  # the log is there as long as it is open
        gallery.add([face("Eva Luna", 1000)])
        assert (folder / f"{FILE}-wal").stat().st_size
        nearest_people(gallery, open_index(gallery), unit(1)[0], 3)
        refresh(gallery, "test")
        every = [*FACES, face("Eva Luna", 1000), face("Eva Luna's new name", 1000)]
        assert traces(folder, every) == []
        rename("Eva Luna", "Eva Luna's new name", folder, join=False, key=KEY)
        assert traces(folder, every) == []
    forget("Ada Lovelace", folder, (), tell, key=KEY)
    export(folder, folder / "out", key=KEY)
    verify(folder, repair=True, key=KEY)
    assert traces(folder, every) == [] and not list(folder.glob("vectors*")) and not (folder / "vectors.json").exists()


ENDLESS = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.test_encrypted import KEY, Gallery, face, open_index, rename
with Gallery.open(Path({folder!r}), KEY) as gallery:
    i = {start}
    while True:
        gallery.add([face("Person of the moment", i), face("Another of the moment", i + 500_000)])
        rename("Another of the moment", "Another of the moment", gallery.folder, join=False, key=KEY)
        print(i, flush=True)
        open_index(gallery)
        i += 1
"""


def test_a_killed_writer_leaves_nothing_in_plain_and_loses_nothing(folder: Path):
    confirmed = 999
    for round_no in range(4):
        code = ENDLESS.format(root=str(Path(__file__).parents[1]), folder=str(folder), start=confirmed + 1)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(2 + 3 * round_no):
                confirmed = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split()
            confirmed = int(rest[-1]) if rest else confirmed
        numbers = range(1000, confirmed + 2)
        both = [*(face("Person of the moment", i) for i in numbers), *(face("Another of the moment", i + 500_000) for i in numbers)]
        assert traces(folder, [*FACES, *both]) == []
        with Gallery.open(folder, KEY) as opened:
            people = opened.vectors()[2]
            assert people.count("Person of the moment") == people.count("Another of the moment") >= confirmed - 999
        confirmed = 999 + people.count("Person of the moment")
    assert verify(folder, repair=False, key=KEY).problems == ()


FEW = st.sampled_from(NAMES)
DEEDS = st.one_of(
    st.tuples(st.just("add"), FEW, st.integers(0, 9), st.integers(0, 2)),
    st.tuples(st.just("rename"), FEW, FEW, st.booleans()),
    st.tuples(st.just("forget"), FEW, st.none() | st.integers(0, 9), st.just(0)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(DEEDS, max_size=12))
def test_whatever_is_done_a_plain_twin_comes_out_the_same(tmp_path: Path, deeds: list[tuple[str, str, object, object]]):
    for old in tmp_path.iterdir():
        shutil.rmtree(old)
    with (
        Gallery.create(tmp_path / "sealed", "e" * 64, D, "", KEY) as sealed,
        Gallery.create(tmp_path / "plain", "e" * 64, D, "") as twin,
    ):
        for verb, name, what, how in deeds:
            outcomes = []
            for gallery in (sealed, twin):
                try:
                    if verb == "add":
                        outcomes.append(gallery.add([face(name, int(str(what)), f"source number {how}")]))
                    elif verb == "rename":
                        outcomes.append(gallery.rename(name, str(what), join=bool(how)))
                    else:
                        chosen = None if what is None else (lambda sha256, source, what=what: sha256.endswith(str(what)))
                        outcomes.append(gallery.forget(name, chosen).note.faces)
                except (UnknownPerson, UnknownPhoto, NameTaken) as error:
                    outcomes.append(type(error))
            assert outcomes[0] == outcomes[1], (verb, name, what, how)
            assert sealed.known_photos() == twin.known_photos() and sealed.people() == twin.people()
            assert sealed.vectors()[0].tolist() == twin.vectors()[0].tolist()
        assert [row[:-1] for rows in sealed.batches() for row in rows] == [row[:-1] for rows in twin.batches() for row in rows]
        assert sealed.problems() == twin.problems() == []
        assert (
            traces(tmp_path / "sealed", [face(name, i, f"source number {k}") for name in NAMES for i in range(10) for k in range(3)]) == []
        )


# ---- keys


def test_without_the_right_key_nothing_is_read_or_changed(folder: Path):
    before = (folder / FILE).read_bytes()
    verbs = (
        lambda: Gallery.open(folder, OTHER), lambda: Gallery.create(folder, "e" * 64, D, "", OTHER),
        lambda: verify(folder, repair=True, key=OTHER),
    )  # fmt: skip
    for verb in verbs:
        with refused(WrongKey, r"another key than (.|\n)* the one in another test"):
            verb()
    assert (folder / FILE).read_bytes() == before
    with pytest.raises(WrongKey):
        Gallery.open(folder, OTHER)


def test_no_key_for_an_encrypted_gallery(tmp_path: Path):
    Gallery.create(tmp_path / "g", "e" * 64, D, "", KEY).close()
    for verb in (Gallery.open, lambda place: Gallery.create(place, "e" * 64, D, ""), lambda place: export(place, tmp_path / "out")):
        with refused(KeyMissing, "FACESEARCH_KEY_FILE"):
            verb(tmp_path / "g")


def test_a_key_in_the_environment_is_the_commands_alone(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The library works with the key that it is given, and with none where it is given none."""
    monkeypatch.setenv("FACESEARCH_KEY", KEY.secret.hex())
    (tmp_path / "k").write_text(KEY.secret.hex())
    (tmp_path / "k").chmod(0o600)
    monkeypatch.setenv("FACESEARCH_KEY_FILE", str(tmp_path / "k"))
    deeds = (
        lambda: Gallery.open(folder), lambda: Gallery.create(folder, "e" * 64, D, ""), lambda: verify(folder, repair=True),
        lambda: rename(NAMES[0], "Eva", folder, join=False), lambda: export(folder, tmp_path / "out"), lambda: decrypt(folder, None),
        lambda: forget(NAMES[0], folder, (), tell), lambda: import_into(folder, tmp_path / "new", quiet),
    )  # fmt: skip
    for deed in deeds:
        with pytest.raises(KeyMissing):
            deed()
    assert not (tmp_path / "out").exists() and not (tmp_path / "new").exists()
    with Gallery.create(tmp_path / "made", "e" * 64, D, "") as made:
        assert not made.sealed


def test_a_key_for_a_plain_gallery_is_refused_before_anything_is_added(plain: Path):
    """Whoever takes the encrypted gallery away and puts a plain one there does not get the next names."""
    for verb in (lambda: Gallery.open(plain, KEY), lambda: Gallery.create(plain, "e" * 64, D, "", KEY)):
        with refused(NotEncrypted, "facesearch encrypt"):
            verb()


def test_a_plain_gallery_is_as_it_always_was(plain: Path):
    with sqlite3.connect(plain / FILE) as db:
        meta = dict(db.execute("SELECT key, value FROM meta"))
        assert meta["format"] == "1" and set(meta) == {"format", "encoder_id", "dimension", "encoder", "generation", "threshold"}
        row = db.execute(
            "SELECT name, sha256, source, vector, checksum FROM faces JOIN people USING (person_id) WHERE face_id = 1"
        ).fetchone()
    assert row == (FACES[0].person, FACES[0].sha256, FACES[0].source, blob := vector_bytes(FACES[0].vector, D), checksum_of(*row[:3], blob))


@pytest.mark.parametrize(
    "sql", ["DELETE FROM meta WHERE key = 'cipher'", "UPDATE meta SET value = '1' WHERE key = 'format'",
            "UPDATE meta SET value = '[]' WHERE key = 'cipher'"],
)  # fmt: skip
def test_a_description_that_does_not_fit_is_damage(folder: Path, sql: str):
    with sqlite3.connect(folder / FILE) as db:
        db.execute(sql)
    with pytest.raises(CorruptGallery, match="encrypt"):
        Gallery.open(folder, KEY)


# ---- tampering


def tampered(folder: Path, sql: str) -> None:
    """Change rows, and give every row the checksum that fits it, as somebody would who does it on purpose."""
    with sqlite3.connect(folder / FILE) as db:
        db.create_function("fits", 4, checksum_of)
        db.execute(sql)
        db.execute("UPDATE faces SET checksum = fits((SELECT name FROM people WHERE person_id = faces.person_id), sha256, source, vector)")


TAMPERED = {
    "a vector of another row": "UPDATE faces SET vector = (SELECT vector FROM faces WHERE face_id = 9) WHERE face_id = 5",
    "a photo given to somebody else": "UPDATE faces SET person_id = person_id % 4 + 1 WHERE face_id = 5",
    "a hash of another row": "UPDATE faces SET sha256 = (SELECT sha256 FROM faces WHERE face_id = 9) WHERE face_id = 5",
    "a source of another row": "UPDATE faces SET source = (SELECT source FROM faces WHERE face_id = 9) WHERE face_id = 5",
    "a vector in plain": "UPDATE faces SET vector = zeroblob(32) WHERE face_id = 5",
    "a shorter vector": "UPDATE faces SET vector = substr(vector, 1, 40) WHERE face_id = 5",
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_row_that_somebody_changed_is_named_and_never_answered(folder: Path, what: str):
    tampered(folder, TAMPERED[what])
    with Gallery.open(folder, KEY) as gallery:
        for read in (lambda: gallery.faces([5]), gallery.enrolled, lambda: open_index(gallery), lambda: list(gallery.batches())):
            with pytest.raises(CorruptGallery, match=r"the row of face 5.*not sealed so with this gallery's key"):
                read()
    (problem,) = verify(folder, repair=True, key=KEY).problems
    assert problem.startswith("face 5: it was not sealed so")
    with pytest.raises(CorruptGallery, match="face 5"):
        import_into(folder, folder.parent / "new", quiet, key=KEY)
    assert not (folder.parent / "new").exists()


def test_two_people_whose_names_were_exchanged(folder: Path):
    with sqlite3.connect(folder / FILE) as db:
        (one,), (two,) = db.execute("SELECT name FROM people WHERE person_id IN (1, 2) ORDER BY person_id").fetchall()
        db.executemany("UPDATE people SET name = ? WHERE person_id = ?", [(b"", 1), (one, 2), (two, 1)])
    tampered(folder, "SELECT 1")
    problems = verify(folder, repair=True, key=KEY).problems
    assert len(problems) == 20 and all("it was not sealed so" in problem for problem in problems)
    with Gallery.open(folder, KEY) as gallery, pytest.raises(CorruptGallery):
        nearest_people(gallery, open_index(gallery), unit(0)[0], 1)


def test_a_name_in_plain_in_an_encrypted_gallery(folder: Path):
    with sqlite3.connect(folder / FILE) as db:
        db.execute("UPDATE people SET name = 'Mallory' WHERE person_id = 1")
    with Gallery.open(folder, KEY) as gallery, pytest.raises(CorruptGallery):
        gallery.people()
    assert len(verify(folder, repair=True, key=KEY).problems) == 10


def test_a_flipped_bit_anywhere_is_noticed_or_of_no_consequence(folder: Path):
    whole, expected = (folder / FILE).read_bytes(), contents(folder, KEY)
    noticed = 0
    for place in range(0, len(whole), 211):
        data = bytearray(whole)
        data[place] ^= 0x55
        (folder / FILE).write_bytes(data)
        try:
            if verify(folder, repair=False, key=KEY).problems:
                noticed += 1
            else:
                assert contents(folder, KEY) == expected, place
        except FacesearchError:
            noticed += 1
    assert noticed > 20


def test_what_cannot_be_read_any_more_can_still_be_forgotten(folder: Path):
    tampered(folder, "UPDATE faces SET vector = randomblob(48) WHERE face_id = 1")
    assert forget(NAMES[0], folder, (), tell, key=KEY)[0].photos == 10
    assert verify(folder, repair=True, key=KEY).problems == ()


# ---- forgetting


def at_rest(folder: Path, person: str) -> set[bytes]:
    """Pieces of all ciphertexts of a person."""
    with sqlite3.connect(folder / FILE) as db, Gallery.open(folder, KEY) as gallery:
        name = gallery.cipher.seal_name(person)
        rows = db.execute("SELECT name, sha256, source, vector FROM faces JOIN people USING (person_id) WHERE name = ?", (name,)).fetchall()
    assert rows
    return {value[i : i + 16] for row in rows for value in row for i in range(0, len(value) - 15, 8)}


def test_forgetting_leaves_no_byte_of_the_ciphertexts_either(folder: Path):
    pieces = at_rest(folder, NAMES[0])
    receipt, path = forget(NAMES[0], folder, (), tell, key=KEY)
    assert receipt.photos == 10 and "as they lay there encrypted" in receipt.verified
    assert not any(piece in file.read_bytes() for piece in pieces for file in folder.rglob("*") if file.is_file())
    assert traces(folder) == [] and "zanzibar" not in path.read_text().lower()


@pytest.mark.parametrize("copy", ["sealed", "plain"])
def test_a_copy_that_is_kept_in_the_folder_is_found_and_named(folder: Path, plain: Path, copy: str):
    shutil.copy((folder if copy == "sealed" else plain) / FILE, folder / "my-backup.sqlite")
    with pytest.raises(StillThere, match=r"my-backup\.sqlite"):
        forget(NAMES[0], folder, (), tell, key=KEY)


def test_a_name_as_it_was_sealed_is_looked_for_too(folder: Path):
    with Gallery.open(folder, KEY) as gallery:
        (folder / "notes").write_bytes(b"..." + bytes(gallery.cipher.seal_name(NAMES[0])))  # type: ignore[arg-type]
    with pytest.raises(StillThere, match="notes"):
        forget(NAMES[0], folder, (), tell, key=KEY)


def test_a_person_called_as_a_word_of_ours_can_be_forgotten(plain: Path):
    with Gallery.open(plain) as gallery:
        gallery.add([face("encoder", 900, "generation"), face("whole_person", 901, "vectors.json")])
    assert forget("encoder", plain, (), tell)[0].names_too_short_to_search == 2
    assert forget("whole_person", plain, (), tell)[0].names_too_short_to_search == 2


def test_the_note_of_an_erasure_does_not_let_names_be_tried_out(folder: Path):
    """Salt and digest lie there in plain: without the key, nobody can compute the digest of a name that they guess."""
    with Gallery.open(folder, KEY) as gallery:
        note = gallery.forget(NAMES[0]).note
        assert gallery.is_of(note, NAMES[0]) and not gallery.is_of(note, NAMES[1])
        assert note.digest != PLAIN.digest(note.salt, NAMES[0])
        assert note.digest != new_cipher(KEY).digest(note.salt, NAMES[0])


def killed(step: tuple[object, str], deed: object) -> None:
    owner, name = step
    child = os.fork()
    if child == 0:  # the process that dies: no handler, no finally, no flush
        setattr(owner, name, lambda *args, **kwargs: os._exit(9))
        try:
            deed()  # type: ignore[operator]
        except BaseException:  # noqa: BLE001  (a forked child must not go on as a test)
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


STEPS: dict[str, tuple[object, str]] = {
    "after the rows": (Gallery, "rewrite"),
    "after the file": (erase, "refresh"),
    "before the log is cut": (Gallery, "sweep"),
    "before the search": (erase, "look_for"),
    "before the receipt": (erase, "replace_json"),
    "before the note is taken away": (Gallery, "erasure_done"),
}


@pytest.mark.parametrize("step", [name for name in STEPS if name not in ("after the rows", "after the file")])
def test_a_killed_forgetting_goes_on(folder: Path, step: str):
    pieces = at_rest(folder, NAMES[0])
    killed(STEPS[step], lambda: forget(NAMES[0], folder, (), tell, key=KEY))
    assert "resumed" in forget(NAMES[0], folder, (), tell, key=KEY)[0].verified
    assert not any(piece in file.read_bytes() for piece in pieces for file in folder.rglob("*") if file.is_file())


# ---- export, import, merge


def test_an_export_is_encrypted_with_the_same_key(folder: Path, tmp_path: Path):
    export(folder, tmp_path / "out.fs", key=KEY)
    (tmp_path / "only").mkdir()
    shutil.copy(tmp_path / "out.fs", tmp_path / "only")
    assert traces(tmp_path / "only") == []
    import_into(tmp_path / "out.fs", tmp_path / "new", quiet, key=KEY)
    assert contents(tmp_path / "new", KEY) == contents(folder, KEY)
    with Gallery.open(folder, KEY) as one, Gallery.open(tmp_path / "new", KEY) as two:
        assert two.sealed and one.cipher.description != two.cipher.description and one.threshold() == two.threshold()
    with pytest.raises(WrongKey):
        import_into(tmp_path / "out.fs", tmp_path / "newer", quiet, key=OTHER)
    assert import_into(tmp_path / "out.fs", tmp_path / "new", quiet, key=KEY).known == 40


def test_each_of_two_keys_opens_its_own_and_the_target_keeps_its_key(folder: Path, tmp_path: Path):
    with Gallery.create(tmp_path / "other", "e" * 64, D, "", OTHER) as other:
        other.add([face("Eva Luna", 1000), face(NAMES[0], 0)])
    with pytest.raises(WrongKey):
        import_into(tmp_path / "other", folder, quiet, key=KEY)
    result = import_into(tmp_path / "other", folder, quiet, OTHER, key=KEY)
    assert (result.added, result.known, result.new_people) == (1, 1, 1)
    with Gallery.open(folder, KEY) as gallery:
        assert gallery.has_photo("Eva Luna", face("Eva Luna", 1000).sha256)
    assert traces(folder, [*FACES, face("Eva Luna", 1000)]) == []


def test_what_is_plain_comes_into_an_encrypted_gallery_and_is_encrypted_there(folder: Path, plain: Path, tmp_path: Path):
    import_into(plain, tmp_path / "new", quiet, key=KEY)
    assert contents(tmp_path / "new", KEY) == contents(folder, KEY) and traces(tmp_path / "new") == []


def test_nothing_encrypted_becomes_plain_on_its_way(tmp_path: Path, plain: Path):
    with Gallery.create(tmp_path / "secret", "e" * 64, D, "", KEY) as gallery:
        gallery.add(FACES)
    import_into(tmp_path / "secret", tmp_path / "new", quiet, KEY)  # a gallery made on the way takes over the key
    assert traces(tmp_path / "new") == []
    with pytest.raises(NotEncrypted):
        import_into(tmp_path / "secret", plain, quiet, KEY)


# ---- reindex


def test_embedding_anew_stays_encrypted_on_the_way(toy_dataset: Dataset, tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "g"
    build_index([toy_dataset], folder, ColourEncoder(), splits=(), fpir=None, progress=quiet, key=key)
    with Gallery.open(folder, key) as gallery:
        before = gallery.known_photos()
        needles = {text.encode() for photo in before for text in photo if len(text) > 7}
    monkeypatch.setattr("facesearch.jobs.reindex.COMMIT", 16)

    def go() -> object:
        return reindex(folder, WideEncoder(), [toy_dataset], [], None, drop_missing=False, progress=quiet, key=key)

    killed((Gallery, "take_vectors_of"), go)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.parent.name == NEXT for path in files)
    assert not any(needle in path.read_bytes() for path in files for needle in needles)
    assert go().known == 48  # type: ignore[attr-defined]
    with Gallery.open(folder, key) as gallery:
        assert gallery.known_photos() == before and gallery.dimension == 24
        assert nearest_people(gallery, open_index(gallery), WideEncoder().embed(toy_dataset.crops[:1])[0], 1)[0].score > 0.999
    assert verify(folder, repair=True, key=key).problems == () and not list(folder.glob("vectors*"))


def test_what_a_reindex_began_under_another_key_is_not_taken_over(toy_dataset: Dataset, tmp_path: Path, key: Key):
    folder = tmp_path / "g"
    build_index([toy_dataset], folder, ColourEncoder(), splits=(), fpir=None, progress=quiet, key=key)
    for begun_with in (OTHER, KEY):  # of the same key, but with a salt of its own, it would not fit either
        with Gallery.create(folder / NEXT, WideEncoder().encoder_id, 24, "", begun_with) as begun:
            if begun_with is KEY:
                with Gallery.open(folder, key) as gallery, pytest.raises(ValueError, match="all would be dropped"):
                    gallery.take_vectors_of(begun)
        done = reindex(folder, encoder := WideEncoder(), [toy_dataset], [], None, drop_missing=False, progress=quiet, key=key)
        assert (done.embedded, done.faces) == (48, 48)
        reindex(folder, ColourEncoder(), [toy_dataset], [], None, drop_missing=False, progress=quiet, key=key)
    assert encoder.seen == 48


# ---- encrypt, change the key, decrypt


def test_a_plain_gallery_becomes_an_encrypted_one_and_nothing_is_left(plain: Path):
    before = contents(plain)
    done = encrypt(plain, KEY)
    assert done.faces == 40 and done.receipt is not None and done.receipt.deed == "encrypt" and done.path is not None
    assert dict(done.receipt.files).keys() >= {FILE} and done.path.name == "encrypt-2.json"
    assert traces(plain) == [] and contents(plain, KEY) == before and verify(plain, repair=True, key=KEY).problems == ()
    assert encrypt(plain, KEY).already
    with Gallery.open(plain, KEY) as gallery:
        assert gallery.threshold() is not None and gallery.sealed
    with pytest.raises(KeyMissing):
        Gallery.open(plain)


def test_another_key_and_nothing_of_the_first_is_left(folder: Path):
    before, old = contents(folder, KEY), set().union(*(at_rest(folder, name) for name in NAMES))
    done = encrypt(folder, KEY, OTHER)
    assert done.receipt is not None and not done.already
    assert not any(piece in file.read_bytes() for piece in old for file in folder.rglob("*") if file.is_file())
    with pytest.raises(WrongKey):
        Gallery.open(folder, KEY)
    assert contents(folder, OTHER) == before
    assert encrypt(folder, OTHER, OTHER).already and encrypt(folder, OTHER).already
    assert encrypt(folder, KEY, OTHER).already  # with the old key given, too


def test_back_to_plain(folder: Path, plain: Path):
    assert decrypt(folder, KEY).faces == 40
    with Gallery.open(folder, KEY, either=True) as gallery:
        assert gallery.cipher is PLAIN and nearest_people(gallery, open_index(gallery), unit(3)[0], 1)[0].score > 0.999
    assert decrypt(folder, KEY).already
    assert {row for rows in (Gallery.open(folder, KEY, either=True).batches()) for row in rows} == {
        row for rows in (Gallery.open(plain, KEY, either=True).batches()) for row in rows
    }


@pytest.mark.parametrize("start", ["plain", "folder"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_same_command_goes_on(request: pytest.FixtureRequest, start: str, step: str):
    place = request.getfixturevalue(start)
    new = OTHER if start == "folder" else None
    with Gallery.open(place, KEY, either=True) as gallery:
        before = sorted(row[1:-1] for rows in gallery.batches() for row in rows)
    killed(STEPS[step], lambda: encrypt(place, KEY, new))
    done = encrypt(place, KEY, new)
    assert done.already and done.receipt is not None and "as they lay there" in done.receipt.verified
    assert traces(place) == []
    with Gallery.open(place, new or KEY) as gallery:
        assert sorted(row[1:-1] for rows in gallery.batches() for row in rows) == before and gallery.unfinished() is None


def test_other_commands_end_an_interrupted_encryption_too(plain: Path, tmp_path: Path):
    killed(STEPS["after the rows"], lambda: encrypt(plain, KEY))
    assert traces(plain) != []  # the log, the index
    assert "carried to its end" in verify(plain, repair=True, key=KEY).mended[0]
    assert traces(plain) == [] and [path.name for path in (plain / "receipts").iterdir()] == ["encrypt-2.json"]


def test_killed_within_the_transaction_nothing_has_happened(plain: Path):
    from facesearch.gallery.erasing import ErasableGallery

    killed((ErasableGallery, "_note"), lambda: encrypt(plain, KEY))
    with Gallery.open(plain) as gallery:
        assert not gallery.sealed and gallery.unfinished() is None and len(gallery.vectors()[0]) == 40


def test_one_row_that_is_not_right_and_nothing_is_encrypted(plain: Path):
    with sqlite3.connect(plain / FILE) as db:
        db.execute("UPDATE faces SET checksum = 0 WHERE face_id = 33")
    with pytest.raises(CorruptGallery, match="face 33"):
        encrypt(plain, KEY)
    with Gallery.open(plain) as gallery:
        assert len(gallery.people()) == 4


def test_who_had_it_open_in_plain_writes_no_plain_row_and_reads_no_ciphertext(plain: Path):
    with Gallery.open(plain) as late:
        index = open_index(late)
        encrypt(plain, KEY)
        deeds = (
            lambda: late.add([face("Eva Luna", 1000)]), lambda: late.rename(NAMES[0], "Eva Luna", join=False), late.enrolled, late.people,
            lambda: nearest_people(late, index, unit(3)[0], 1), lambda: late.forget(NAMES[0]), lambda: refresh(late, "test"),
        )  # fmt: skip
        for deed in deeds:
            with pytest.raises(GalleryChanged, match="encrypted again"):
                deed()
    assert traces(plain, [*FACES, face("Eva Luna", 1000)]) == []


@pytest.mark.parametrize("moment", ["_grown", "write_manifest"])
def test_an_index_that_was_being_written_meanwhile_does_not_stay(plain: Path, moment: str, monkeypatch: pytest.MonkeyPatch):
    """Somebody encrypts before or after the writing of an index's rows: the writer itself takes its files away."""
    with Gallery.open(plain) as gallery:
        drop_files(gallery)
    real = getattr(faiss_index, moment)

    def interrupted(*args: object) -> object:
        monkeypatch.setattr(faiss_index, moment, real)
        done = real(*args) if moment == "_grown" else None
        encrypt(plain, KEY)
        return done if moment == "_grown" else real(*args)

    monkeypatch.setattr(faiss_index, moment, interrupted)
    with Gallery.open(plain) as late, pytest.raises(GalleryChanged):
        refresh(late, "test")
    assert traces(plain) == []


def test_rows_of_an_index_that_were_read_before_and_written_after_do_not_stay(plain: Path, monkeypatch: pytest.MonkeyPatch):
    """The reading is done when somebody encrypts, the writing is not, and it succeeds: then, too, nothing stays."""
    real = faiss_index.write_manifest

    def interrupted(*args: object) -> None:
        files = {path: path.read_bytes() for path in plain.glob("vectors-*")}
        assert files
        monkeypatch.setattr(faiss_index, "write_manifest", real)
        encrypt(plain, KEY)
        for path, data in files.items():
            path.write_bytes(data)
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(faiss_index, "write_manifest", interrupted)
    with Gallery.open(plain) as late, pytest.raises(GalleryChanged):
        refresh(late, "test")
    assert traces(plain) == []


def test_a_file_of_plain_vectors_that_a_killed_writer_left_goes(folder: Path, plain: Path):
    for path in plain.glob("vectors*"):
        shutil.copy(path, folder)
    assert "plain vectors" in verify(folder, repair=True, key=KEY).index
    assert traces(folder) == [] and verify(folder, repair=True, key=KEY).index == ""


def test_a_plain_copy_in_the_folder_is_found_and_named(plain: Path):
    shutil.copy(plain / FILE, plain / "my-backup.sqlite")
    with pytest.raises(StillThere, match=r"my-backup\.sqlite"):
        encrypt(plain, KEY)
    (plain / "my-backup.sqlite").unlink()
    assert encrypt(plain, KEY).already and traces(plain) == []


def test_the_search_looks_for_what_was_there(plain: Path, monkeypatch: pytest.MonkeyPatch):
    """The proof can fail: when the file is not written anew and the log not cut, it is noticed."""
    monkeypatch.setattr(Gallery, "sweep", lambda gallery: True)
    monkeypatch.setattr(job, "AT_ONCE", 16)
    monkeypatch.setattr(erase, "TRIES", 1)
    with pytest.raises(StillThere, match=FILE):
        encrypt(plain, KEY)


def test_no_key_to_encrypt_with(plain: Path):
    with pytest.raises(job.BadKey, match="none was given"):
        encrypt(plain, None)


# ---- the commands


@pytest.mark.slow
def test_every_command_on_an_encrypted_gallery(run, tmp_path: Path, album: Path, toy_dataset: Dataset, weights: Path):
    """Each of them once with the key; each refuses without one; and no file in plain comes of it."""
    assert run("key", "k").stdout == "k: a new key, for your eyes only\n" and "keep a copy" in run("key", "k2").stderr
    w, k = ("--weights", weights), ("--key-file", "k")
    others = tmp_path / "others"
    draw_people(others, people=3, photos=4, seed=77)
    for path in list(others.iterdir()):
        path.rename(path.with_name(f"stranger {path.name}"))
    photos = sorted((album / sorted(path.name for path in album.iterdir() if path.is_dir())[0]).iterdir())
    commands: list[tuple[object, ...]] = [
        ("enroll", "Zoé Zanzibar", photos[0], "--aligned", *w),
        ("query", photos[1], "--aligned", *w, "--timing"),
        ("list",),
        ("list", "Zoé Zanzibar", "--json"),
        ("info", "--json"),
        ("rename", "Zoé Zanzibar", "Zoé Quetzalcoatl"),
        ("verify",),
        ("calibrate", "--fpir", "0.3", "--strangers", others, "--aligned", *w),
        ("evaluate", "--data", toy_dataset.folder, "--only", "closed", "--report", "report", *w),
        ("audit", "--gallery", "index"),
        ("audit", "--data", toy_dataset.folder, *w),
        ("reindex", "--data", toy_dataset.folder, *w),
        ("export", "out.fs"),
        ("import", "out.fs"),
        ("merge", "index"),
        ("build-index", "--data", toy_dataset.folder, *w),
        ("forget", "Zoé Quetzalcoatl"),
        ("encrypt",),
    ]
    run("build-index", "--data", toy_dataset.folder, *w, *k)
    for words in commands:
        if words[0] != "encrypt":
            refused = run(*words, code=1).stderr
            assert "is encrypted, and no key was given" in refused, words
        wrong = run(*words, "--key-file", "k2", code=1)
        assert "another key than the one that was given" in wrong.stderr and "is the one in k2.\n" in wrong.stderr, words
        assert not wrong.stdout, words
        run(*words, *k)
    assert json.loads(run("info", "--json", *k).stdout)["index"]["state"].startswith("in memory only")
    assert run("decrypt", *k).stdout == "index: 48 faces decrypted\n"
    not_sealed = run("list", *k, code=1).stderr
    assert "not encrypted, but a key was given" in not_sealed and "is the one in k.\n" in not_sealed
    assert "48 faces encrypted; no byte of what lay there before is left" in run("encrypt", *k).stdout
    assert "faces encrypted" in run("encrypt", *k, "--new-key-file", "k2").stdout
    run("list", "--key-file", "k2")
    run("list", *k, code=1)
    assert run("import", "out.fs", "--source-key-file", "k", "--key-file", "k2").stdout.startswith("index: 1 faces added, 48 known")
    kept = [path for name in ("index", "out.fs") for path in [tmp_path / name, *(tmp_path / name).rglob("*")] if path.is_file()]
    needles = [b"Zanzibar", b"Quetzalcoatl", *(sha.encode() for sha in toy_dataset.sha256)]
    assert len(kept) > 3 and not any(needle in path.read_bytes() for path in kept for needle in needles)


def test_the_key_by_the_environment(run, album: Path, weights: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FACESEARCH_KEY", KEY.secret.hex())
    photo = next(album.rglob("*.png"))
    run("enroll", "Ada", photo, "--aligned", "--weights", weights)
    assert "Ada" in run("list").stdout
    monkeypatch.setenv("FACESEARCH_KEY", "")
    assert "no key was given" in run("list", code=1).stderr
