"""What changes every row of a gallery in one transaction: another key, another encoder; and a copy of all."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from facesearch.errors import OutputExists, writing
from facesearch.files import OWNER_ONLY
from facesearch.gallery.store.cipher import Cipher
from facesearch.gallery.store.codec import RowCodec
from facesearch.gallery.store.database import connect
from facesearch.gallery.store.faces import AT_ONCE
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.notes import COUNT_ERASURE, DETECTOR, FORGET_INDEX, SET, without_private_notes
from facesearch.gallery.store.rows import Row, Unfinished
from facesearch.gallery.store.schema import ENCRYPTED_FORMAT, FILE, FORMAT
from facesearch.gallery.store.store import Store
from facesearch.gallery.store.templates import Templates
from facesearch.records import Seen


def change_cipher(store: Store, cipher: Cipher, key: Key | None) -> Unfinished | None:
    """Write every row again under another cipher, that of key. Returns what is still to be done.

    None: the gallery is plain now, and nothing has to go. Raises CorruptGallery for a row that is not right,
    and then nothing was changed.
    """
    codec, notes = store.codec, store.notes
    noted = notes.has_seen_column()
    with notes.transaction() as db:
        faces = 0
        for batch in store.faces.stored(AT_ONCE):
            seen = store.faces.seen(row[0] for row in batch)
            rows = [(row[0], codec.read(row)) for row in batch]
            fresh = [
                (
                    *codec.stored(row, cipher)[1:],
                    *_seen_as(codec, row, seen.get(face_id), cipher, noted),
                    face_id,
                )
                for face_id, row in rows
            ]
            values = "sha256 = ?, source = ?, vector = ?, checksum = ?" + (", seen = ?" if noted else "")
            db.executemany(f"UPDATE faces SET {values} WHERE face_id = ?", fresh)
            faces += len(batch)
        for person_id, stored in db.execute("SELECT person_id, name FROM people").fetchall():
            name = cipher.encrypt_name(codec.name(stored))
            db.execute("UPDATE people SET name = ? WHERE person_id = ?", (name, person_id))
        _renew_templates(store, db, store.encoder_id, store.dimension, cipher)
        note = None
        if cipher.description:
            db.executemany(SET, [("format", str(ENCRYPTED_FORMAT)), ("cipher", cipher.description)])
            note = Unfinished(secrets.token_hex(16), "", faces, notes.generation, "encrypt")
            notes.begin_erasure(db, note)
            db.execute(FORGET_INDEX)
        else:
            db.execute(SET, ("format", str(FORMAT)))
            db.execute("DELETE FROM main.meta WHERE key = 'cipher'")
    store.now_of(store.encoder_id, store.dimension, cipher, key)
    return note


def _renew_templates(
    store: Store, db: sqlite3.Connection, encoder_id: str, dimension: int, cipher: Cipher
) -> None:
    """Within the transaction that changed all rows: everybody's template, of the rows as they are now."""
    codec = RowCodec(store.folder, encoder_id, dimension, cipher, lambda: True)
    people = [row[0] for row in db.execute("SELECT person_id FROM main.people").fetchall()]
    Templates(store.database, store.notes, codec).renew(db, people)


def _seen_as(
    codec: RowCodec, row: Row, seen: Seen | None, cipher: Cipher, noted: bool
) -> tuple[bytes | None, ...]:
    return (codec.stored_seen(row, seen, cipher),) if noted else ()


def take_vectors_of(store: Store, other: Store) -> int:
    """Exchange every vector for that of the same photo in a gallery of another encoder, and take on that
    encoder, in one step.

    Photos that the other one does not hold are dropped. The threshold goes: it was of the old encoder's
    scores. Returns how many photos are enrolled then. The other one must lie on disk as this one does
    (`like`). Raises CannotWrite, GalleryBusy.
    """
    if other.cipher.description != store.cipher.description:
        raise ValueError("rows under another cipher would not be found: all would be dropped")
    same = (
        "FROM next.faces n JOIN next.people p USING (person_id) JOIN main.people own ON own.name = p.name "
        "WHERE own.person_id = faces.person_id AND n.sha256 = faces.sha256 AND n.source = faces.source"
    )
    notes, detectors = store.notes, other.notes.detectors()
    new = {
        "encoder_id": other.encoder_id,
        "dimension": str(other.dimension),
        "encoder": other.notes.encoder,
        "encoder_file": other.notes.encoder_file_note(),
    }
    with store.database.attached(other.folder / FILE, "next"), notes.transaction() as db:
        db.execute("DELETE FROM main.meta WHERE key GLOB ?", (f"{DETECTOR}*",))
        notes.add_detectors(db, detectors, seen=notes.has_seen_column("next"))
        values, theirs = ["vector", "checksum"], ["n.vector", "n.checksum"]
        for column, ours, given in (
            ("detector", notes.has_detector_column(), notes.has_detector_column("next")),
            ("seen", notes.has_seen_column(), notes.has_seen_column("next")),
        ):
            if ours:
                values.append(column)
                theirs.append(f"n.{column}" if given else "NULL")
        db.execute(f"DELETE FROM main.faces WHERE NOT EXISTS (SELECT 1 {same})")
        if store.templates.are_kept():
            db.execute("DELETE FROM main.templates")
        db.execute("DELETE FROM main.people WHERE person_id NOT IN (SELECT person_id FROM main.faces)")
        db.execute(f"UPDATE main.faces SET ({', '.join(values)}) = (SELECT {', '.join(theirs)} {same})")
        db.executemany("INSERT OR REPLACE INTO main.meta VALUES (?, ?)", list(new.items()))
        db.execute("DELETE FROM main.meta WHERE key = 'threshold'")
        _renew_templates(store, db, other.encoder_id, other.dimension, store.cipher)
        db.execute(FORGET_INDEX)
        db.execute(COUNT_ERASURE)
    store.now_of(other.encoder_id, other.dimension, store.cipher, store.key)
    return len(store.faces)


def snapshot(store: Store, path: Path) -> None:
    """Write everything that is enrolled into one new file. Raises OutputExists, CannotWrite."""
    if path.exists():
        raise OutputExists(path, "would be overwritten")
    with writing(path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, OWNER_ONLY))
    try:
        store.database.copy_to(path)
        with store.database.errors(), closing(connect(path)) as db:
            without_private_notes(db)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
