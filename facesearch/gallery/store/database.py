"""An open SQLite file of ours: statements, transactions, and what SQLite reports, said in our words.

A gallery's store and an album are each one such file. What is deleted in it is overwritten.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from facesearch.errors import (
    CannotRead,
    CannotWrite,
    CorruptGallery,
    FacesearchError,
    GalleryBusy,
    GalleryChanged,
    writing,
)
from facesearch.files import OWNER_ONLY, make_folder, require_utf8

WAIT_S = 30.0
"""How long a writer waits for another one."""
IN_LOG = "the latest changes stand in a log beside it (-wal or -journal), which cannot be read here"
MAKE_WRITABLE = (
    "Make the folder writable and run any command once, or copy the folder, its log included, to where you"
    " may write."
)
NOT_TEXT = "it holds text that is not UTF-8"
Corrupt = Callable[[Path, str], FacesearchError]
"""The error for a file that is damaged, made of its folder and the reason."""


class Database:
    """One connection, for one thread. path: the file; its folder is what error messages name."""

    def __init__(self, path: Path, connection: sqlite3.Connection, corrupt: Corrupt = CorruptGallery) -> None:
        self.path, self._db, self._corrupt = path, connection, corrupt
        self._seen: tuple[object, ...] | None = None

    @classmethod
    def open(cls, path: Path, application_id: int, corrupt: Corrupt = CorruptGallery, *, said: str) -> Self:
        """Open a file that is there, read-only where nothing may be written.

        said: what to say of a file that is not ours. Raises what `corrupt` makes, CannotWrite.
        """
        with sqlite_errors(path, corrupt):
            writable = os.access(path.parent, os.W_OK) and os.access(path, os.W_OK)
            seen = None if writable else _seen(path)
            db = connect(path) if writable else read_only(path)
            db.execute("PRAGMA trusted_schema = OFF")
            if db.execute("PRAGMA application_id").fetchone()[0] != application_id:
                db.close()
                raise corrupt(path.parent, said)
        opened = cls(path, db, corrupt)
        opened._seen = seen
        return opened

    @staticmethod
    def create(
        path: Path,
        application_id: int,
        schema: str,
        meta: dict[str, object],
        corrupt: Corrupt = CorruptGallery,
    ) -> None:
        """Make a file with these tables and this description, its owner's alone; a file that is there stays
        as it is. Raises CannotWrite, GalleryBusy.
        """
        make_folder(path.parent)
        with writing(path):
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, OWNER_ONLY))
            except FileExistsError:
                if not path.exists():  # a link to nowhere: what it names is not made
                    raise
        with sqlite_errors(path, corrupt), closing(connect(path)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE")
            if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
                db.execute(f"PRAGMA application_id = {application_id}")
                for statement in statements(schema):
                    db.execute(statement)
                values = [(key, str(value)) for key, value in meta.items()]
                db.executemany("INSERT INTO meta VALUES (?, ?)", values)
            db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()

    @property
    def writable(self) -> bool:
        """Whether this file may be written where it lies."""
        return self._seen is None

    # ---- statements

    def holds(self, is_right: Callable[[sqlite3.Connection], bool]) -> bool:
        """Whether its schema is right."""
        with self.errors():
            return is_right(self._db)

    def all(self, sql: str, *values: object) -> list[Any]:
        """Every row of the answer."""
        if self._seen is not None and self._seen != _seen(self.path):
            raise GalleryChanged(self.path.parent)  # SQLite was told that nobody writes
        with self.errors():
            return self._db.execute(sql, values).fetchall()

    def one(self, sql: str, *values: object) -> Any:
        """The first value of the first row; there must be one."""
        return self.all(sql, *values)[0][0]

    def run(self, sql: str, *values: object) -> None:
        """A statement on its own."""
        with self.errors():
            self._db.execute(sql, values)

    def of_ids(self, sql: str, ids: Iterable[int], column: str = "face_id") -> Iterator[Any]:
        """The rows that this SELECT gives of these ids, a few hundred ids at a time."""
        wanted = list(ids)
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            yield from self.all(f"{sql} WHERE {column} IN ({','.join('?' * len(part))})", *part)

    # ---- transactions

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is written within is written as one, or not at all. Raises CannotWrite, GalleryBusy."""
        with self.errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read within is of one moment."""
        with self.errors():
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """Wait so long for another writer, and no longer."""
        self.run(f"PRAGMA busy_timeout = {int(1000 * seconds)}")
        try:
            yield
        finally:
            self.run(f"PRAGMA busy_timeout = {int(1000 * WAIT_S)}")

    @contextmanager
    def attached(self, path: Path, name: str) -> Iterator[None]:
        """Another file of the same kind, as a schema of this name."""
        with self.errors():
            self._db.execute(f"ATTACH ? AS {name}", (str(path),))
            try:
                yield
            finally:
                self._db.execute(f"DETACH {name}")

    # ---- the file as a whole

    def rewrite(self) -> None:
        """Write the whole file again, with what is alive and nothing else."""
        self.run("VACUUM")

    def copy_to(self, path: Path) -> None:
        """Write what is alive into another file, which must not hold anything."""
        require_utf8(path)
        self.run("VACUUM INTO ?", str(path))

    def cut_log(self) -> bool:
        """Write the log back and cut it to nothing, so that no deleted bytes stay in it. False: a reader
        holds it open.
        """
        busy, _, _ = self.all("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        return not busy

    def errors(self) -> AbstractContextManager[None]:
        """Says in our words what SQLite reports within."""
        return sqlite_errors(self.path, self._corrupt)


def connect(path: Path) -> sqlite3.Connection:
    """Open for reading and writing; what is deleted will be overwritten."""
    db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    return db


def read_only(path: Path) -> sqlite3.Connection:
    """Open a file that nobody writes, in a place where nothing may be written: not even WAL's own files are
    made.

    Where a log lies beside it, the log is read, or the file is refused: what was confirmed stands there.
    Raises CannotRead.
    """
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    if not any(_logs(path)):
        return sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None)
    db = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        db.close()
        raise CannotRead(path, IN_LOG, MAKE_WRITABLE) from error
    return db


def _logs(path: Path) -> list[int]:
    """The sizes of the logs that SQLite may have left beside a file; 0: there is none."""
    beside = [path.with_name(path.name + suffix) for suffix in ("-wal", "-journal")]
    return [one.stat().st_size if one.is_file() else 0 for one in beside]


def _seen(path: Path) -> tuple[object, ...]:
    """What changes when somebody writes."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, *_logs(path)


def statements(schema: str) -> list[str]:
    """A schema's statements one by one, as SQLite keeps them."""
    return [statement.strip() for statement in schema.split(";\n") if statement.strip()]


@contextmanager
def sqlite_errors(path: Path, corrupt: Corrupt = CorruptGallery) -> Iterator[None]:
    """Say in our words what SQLite reports of a file."""
    folder = path.parent
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise GalleryBusy(folder, WAIT_S) from error
        if "full" in text:
            raise CannotWrite(path, "the disk is full") from error
        if "readonly" in text or "unable to open" in text or "permission" in text:
            raise CannotWrite(path, "the folder or the file is read-only") from error
        if "Could not decode" in text:  # the message goes on with what it could not read
            raise corrupt(folder, NOT_TEXT) from error
        if "malformed" in text or "no such table" in text or "no such column" in text:
            raise corrupt(folder, text) from error
        raise CannotWrite(path, text) from error
    except UnicodeDecodeError as error:  # where that message cannot be read either
        raise corrupt(folder, NOT_TEXT) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.NotSupportedError):
            raise
        raise corrupt(folder, str(error)) from error
