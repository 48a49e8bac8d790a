"""What the store itself does so that bytes go for good: rows, the file's free pages, the log.

Deleted bytes are overwritten in the file (`secure_delete`); the log and the index still hold them afterwards.
`gallery/forget.py` tells, in order, all that is wiped.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from facesearch.errors import UnknownPhoto
from facesearch.gallery.store.codec import RowCodec
from facesearch.gallery.store.database import Database
from facesearch.gallery.store.faces import Faces
from facesearch.gallery.store.notes import Notes
from facesearch.gallery.store.rows import Erased, Unfinished, usual_form


class Eraser:
    """Deletes from one open gallery, and knows what is still alive in it."""

    def __init__(self, database: Database, notes: Notes, codec: RowCodec, faces: Faces) -> None:
        self._database, self._notes, self._codec, self._faces = database, notes, codec, faces

    def delete(self, name: str, is_chosen: Callable[[str, str], bool] | None = None) -> Erased:
        """Delete a person with all faces, or those whose (content hash, source) is chosen, and overwrite
        their bytes. A person without faces goes too.

        The same transaction notes that an erasure is under way, and for the engines that the gallery is
        projected to that they have to erase too. Raises UnknownPerson, UnknownPhoto.
        """
        name = usual_form(name)
        at_rest = self._codec.cipher.encrypt_name(name)
        with self._notes.transaction() as db:
            person = self._faces.person_id(name)
            sql = "SELECT face_id, sha256, source, vector FROM faces WHERE person_id = ?"
            stored = db.execute(sql, (person,)).fetchall()
            rows = [(face_id, own, self._codec.readable(at_rest, *own)) for face_id, *own in stored]
            gone = [
                (face_id, own, row)
                for face_id, own, row in rows
                if is_chosen is None or (row and is_chosen(row.sha256, row.source))
            ]
            if not gone:
                raise UnknownPhoto(name)
            ids = [face_id for face_id, _, _ in gone]
            db.executemany("DELETE FROM faces WHERE face_id = ?", [(face_id,) for face_id in ids])
            pieces = {piece for _, own, row in gone for piece in (*own, *(row or ())[1:])}
            if len(gone) == len(rows):
                db.execute("DELETE FROM people WHERE person_id = ?", (person,))
                pieces |= {name, at_rest}
            salt = secrets.token_hex(16)
            digest = self._codec.cipher.digest(salt, name)
            note = Unfinished(salt, digest, len(gone), self._notes.generation)
            self._notes.begin_erasure(db, note)
            self._notes.add_pending(db, note, ids)
        return Erased.of(note, pieces)

    def is_of(self, note: Unfinished, name: str) -> bool:
        """Whether an erasure is of this person."""
        return note.digest == self._codec.cipher.digest(note.salt, name)

    def rewrite_file(self) -> None:
        """Write the whole file again, with what is alive and nothing else."""
        self._database.rewrite()

    def cut_log(self) -> bool:
        """Write the log back and cut it to nothing. False: a reader holds it open."""
        return self._database.cut_log()

    def is_alive(self, piece: bytes | str) -> bool:
        """Whether a row that is enrolled holds this piece of a vector, or of a name of a person or photo, or
        a content hash.

        Of an encrypted gallery: the piece as it lies on disk; plain text never does.
        """
        found = self._database.all
        if isinstance(piece, str) or self._codec.cipher.description:
            if found("SELECT 1 FROM people WHERE instr(name, ?) LIMIT 1", piece):
                return True
            sql = "SELECT 1 FROM faces WHERE instr(source, ?1) OR instr(sha256, ?1) LIMIT 1"
            if found(sql, piece):
                return True
        sql = "SELECT 1 FROM faces WHERE instr(vector, ?) LIMIT 1"
        return isinstance(piece, bytes) and bool(found(sql, piece))
