"""A gallery's file while it is open: what it says of itself, how its rows are read under its cipher, its transactions.

What a gallery can be asked and told stands in store.py and erasing.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from facesearch.errors import CannotRead, CorruptGallery, FacesearchError, GalleryChanged, UnknownPerson
from facesearch.gallery.cipher import BrokenSeal, cipher_for
from facesearch.gallery.keys import Key
from facesearch.gallery.rows import Row, checksum_of, usual_form
from facesearch.gallery.sqlite import FILE, sqlite_errors

FORMAT = 1
SEALED_FORMAT = 2
"""The same tables, but rows are sealed: what reads format 1 only must not take ciphertexts for names."""
ROWS = "SELECT face_id, name, sha256, source, vector, checksum FROM faces JOIN people USING (person_id)"


class OpenGallery:
    """An open connection to a gallery's file. Use it in a with statement; it belongs to one thread."""

    def __init__(self, folder: Path, connection: sqlite3.Connection, key: Key | None, *, either: bool) -> None:
        """Takes over the connection. Raises CorruptGallery, CannotRead, and what cipher_for raises."""
        self.folder = folder
        self.key = key
        self._db = connection
        try:
            self._describe(either)
        except BaseException:
            connection.close()
            raise

    def _describe(self, either: bool) -> None:
        with self._translated():
            self._meta: dict[str, str] = dict(self._db.execute("SELECT key, value FROM meta"))
        try:
            self.encoder_id = self._meta["encoder_id"]
            self.dimension = int(self._meta["dimension"])
            version, _ = int(self._meta["format"]), int(self._meta["generation"])
        except (KeyError, ValueError) as error:
            raise CorruptGallery(self.folder, "its description is incomplete") from error
        if version not in (FORMAT, SEALED_FORMAT):
            known = f"this one reads {FORMAT} and {SEALED_FORMAT}"
            raise CannotRead(self.folder / FILE, f"written by another version of facesearch (format {version}, {known})")
        if (version == SEALED_FORMAT) != ("cipher" in self._meta):
            raise CorruptGallery(self.folder, "its description does not say rightly whether it is encrypted")
        self.cipher = cipher_for(self.folder, self._meta.get("cipher", ""), self.key, either=either)

    @property
    def sealed(self) -> bool:
        """Whether names, sources, content hashes and vectors are encrypted."""
        return bool(self.cipher.description)

    def was_encrypted(self) -> bool:
        """Whether another process has encrypted what was opened here in plain."""
        return not self.sealed and bool(self._all("SELECT 1 FROM main.meta WHERE key = 'cipher'"))

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # ---- what it notes about itself

    def meta(self, key: str) -> str | None:
        """What the gallery has noted about itself under this key."""
        rows = self._all("SELECT value FROM meta WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def meta_like(self, pattern: str) -> list[tuple[str, str]]:
        """All such notes (key, value) whose key fits a GLOB pattern, by key."""
        return self._all("SELECT key, value FROM meta WHERE key GLOB ? ORDER BY key", pattern)

    def set_meta(self, key: str, value: str | None) -> None:
        """Note something that tells of no person, or with None take the note away. Raises CannotWrite, GalleryBusy."""
        sql = "DELETE FROM meta WHERE key = ?" if value is None else "INSERT OR REPLACE INTO meta VALUES (?, ?)"
        with self._translated():
            self._db.execute(sql, (key,) if value is None else (key, value))

    # ---- for those who build on it: rows

    def _rows(self, after: int, most: int = -1) -> list[Any]:
        """Rows as they are stored: face id, name, content hash, source, vector, checksum."""
        return self._all(f"{ROWS} WHERE face_id > ? ORDER BY face_id LIMIT ?", after, most)

    def _opened(self, stored: tuple[Any, ...]) -> Row:
        """A stored row, checked and opened. A wrong name is worse than no answer: raises CorruptGallery, GalleryChanged."""
        face_id, name, sha256, source, blob, checksum = stored
        text = self.cipher.text
        if not (isinstance(name, text) and isinstance(sha256, text) and isinstance(source, text) and isinstance(blob, bytes)):
            raise self._unfit(f"the row of face {face_id} is not of the right kinds")
        if checksum_of(name, sha256, source, blob) != checksum:
            raise self._unfit(f"the row of face {face_id} does not fit its checksum")
        try:
            return self.cipher.open(self.encoder_id, name, sha256, source, blob)
        except BrokenSeal as error:
            raise self._unfit(f"the row of face {face_id}: {error}") from error

    def _name(self, stored: object) -> str:
        try:
            return self.cipher.open_name(stored)
        except BrokenSeal as error:
            raise self._unfit(f"a person's name: {error}") from error

    def _unfit(self, reason: str) -> FacesearchError:
        """What is to be raised for what cannot be read: damage, unless the whole gallery has changed under us."""
        return CorruptGallery(self.folder, reason) if self._is_as_opened() else GalleryChanged(self.folder)

    def _person_id(self, name: str) -> int:
        name = usual_form(name)
        found = self._all("SELECT person_id FROM people WHERE name = ?", self.cipher.seal_name(name))
        if not found:
            raise UnknownPerson(name, self._close_names(name))
        return int(found[0][0])

    def _close_names(self, name: str) -> tuple[str, ...]:
        import difflib

        names = [self._name(row[0]) for row in self._all("SELECT name FROM people")]
        return tuple(difflib.get_close_matches(name, sorted(names), n=1))

    def _notes_detectors(self, database: str = "main") -> bool:
        """Whether rows have a place for what found the face. Asked each time: another process may have made it just now."""
        return bool(self._all("SELECT 1 FROM pragma_table_info('faces', ?) WHERE name = 'detector'", database))

    # ---- for those who build on it: transactions

    def _is_as_opened(self) -> bool:
        """Whether the gallery is still of the encoder and under the cipher that it was opened with."""
        now = dict(self._all("SELECT key, value FROM main.meta WHERE key IN ('encoder_id', 'cipher')"))
        return bool(now.get("encoder_id") == self.encoder_id and now.get("cipher", "") == self.cipher.description)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is written within is written as one. Raises GalleryChanged rather than mix encoders or ciphers."""
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if not self._is_as_opened():
                    raise GalleryChanged(self.folder)
                yield self._db
                self._db.execute("UPDATE main.meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'generation'")
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """All that is read within is of one moment. Raises GalleryChanged."""
        with self._translated():
            self._db.execute("BEGIN")
            try:
                if not self._is_as_opened():
                    raise GalleryChanged(self.folder)
                yield
            finally:
                self._db.execute("COMMIT")

    def _translated(self) -> Any:
        return sqlite_errors(self.folder)

    def _all(self, sql: str, *values: object) -> list[Any]:
        with self._translated():
            return self._db.execute(sql, values).fetchall()

    def _count_in_meta(self, key: str, absent: int | None) -> int:
        """A number of the description; absent: what it is while nobody has written it. What is found by reading all of a broken
        table need not be found by its key: raises CorruptGallery."""
        noted = self.meta(key)
        if noted is None and absent is not None:
            return absent
        try:
            return int(noted or "")
        except ValueError as error:
            raise CorruptGallery(self.folder, f"its {key} cannot be read") from error

    def _one(self, sql: str, *values: object) -> Any:
        return self._all(sql, *values)[0][0]
