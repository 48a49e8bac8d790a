"""Who is forgotten in an encrypted gallery leaves no byte there, not of the ciphertexts either."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facesearch.errors import StillThere
from facesearch.gallery.forget import forget
from facesearch.gallery.store.cipher import PLAIN, new_cipher
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from tests.helpers.encrypted import KEY, NAMES, at_rest, face, traces
from tests.helpers.killing import STEPS, killed
from tests.helpers.saying import tell


@pytest.fixture
def folder(sealed: Path) -> Path:
    return sealed


def test_forgetting_leaves_no_byte_of_the_ciphertexts_either(folder: Path):
    pieces = at_rest(folder, NAMES[0])
    receipt, path = forget(NAMES[0], folder, (), tell, key=KEY)
    assert receipt.photos == 10 and "as they lay there encrypted" in receipt.verified
    assert not any(
        piece in file.read_bytes() for piece in pieces for file in folder.rglob("*") if file.is_file()
    )
    assert traces(folder) == [] and "zanzibar" not in path.read_text().lower()


@pytest.mark.slow
@pytest.mark.parametrize("copy", ["sealed", "plain"])
def test_a_copy_that_is_kept_in_the_folder_is_found_and_named(folder: Path, plain: Path, copy: str):
    shutil.copy((folder if copy == "sealed" else plain) / FILE, folder / "my-backup.sqlite")
    with pytest.raises(StillThere, match=r"my-backup\.sqlite"):
        forget(NAMES[0], folder, (), tell, key=KEY)


@pytest.mark.slow
def test_a_name_as_it_was_sealed_is_looked_for_too(folder: Path):
    with Store.open(folder, KEY) as gallery:
        (folder / "notes").write_bytes(b"..." + bytes(gallery.cipher.encrypt_name(NAMES[0])))  # type: ignore[arg-type]
    with pytest.raises(StillThere, match="notes"):
        forget(NAMES[0], folder, (), tell, key=KEY)


def test_a_person_called_as_a_word_of_ours_can_be_forgotten(plain: Path):
    with Store.open(plain) as gallery:
        gallery.faces.add([face("encoder", 900, "generation"), face("whole_person", 901, "vectors.json")])
    assert forget("encoder", plain, (), tell)[0].names_too_short_to_search == 2
    assert forget("whole_person", plain, (), tell)[0].names_too_short_to_search == 2


def test_the_note_of_an_erasure_does_not_let_names_be_tried_out(folder: Path):
    """Salt and digest lie there in plain: without the key, nobody can compute the digest of a name that they
    guess.
    """
    with Store.open(folder, KEY) as gallery:
        note = gallery.eraser.delete(NAMES[0]).note
        assert gallery.eraser.is_of(note, NAMES[0]) and not gallery.eraser.is_of(note, NAMES[1])
        assert note.digest != PLAIN.digest(note.salt, NAMES[0])
        assert note.digest != new_cipher(KEY).digest(note.salt, NAMES[0])


@pytest.mark.parametrize("step", [name for name in STEPS if name not in ("after the rows", "after the file")])
def test_a_killed_forgetting_goes_on(folder: Path, step: str):
    pieces = at_rest(folder, NAMES[0])
    killed(STEPS[step], lambda: forget(NAMES[0], folder, (), tell, key=KEY))
    assert "resumed" in forget(NAMES[0], folder, (), tell, key=KEY)[0].verified
    assert not any(
        piece in file.read_bytes() for piece in pieces for file in folder.rglob("*") if file.is_file()
    )
