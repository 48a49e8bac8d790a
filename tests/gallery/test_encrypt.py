"""Encrypt, change the key, decrypt: nothing of what lay there before is left, whatever comes between."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from facesearch.errors import CorruptGallery, GalleryChanged, KeyMissing, StillThere, WrongKey
from facesearch.gallery import encrypt as job
from facesearch.gallery import forget as erase
from facesearch.gallery.encrypt import decrypt, encrypt
from facesearch.gallery.index import faiss_index
from facesearch.gallery.index.faiss_index import open_index, refresh
from facesearch.gallery.index.files import drop_files
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store.cipher import PLAIN
from facesearch.gallery.store.eraser import Eraser
from facesearch.gallery.store.notes import Notes
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.gallery.verify import verify
from tests.helpers.encrypted import FACES, KEY, NAMES, OTHER, at_rest, face, traces
from tests.helpers.killing import STEPS, killed
from tests.helpers.rows import contents, unit


@pytest.fixture
def folder(sealed: Path) -> Path:
    return sealed


def test_a_plain_gallery_becomes_an_encrypted_one_and_nothing_is_left(plain: Path):
    before = contents(plain)
    done = encrypt(plain, KEY)
    assert (
        done.faces == 40
        and done.receipt is not None
        and done.receipt.action == "encrypt"
        and done.path is not None
    )
    assert dict(done.receipt.files).keys() >= {FILE} and done.path.name == "encrypt-2.json"
    assert (
        traces(plain) == []
        and contents(plain, KEY) == before
        and verify(plain, repair=True, key=KEY).problems == ()
    )
    assert encrypt(plain, KEY).already
    with Store.open(plain, KEY) as gallery:
        assert gallery.notes.threshold() is not None and gallery.encrypted
    with pytest.raises(KeyMissing):
        Store.open(plain)


def test_another_key_and_nothing_of_the_first_is_left(folder: Path):
    before, old = contents(folder, KEY), set().union(*(at_rest(folder, name) for name in NAMES))
    done = encrypt(folder, KEY, OTHER)
    assert done.receipt is not None and not done.already
    assert not any(
        piece in file.read_bytes() for piece in old for file in folder.rglob("*") if file.is_file()
    )
    with pytest.raises(WrongKey):
        Store.open(folder, KEY)
    assert contents(folder, OTHER) == before
    assert encrypt(folder, OTHER, OTHER).already and encrypt(folder, OTHER).already
    assert encrypt(folder, KEY, OTHER).already  # with the old key given, too


def test_back_to_plain(folder: Path, plain: Path):
    assert decrypt(folder, KEY).faces == 40
    with Store.open(folder, KEY, either=True) as gallery:
        assert (
            gallery.cipher is PLAIN
            and nearest_people(gallery, open_index(gallery), unit(3)[0], 1)[0].score > 0.999
        )
    assert decrypt(folder, KEY).already
    assert {row for rows in Store.open(folder, KEY, either=True).faces.batches() for row in rows} == {
        row for rows in Store.open(plain, KEY, either=True).faces.batches() for row in rows
    }


@pytest.mark.slow
@pytest.mark.parametrize("start", ["plain", "folder"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_same_command_goes_on(request: pytest.FixtureRequest, start: str, step: str):
    place = request.getfixturevalue(start)
    new = OTHER if start == "folder" else None
    with Store.open(place, KEY, either=True) as gallery:
        before = sorted(row[1:-1] for rows in gallery.faces.batches() for row in rows)
    killed(STEPS[step], lambda: encrypt(place, KEY, new))
    done = encrypt(place, KEY, new)
    assert done.already and done.receipt is not None and "as they lay there" in done.receipt.verified
    assert traces(place) == []
    with Store.open(place, new or KEY) as gallery:
        assert (
            sorted(row[1:-1] for rows in gallery.faces.batches() for row in rows) == before
            and gallery.notes.unfinished() is None
        )


def test_other_commands_end_an_interrupted_encryption_too(plain: Path, tmp_path: Path):
    killed(STEPS["after the rows"], lambda: encrypt(plain, KEY))
    assert traces(plain) != []  # the log, the index
    assert "to its end" in verify(plain, repair=True, key=KEY).mended[0]
    assert traces(plain) == [] and [path.name for path in (plain / "receipts").iterdir()] == [
        "encrypt-2.json"
    ]


def test_killed_within_the_transaction_nothing_has_happened(plain: Path):
    killed((Notes, "begin_erasure"), lambda: encrypt(plain, KEY))
    with Store.open(plain) as gallery:
        assert (
            not gallery.encrypted
            and gallery.notes.unfinished() is None
            and len(gallery.faces.vectors()[0]) == 40
        )


def test_one_row_that_is_not_right_and_nothing_is_encrypted(plain: Path):
    with sqlite3.connect(plain / FILE) as db:
        db.execute("UPDATE faces SET checksum = 0 WHERE face_id = 33")
    with pytest.raises(CorruptGallery, match="face 33"):
        encrypt(plain, KEY)
    with Store.open(plain) as gallery:
        assert len(gallery.faces.people()) == 4


def test_who_had_it_open_in_plain_writes_no_plain_row_and_reads_no_ciphertext(plain: Path):
    with Store.open(plain) as late:
        index = open_index(late)
        encrypt(plain, KEY)
        actions = (
            lambda: late.faces.add([face("Eva Luna", 1000)]),
            lambda: late.faces.rename(NAMES[0], "Eva Luna", join=False),
            late.faces.enrolled,
            late.faces.people,
            lambda: nearest_people(late, index, unit(3)[0], 1),
            lambda: late.eraser.delete(NAMES[0]),
            lambda: refresh(late, "test"),
        )
        for action in actions:
            with pytest.raises(GalleryChanged, match="encrypted it"):
                action()
    assert traces(plain, [*FACES, face("Eva Luna", 1000)]) == []


@pytest.mark.parametrize("moment", ["_grown", "write_manifest"])
def test_an_index_that_was_being_written_meanwhile_does_not_stay(
    plain: Path, moment: str, monkeypatch: pytest.MonkeyPatch
):
    """Somebody encrypts before or after the writing of an index's rows: the writer itself takes its files
    away.
    """
    with Store.open(plain) as gallery:
        drop_files(gallery.folder)
    real = getattr(faiss_index, moment)

    def interrupted(*args: object) -> object:
        monkeypatch.setattr(faiss_index, moment, real)
        done = real(*args) if moment == "_grown" else None
        encrypt(plain, KEY)
        return done if moment == "_grown" else real(*args)

    monkeypatch.setattr(faiss_index, moment, interrupted)
    with Store.open(plain) as late, pytest.raises(GalleryChanged):
        refresh(late, "test")
    assert traces(plain) == []


def test_rows_of_an_index_that_were_read_before_and_written_after_do_not_stay(
    plain: Path, monkeypatch: pytest.MonkeyPatch
):
    """The reading is done when somebody encrypts, the writing is not, and it succeeds: then, too, nothing
    stays.
    """
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
    with Store.open(plain) as late, pytest.raises(GalleryChanged):
        refresh(late, "test")
    assert traces(plain) == []


def test_a_file_of_plain_vectors_that_a_killed_writer_left_goes(folder: Path, plain: Path):
    for path in plain.glob("vectors*"):
        shutil.copy(path, folder)
    assert "plain vectors" in verify(folder, repair=True, key=KEY).index
    assert traces(folder) == [] and verify(folder, repair=True, key=KEY).index == ""


@pytest.mark.slow
def test_a_plain_copy_in_the_folder_is_found_and_named(plain: Path):
    shutil.copy(plain / FILE, plain / "my-backup.sqlite")
    with pytest.raises(StillThere, match=r"my-backup\.sqlite"):
        encrypt(plain, KEY)
    (plain / "my-backup.sqlite").unlink()
    assert encrypt(plain, KEY).already and traces(plain) == []


def test_the_search_looks_for_what_was_there(plain: Path, monkeypatch: pytest.MonkeyPatch):
    """The proof can fail: when the file is not rewritten and the log not cut, it is noticed."""
    monkeypatch.setattr(Eraser, "cut_log", lambda gallery: True)
    monkeypatch.setattr(job, "AT_ONCE", 16)
    monkeypatch.setattr(erase, "TRIES", 1)
    with pytest.raises(StillThere, match=FILE):
        encrypt(plain, KEY)


def test_no_key_to_encrypt_with(plain: Path):
    with pytest.raises(job.BadKey, match="none was given"):
        encrypt(plain, None)
