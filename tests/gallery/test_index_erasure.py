"""No byte of a forgotten vector or its code stays in an index, also when its writer is killed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from facesearch.gallery.forget import forget
from facesearch.gallery.index import faiss_index
from facesearch.gallery.index import files as index_files
from facesearch.gallery.index import kinds as index_kinds
from facesearch.gallery.index.bit_codes import encode
from facesearch.gallery.index.choice import index_parts
from facesearch.gallery.index.faiss_index import erase_from_index, open_index, refresh, update
from facesearch.gallery.index.indexed import Indexed
from facesearch.gallery.index.rows import vectors_of
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store
from facesearch.gallery.verify import verify
from tests.helpers.index import KINDS, answers_right, indexed, people

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def gallery(three_hundred_people: Store) -> Store:
    return three_hundred_people


@pytest.mark.parametrize("kind", KINDS)
def test_forgetting_leaves_no_byte_of_a_vector_or_a_code(tmp_path: Path, kind: str):
    with Store.create(tmp_path / "g", "e" * 64, 512, "encoder") as gallery:
        random = np.random.default_rng(3)
        vectors = random.normal(size=(600, 512)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        gallery.faces.add(
            [
                NewFace(f"person {i // 3:05}", random.bytes(32).hex(), f"picture-{i:05}.jpg", v)
                for i, v in enumerate(vectors)
            ]
        )
        indexed(gallery, kind)
        before = index_parts(gallery)
        files = sorted(path.name for path in gallery.folder.glob("vectors-*"))
    gone = vectors[6:9]
    blobs = [row.astype("<f2").tobytes() for row in gone]
    rows = np.stack([np.frombuffer(blob, np.uint8) for blob in blobs])
    bits = index_kinds.BITS.get(kind)
    codes = [bytes(code) for code in encode(vectors_of(rows), bits)] if bits else []
    pieces = [blob[i : i + 16] for blob in blobs + codes for i in range(0, len(blob) - 15, 8)]
    assert any(piece in path.read_bytes() for piece in pieces for path in (tmp_path / "g").glob("vectors-*"))
    receipt, _ = forget("person 00002", tmp_path / "g", (), lambda line: None)
    assert receipt.photos == 3
    for path in (tmp_path / "g").rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not any(piece in data for piece in pieces), path
    with Store.open(tmp_path / "g") as gallery:
        (after,) = index_parts(gallery)
        # Overwritten where it lay; nothing else was written.
        assert after | {"faces": 600} == before[0] and after["faces"] == 597
        assert sorted(path.name for path in gallery.folder.glob("vectors-*")) == files
        ids, _ = open_index(gallery).search(gone, 597)
        assert not np.isin([7, 8, 9], ids).any() and len(np.unique(ids)) == 597
        assert verify(gallery.folder, repair=False).index == ""


def test_the_proof_can_fail(gallery: Store, monkeypatch: pytest.MonkeyPatch):
    """With the overwriting of rows switched off the bytes stay, and it is noticed."""
    from facesearch.errors import StillThere
    from facesearch.gallery import forget as erase

    indexed(gallery, "bits2")
    monkeypatch.setattr(index_files, "overwrite", lambda *args: None)
    monkeypatch.setattr(erase, "rebuild_files", lambda *args: None)
    monkeypatch.setattr(erase.time, "sleep", lambda seconds: None)
    with pytest.raises(StillThere, match=r"\.faiss"):
        forget("person 00002", gallery.folder, (), lambda line: None)


STEPS = {
    "while rows are written": (index_files, "finder_for"),
    "while what belongs to them is written": (index_files, "replace_file"),
    "before it is named": (faiss_index, "write_manifest"),
    "while it is named": (index_files, "replace_json"),
    "before the old files go": (index_files, "drop_others"),
}


@pytest.mark.parametrize("kind", ["bits1", pytest.param("flat", marks=pytest.mark.slow)])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_of_writing_it_the_next_one_answers_right_and_leaves_nothing(
    gallery: Store, kind: str, step: str
):
    indexed(gallery, kind)
    gallery.faces.add(people(450, seed=5, first=300))
    owner, name = STEPS[step]
    child = os.fork()
    if child == 0:
        setattr(owner, name, lambda *args, **kwargs: os._exit(9))
        try:
            with Store.open(gallery.folder) as other:
                refresh(other, "test")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    answers_right(gallery)
    update(gallery)
    named = {part["name"] for part in index_files.read_manifest(Indexed(gallery))["segments"]}
    assert {path.stem for path in gallery.folder.glob("vectors-*")} == named and not list(
        gallery.folder.glob(".*.new")
    )


def test_killed_while_rows_are_overwritten_the_index_is_made_anew(gallery: Store):
    indexed(gallery, "bits1")
    gallery.eraser.delete("person 00002")
    child = os.fork()
    if child == 0:
        real, calls = index_files.overwrite, []

        def once(*args: object) -> None:
            if calls:
                os._exit(9)
            calls.append(1)
            real(*args)  # type: ignore[arg-type]

        index_files.overwrite = once  # type: ignore[assignment]
        try:
            with Store.open(gallery.folder) as other:
                erase_from_index(other)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    answers_right(gallery)
    assert (
        verify(gallery.folder, repair=False).index == ""
        and sum(part["faces"] for part in index_parts(gallery)) == 1495
    )
