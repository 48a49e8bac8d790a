"""What a gallery does when something must go for good: forgetting, and changing the key. What of it is unfinished, it remembers.

Deleted bytes are overwritten in the file (`secure_delete`); the log and the derived index still hold them afterwards, until
jobs.erase has done the rest.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict

from facesearch.errors import CorruptGallery, UnknownPhoto
from facesearch.gallery.cipher import BrokenSeal, Cipher
from facesearch.gallery.keys import Key
from facesearch.gallery.opened import FORMAT, SEALED_FORMAT, OpenGallery
from facesearch.gallery.rows import Erased, Row, Stored, Unfinished, checksum_of, usual_form

COUNT_ERASURE = "INSERT INTO main.meta VALUES ('erasures', '1') ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1"
SET = "INSERT INTO main.meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
OWE_ERASURE = """
INSERT INTO meta SELECT 'owed:' || value, ? FROM meta
WHERE key = 'erasures' AND EXISTS (SELECT 1 FROM meta WHERE key GLOB 'projection:*')
"""
"""Where the gallery is projected into another engine, what that one has to erase too is noted in the same transaction."""
AT_ONCE = 1000


class ErasableGallery(OpenGallery):
    """An open gallery that can forget."""

    @property
    def generation(self) -> int:
        """Grows with every change. Raises CorruptGallery."""
        return self._count_in_meta("generation", None)

    @property
    def erasures(self) -> int:
        """How often bytes had to go for good: an index file made before the last time may still hold them. Raises CorruptGallery."""
        return self._count_in_meta("erasures", 0)

    def forget(self, name: str, is_chosen: Callable[[str, str], bool] | None = None) -> Erased:
        """Delete a person with all faces, or those whose (content hash, source) is chosen, and overwrite their bytes.

        A person without faces goes too. The log and the derived index still hold the vectors afterwards, and the gallery
        remembers that: jobs.erase does the rest. Raises UnknownPerson, UnknownPhoto.
        """
        name = usual_form(name)
        at_rest = self.cipher.seal_name(name)
        with self._transaction() as db:
            person = self._person_id(name)
            stored = db.execute("SELECT face_id, sha256, source, vector FROM faces WHERE person_id = ?", (person,)).fetchall()
            rows = [(face_id, pieces, self._readable(at_rest, *pieces)) for face_id, *pieces in stored]
            gone = [entry for entry in rows if is_chosen is None or (entry[2] and is_chosen(entry[2].sha256, entry[2].source))]
            if not gone:
                raise UnknownPhoto(name)
            db.executemany("DELETE FROM faces WHERE face_id = ?", [(entry[0],) for entry in gone])
            pieces = {piece for entry in gone for piece in (*entry[1], *(entry[2] or ())[1:])}
            if len(gone) == len(rows):
                db.execute("DELETE FROM people WHERE person_id = ?", (person,))
                pieces |= {name, at_rest}
            salt = secrets.token_hex(16)
            note = Unfinished(salt, self.cipher.digest(salt, name), len(gone), self.generation)
            self._note(note)
            db.execute(OWE_ERASURE, (json.dumps({"salt": salt, "digest": note.digest, "face_ids": [entry[0] for entry in gone]}),))
        return Erased.of(note, pieces)

    def is_of(self, note: Unfinished, name: str) -> bool:
        """Whether an erasure is of this person."""
        return note.digest == self.cipher.digest(note.salt, name)

    def unfinished(self) -> Unfinished | None:
        """The erasure that was not carried to its end, if there is one. Raises CorruptGallery."""
        value = self.meta("erasing")
        try:
            return Unfinished(**json.loads(value)) if value else None
        except (TypeError, ValueError) as error:
            raise CorruptGallery(self.folder, "its note of an unfinished erasure cannot be read") from error

    def erasure_done(self, note: Unfinished) -> None:
        """Take the note of this erasure away; that of a later one, which another process has just begun, stays."""
        with self._translated():
            self._db.execute("DELETE FROM meta WHERE key = 'erasing' AND instr(value, ?)", (note.salt,))

    def rewrite(self) -> None:
        """Write the whole file anew with what is alive and nothing else."""
        with self._translated():
            self._db.execute("VACUUM")

    def sweep(self) -> bool:
        """Write the log back and cut it to nothing, so that no deleted bytes stay in it. False: a reader holds it open."""
        with self._translated():
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def is_alive(self, piece: bytes | str) -> bool:
        """Whether a row that is enrolled holds this piece of a vector, or of a name of a person or photo, or a content hash.

        Of an encrypted gallery: the piece as it lies on disk; plain text never does.
        """
        if isinstance(piece, str) or self.sealed:
            if self._all("SELECT 1 FROM people WHERE instr(name, ?) LIMIT 1", piece):
                return True
            if self._all("SELECT 1 FROM faces WHERE instr(source, ?1) OR instr(sha256, ?1) LIMIT 1", piece):
                return True
        return isinstance(piece, bytes) and bool(self._all("SELECT 1 FROM faces WHERE instr(vector, ?) LIMIT 1", piece))

    def change_cipher(self, cipher: Cipher, key: Key | None) -> Unfinished | None:
        """Write every row anew under another cipher, that of key, in one transaction. Returns what is still to be done.

        None: the gallery is plain now, and nothing has to go. Raises CorruptGallery for a row that is not right, and then nothing
        was changed.
        """
        with self._transaction() as db:
            last, faces = 0, 0
            while batch := self._rows(last, AT_ONCE):
                fresh = []
                for stored in batch:
                    _, sha256, source, blob, checksum = self._at_rest(cipher, self._opened(stored))
                    fresh.append((sha256, source, blob, checksum, stored[0]))
                db.executemany("UPDATE faces SET sha256 = ?, source = ?, vector = ?, checksum = ? WHERE face_id = ?", fresh)
                last, faces = batch[-1][0], faces + len(batch)
            for person_id, name in db.execute("SELECT person_id, name FROM people").fetchall():
                db.execute("UPDATE people SET name = ? WHERE person_id = ?", (cipher.seal_name(self._name(name)), person_id))
            if cipher.description:
                db.executemany(SET, [("format", str(SEALED_FORMAT)), ("cipher", cipher.description)])
                note = Unfinished(secrets.token_hex(16), "", faces, self.generation, "encrypt")
                self._note(note)
            else:
                db.execute(SET, ("format", str(FORMAT)))
                db.execute("DELETE FROM main.meta WHERE key = 'cipher'")
                note = None
        self.cipher, self.key = cipher, key
        return note

    # ---- inside

    def _note(self, note: Unfinished) -> None:
        """Within a transaction: bytes are to go for good, and that is not done yet."""
        self._db.execute(SET, ("erasing", json.dumps(asdict(note))))
        self._db.execute(COUNT_ERASURE)

    def _readable(self, name: Stored, sha256: Stored, source: Stored, blob: bytes) -> Row | None:
        """A stored row; None where it does not open. What cannot be read any more can still be forgotten."""
        try:
            return self.cipher.open(self.encoder_id, name, sha256, source, blob)
        except BrokenSeal:
            return None

    def _at_rest(self, cipher: Cipher, row: Row) -> tuple[Stored, Stored, Stored, bytes, int]:
        """A row as a cipher stores it, with the checksum of that: name, content hash, source, vector's bytes, checksum."""
        stored = cipher.seal(self.encoder_id, row)
        return (*stored, checksum_of(*stored))
