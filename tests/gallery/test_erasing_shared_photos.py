"""Photos that stand under somebody else too are erased under one name: nothing of them is a trace, all else
is, and all rows are read once however many photos there are.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facesearch.errors import StillThere
from facesearch.gallery import forget as erase
from facesearch.gallery.forget import forget
from facesearch.gallery.index.choice import choose_index
from facesearch.gallery.index.faiss_index import open_index, refresh
from facesearch.gallery.index.files import codes_with
from facesearch.gallery.move import move
from facesearch.gallery.store import remains
from facesearch.gallery.store.database import Database
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store
from tests.helpers.encrypted import KEY
from tests.helpers.rows import D, face, unit
from tests.helpers.saying import tell

WRONG, RIGHT = "Zanzibar Quetzalcoatl", "Popocatepetl Xochimilco"
KEYS = pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])


def made(folder: Path, shared: int, key: Key | None = None) -> Path:
    """Thirty photos of Ana, and some under a wrong name that are also under a right one."""
    with Store.create(folder, "e" * 64, D, "encoder", key) as gallery:
        gallery.faces.add([face("ana", 1000 + i, f"holiday-{i}.jpg") for i in range(30)])
        for person in (WRONG, RIGHT):
            gallery.faces.add([face(person, i, f"of-both-{i}.jpg") for i in range(shared)])
        refresh(gallery, "test")
    return folder


@KEYS
@pytest.mark.parametrize("many", [2, 10_000], ids=["sorted out before", "asked about after"])
def test_as_many_statements_however_many_photos_are_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Key | None, many: int
):
    real, counts = Database.all, []
    monkeypatch.setattr(erase, "MANY", many)
    for shared in (2, 200):
        folder = made(tmp_path / str(shared), shared, key)
        asked: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr(Database, "all", lambda db, sql, *v, to=asked: to.append(sql) or real(db, sql, *v))
            assert forget(WRONG, folder, (), tell, key=key)[0].photos == shared
        counts.append(len(asked))
    assert counts[1] - counts[0] < 60  # of 198 photos more; some where a file had to be written again


@KEYS
def test_a_move_to_somebody_who_has_half_of_them(tmp_path: Path, key: Key | None):
    folder = made(tmp_path / "g", 4, key)
    with Store.open(folder, key) as gallery:
        gallery.faces.add([face(WRONG, 50 + i, f"of-one-{i}.jpg") for i in range(4)])
    contents = {f"{i:064x}" for i in (2, 3, 50, 51)}
    moved = move(WRONG, contents, RIGHT, folder, tell, key=key)
    assert (moved.photos, moved.known, moved.left) == (4, 2, 4)
    with Store.open(folder, key) as gallery:
        assert len(gallery.faces.photos_of(RIGHT)) == 6 and len(gallery.faces.photos_of(WRONG)) == 4
        assert gallery.notes.unfinished() is None


@KEYS
def test_alive_is_what_looking_at_every_value_says(tmp_path: Path, key: Key | None):
    """The slow, obvious twin: whether SQLite finds the piece within one value of the columns that count."""
    folder = made(tmp_path / "g", 5, key)
    random = np.random.default_rng(7)
    with Store.open(folder, key) as gallery:
        gallery.faces.add([NewFace("Ångström " + RIGHT, "7" * 64, "écrit.jpg", unit(777)[0])])
        rows = gallery.database.all(
            "SELECT name, sha256, source, vector FROM faces JOIN people USING (person_id)"
        )
        values = [value if isinstance(value, bytes) else value.encode() for row in rows for value in row]
        side_by_side = [one + two for one, two in pairwise(values)]
        wanted: set[bytes | str] = {RIGHT, "Xochimilco", "nobody at all", "Ångström", "both-3", "7" * 10}
        for value in (*values, *side_by_side, *(random.bytes(64) for _ in range(9))):
            start = int(random.integers(0, max(1, len(value) - remains.PIECE)))
            wanted.add(value[start : start + remains.PIECE])
        wanted = {piece for piece in wanted if isinstance(piece, str) or len(piece) == remains.PIECE}
        columns = ("vector",) if key is None else ("name", "sha256", "source", "vector")
        found = set()
        for piece in wanted:
            asked = columns if isinstance(piece, bytes) else ("name", "sha256", "source")
            where = " OR ".join(f"instr({column}, ?1)" for column in asked)
            sql = f"SELECT 1 FROM faces JOIN people USING (person_id) WHERE {where} LIMIT 1"
            found |= {piece} if gallery.database.all(sql, piece) else set()
        assert gallery.eraser.alive(wanted) == found and found and wanted - found
        texts = {piece for piece in found if isinstance(piece, str)}
        assert texts == (set() if key else {RIGHT, "Xochimilco", "Ångström", "both-3", "7" * 10})


def test_a_piece_that_reaches_from_one_value_into_the_next_is_in_neither():
    random = np.random.default_rng(8)
    one, two = random.bytes(32), random.bytes(32)
    search = remains.Wanted([(one + two)[24:40], one], ["first name"])
    pieces, texts = search.within([one, two, b"first", b" name", b"a first name"])
    assert pieces == {one[:16], one[8:24], one[16:]} and texts == {"first name"}
    assert search.within([b"first", b" name"]) == (set(), set()) and search.within([]) == (set(), set())


def test_a_trace_behind_thousands_of_pieces_that_are_alive_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Not the first thousand are looked at, but all."""
    monkeypatch.setattr(remains, "CHUNK", 4096)
    blobs = [unit(seed)[0].astype("<f2").tobytes() for seed in range(700)]
    names = [f"holiday-{i}.jpg" for i in range(1500)]
    (tmp_path / "file").write_bytes(b"".join(blobs) + " ".join(names).encode())
    (file,) = remains.search(tmp_path, blobs, names)
    assert {blobs[-1][:16], blobs[-1][16:]} <= set(file.pieces) and set(file.texts) == set(names)


@pytest.mark.slow
@KEYS
@pytest.mark.parametrize("many", [2, 10_000], ids=["sorted out before", "asked about after"])
def test_among_shared_ones_the_one_that_is_kept_elsewhere_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Key | None, many: int
):
    monkeypatch.setattr(erase, "MANY", many)
    folder = made(tmp_path / "g", 20, key)
    with Store.open(folder, key) as gallery:
        gallery.faces.add([face(WRONG, 99, "of-one.jpg")])
    (folder / "notes").write_bytes(b"..." + unit(99)[0].astype("<f2").tobytes()[8:24] + b"...")
    with pytest.raises(StillThere, match="notes"):
        forget(WRONG, folder, (), tell, key=key)


def test_codes_that_others_share_are_alive_and_no_others(tmp_path: Path):
    with Store.create(tmp_path / "g", "e" * 64, 512, "encoder") as gallery:
        drawn = np.random.default_rng(3).normal(size=(300, 512)).astype(np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        gallery.faces.add([NewFace(f"person {i}", f"{i:064x}", "a.jpg", one) for i, one in enumerate(drawn)])
        choose_index(gallery, "bits1")
        refresh(gallery, "test")
        (segment,) = open_index(gallery).segments
        codes: Any = segment.finder.codes
        there, absent = {bytes(codes[0][:16]), bytes(codes[299][-16:])}, {b"no such code 123"}
        assert codes_with(gallery, there | absent | {"a text of no code"}) == there
        assert codes_with(gallery, {"a text"}) == set()
