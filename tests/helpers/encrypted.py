"""Faces whose names, files and hashes are long enough to be searched for, a key, and the search."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace, vector_bytes
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from tests.helpers.rows import D, unit

KEY, OTHER = Key(bytes(range(32)), "a test"), Key(bytes(32), "another test")
NAMES = ["Zanzibar Quetzalcoatl", "Ada Lovelace", "李小龍李小龍", "Žofie Nováková"]


def face(person: str, seed: int, source: str = "") -> NewFace:
    return NewFace(person, f"{seed:x}".rjust(64, "7"), source or f"holiday-{seed:06d}.jpg", unit(seed)[0])


FACES = [face(NAMES[i % 4], i) for i in range(40)]


def traces(place: Path, faces: Iterable[NewFace] = FACES) -> list[str]:
    """The slow, obvious way: files that hold any 16 bytes of a vector, a name, a source or a content hash, in
    any usual form.
    """
    needles: set[bytes] = set()
    for each in faces:
        blob = vector_bytes(each.vector, D)
        needles |= {blob[i : i + 16] for i in range(len(blob) - 15)} | {each.vector.tobytes()[:16]}
        for text in (each.person, each.source, each.sha256):
            needles |= {text.encode(), text.encode("utf-16-le"), text.encode().hex().encode()}
        needles |= {bytes.fromhex(each.sha256), str(each.person.encode())[2:-1].encode()}
    files = [path for path in place.rglob("*") if path.is_file()]
    assert files
    return [
        str(path.relative_to(place))
        for path in files
        if any(needle in path.read_bytes() for needle in needles)
    ]


def at_rest(folder: Path, person: str) -> set[bytes]:
    """Pieces of all ciphertexts of a person."""
    with sqlite3.connect(folder / FILE) as db, Store.open(folder, KEY) as gallery:
        name = gallery.cipher.encrypt_name(person)
        rows = db.execute(
            "SELECT name, sha256, source, vector FROM faces JOIN people USING (person_id) WHERE name = ?",
            (name,),
        ).fetchall()
    assert rows
    return {value[i : i + 16] for row in rows for value in row for i in range(0, len(value) - 15, 8)}
