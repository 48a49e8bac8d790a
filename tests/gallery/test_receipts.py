"""Receipts say what was searched in as many bytes however many there are, and old ones are still read."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from facesearch.errors import StillThere
from facesearch.gallery.forget import forget
from facesearch.gallery.index.faiss_index import refresh
from facesearch.gallery.receipts import MOST_NAMED, named, read_receipt
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from tests.helpers.rows import D, unit
from tests.helpers.saying import tell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder") as gallery:
        hashes = [sha256(str(i).encode()).hexdigest() for i in range(60)]
        gallery.faces.add(
            [NewFace(f"person {i:03d}", hashes[i], f"holiday-{i}.jpg", unit(i)[0]) for i in range(60)]
        )
        refresh(gallery, "test")
    return tmp_path / "g"


@pytest.mark.slow
def test_receipts_do_not_grow_and_say_what_else_was_searched(folder: Path):
    paths = [forget(f"person {i:03d}", folder, (), tell)[1] for i in range(12)]
    sizes = [path.stat().st_size for path in paths]
    assert max(sizes[1:]) - min(sizes[1:]) < 20  # a digit more here and there
    receipt = read_receipt(paths[-1])
    assert FILE in dict(receipt.files) and not any("receipts" in name for name, _ in receipt.files)
    earlier = sorted(f"receipts/{path.name}" for path in paths[:-1])
    assert receipt.more_files is not None and receipt.more_files.files == 11
    assert receipt.more_files.bytes == sum(sizes[:-1])
    assert receipt.more_files.names_sha256 == sha256("".join(f"{n}\n" for n in earlier).encode()).hexdigest()


def test_a_folder_full_of_other_files_does_not_make_them_grow_either(folder: Path):
    for i in range(300):
        (folder / f"photo-{i}.txt").write_text("a note")
    receipt, path = forget("person 001", folder, (), tell)
    assert len(receipt.files) == MOST_NAMED and receipt.more_files is not None
    assert receipt.more_files.files > 250 and path.stat().st_size < 8000
    assert {FILE, "vectors.json"} <= dict(receipt.files).keys()


@pytest.mark.slow
@pytest.mark.parametrize("many", [1, 40])
def test_earlier_receipts_are_searched_like_any_file(folder: Path, many: int):
    """Small files are searched together; a trace in one of them is found, and the right one is named."""
    for i in range(many):
        _, path = forget(f"person {i:03d}", folder, (), tell)
    path.write_text(path.read_text() + "person 050")
    with pytest.raises(StillThere) as caught:
        forget("person 050", folder, (), tell)
    assert caught.value.files == (f"receipts/{path.name}",)


def test_a_trace_across_two_small_files_is_in_neither(folder: Path):
    (folder / "a1").write_text("person")
    (folder / "a2").write_text(" 050")
    assert forget("person 050", folder, (), tell)[0].photos == 1


def test_a_receipt_that_names_every_file_is_still_read(folder: Path):
    receipt, path = forget("person 001", folder, (), tell)
    stored = json.loads(path.read_text())
    del stored["more_files"]
    path.write_text(json.dumps({**stored, "schema": 1, "files": [*stored["files"], ["receipts/x.json", 9]]}))
    old = read_receipt(path)
    assert old.more_files is None and old.schema == 1 and ["receipts/x.json", 9] in list(old.files)
    assert old.when == receipt.when


def test_nothing_else_there():
    assert named([(FILE, 5)]) == (((FILE, 5),), None)
