"""What the store itself does so that bytes go for good: rows, the file's free pages, the log.

Deleted bytes are overwritten in the file (`secure_delete`); the log and the index still hold them afterwards.
`gallery/forget.py` tells, in order, all that is wiped.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

from facesearch.errors import UnknownPhoto
from facesearch.faces.names import usual_form
from facesearch.gallery.store.codec import RowCodec
from facesearch.gallery.store.database import Database
from facesearch.gallery.store.faces import Faces
from facesearch.gallery.store.notes import Notes
from facesearch.gallery.store.remains import Wanted
from facesearch.gallery.store.rows import Erased, Unfinished

ROWS_AT_ONCE = 8192


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
            seen = "seen" if self._notes.has_seen_column() else "NULL"
            sql = f"SELECT face_id, {seen}, sha256, source, vector FROM faces WHERE person_id = ?"
            stored = db.execute(sql, (person,)).fetchall()
            rows = [(face_id, own, self._codec.readable(at_rest, *own)) for face_id, _, *own in stored]
            gone = [
                (face_id, own, row)
                for face_id, own, row in rows
                if is_chosen is None or (row and is_chosen(row.sha256, row.source))
            ]
            if not gone:
                raise UnknownPhoto(name)
            ids = [face_id for face_id, _, _ in gone]
            chosen = set(ids)
            db.executemany("DELETE FROM faces WHERE face_id = ?", [(face_id,) for face_id in ids])
            pieces = {piece for _, own, row in gone for piece in (*own, *(row or ())[1:])}
            pieces |= {seen for face_id, seen, *_ in stored if face_id in chosen and isinstance(seen, bytes)}
            templates = self._faces.templates
            if templates.are_kept():
                pieces |= templates.bytes_of(person)
                templates.renew(db, (person,))
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

    def alive(self, wanted: set[bytes | str]) -> set[bytes | str]:
        """Which of these pieces of vectors, names of people or photos and content hashes a row that is
        enrolled holds. All rows are read once, however many pieces are asked about.

        Of an encrypted gallery: the piece as it lies on disk; plain text never does.
        """
        pieces = [piece for piece in wanted if isinstance(piece, bytes)]
        texts = [piece for piece in wanted if isinstance(piece, str)]
        search = Wanted(pieces, texts)
        encrypted = bool(self._codec.cipher.description)
        found: set[bytes | str] = set()
        for vectors, words in self._values(with_words=encrypted or bool(texts)):
            if encrypted:
                found.update(*search.within([*vectors, *words]))
            else:
                found.update(search.within(vectors)[0] if pieces else (), search.within(words)[1])
        return found

    def shared(self, wanted: set[bytes | str]) -> set[bytes | str]:
        """Which of these vectors, names and content hashes a row that is enrolled holds as a whole: the same
        photos under somebody else's name. All pieces of them are alive.
        """
        by_bytes = {value if isinstance(value, bytes) else value.encode(): value for value in wanted}
        return {
            by_bytes[value]
            for vectors, words in self._values(with_words=True)
            for value in by_bytes.keys() & {*vectors, *words}
        }

    def _values(self, *, with_words: bool) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """All that rows hold, as bytes: vectors and what is known of their faces; names, content hashes and
        sources; some rows at a time.

        As bytes, since what is no text any more can still be forgotten.
        """
        every = self._database.all
        if with_words:
            yield [], [name for (name,) in every("SELECT CAST(name AS BLOB) FROM people")]
        seen = "CAST(seen AS BLOB)" if self._notes.has_seen_column() else "NULL"
        words = ", CAST(sha256 AS BLOB), CAST(source AS BLOB)" if with_words else ""
        sql = (
            f"SELECT face_id, CAST(vector AS BLOB), {seen}{words} FROM faces WHERE face_id > ?"
            " ORDER BY face_id LIMIT ?"
        )
        last = 0
        while rows := every(sql, last, ROWS_AT_ONCE):
            yield [v for row in rows for v in row[1:3] if v], [v for row in rows for v in row[3:]]
            last = rows[-1][0]
        for rows in self._faces.templates.stored(ROWS_AT_ONCE):
            yield [row[3] for row in rows if isinstance(row[3], bytes)], []
