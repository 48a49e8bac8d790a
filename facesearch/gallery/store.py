"""The truth on disk: one SQLite file a gallery. Everything else in the folder can be made again from it.

A face is one row: whose, which photo content, its unit vector in float16, a checksum of all that. Rows are added and
deleted in transactions, never changed; ids only grow, so "what is new" is "ids above". Deleted bytes are overwritten.
"""

from __future__ import annotations

import json
import os
import sqlite3
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from facesearch.errors import (
    BadName,
    CannotRead,
    CannotWrite,
    CorruptGallery,
    EncoderMismatch,
    GalleryBusy,
    NoGallery,
    UnknownPerson,
    writing,
)
from facesearch.files import OWNER_ONLY, make_folder
from facesearch.records import F32, I64, EnrolledFace

FILE = "gallery.sqlite"
FORMAT = 1
APPLICATION_ID = 0x66616365
WAIT_S = 30.0
LONGEST_NAME = 200
VECTOR = np.dtype("<f2")

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE people (person_id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE faces (
  face_id INTEGER PRIMARY KEY AUTOINCREMENT,
  person_id INTEGER NOT NULL REFERENCES people,
  sha256 TEXT NOT NULL,
  source TEXT NOT NULL,
  vector BLOB NOT NULL,
  checksum INTEGER NOT NULL,
  UNIQUE (person_id, sha256, source)
);
"""


@dataclass(frozen=True, slots=True)
class NewFace:
    """A face to be enrolled. vector (d,) float32 of length 1; source: the photo's name, without folders of the machine."""

    person: str
    sha256: str
    source: str
    vector: F32


@dataclass(frozen=True, slots=True)
class PersonCount:
    name: str
    faces: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """The score from which a match is believed, and what that belief rests on.

    fpir: the rate of strangers named that it aims at; method in words; searches: how many it was read from; faces: the
    gallery's size then. on_strangers: it was set on searches of real strangers, `people` of them; low, high: where the rate of
    other strangers lies, 95 %. curve: (score, share of searches with a candidate at or above it), scores rising.
    """

    score: float
    fpir: float
    method: str
    searches: int
    faces: int
    on_strangers: bool = False
    people: int = 0
    low: float | None = None
    high: float | None = None
    curve: tuple[tuple[float, float], ...] = ()

    def words(self) -> str:
        basis = f"{self.searches} searches, " if self.searches else ""
        return f"{self.score:.3f} for an FPIR of {self.promise()}: {self.method} ({basis}{self.faces} faces enrolled)"

    def promise(self) -> str:
        """The rate with its interval, where there is one."""
        between = "" if self.low is None or self.high is None else f" [{self.low:.1%}, {self.high:.1%}]"
        return f"{self.fpir:.1%}{between}"

    def expected_fpir(self, score: float, faces: int) -> float | None:
        """The FPIR to be expected when `score` decides, in a gallery of so many faces now; None when nothing tells."""
        if score == self.score and self.faces:
            return min(1.0, self.fpir * faces / self.faces)
        return self.share_above(score, faces)

    def share_above(self, score: float, faces: int) -> float | None:
        """Expected share of strangers' searches with a candidate at or above score, in a gallery of so many faces now.

        Every further face is one more chance to be mistaken for somebody, so shares grow with the number of faces. Between the
        curve's points the logarithm is interpolated; past its ends the outermost share is given. None without a curve.
        """
        if not self.curve or not self.faces:
            return None
        scores, shares = zip(*self.curve, strict=True)
        return min(1.0, float(np.exp(np.interp(score, scores, np.log(shares)))) * faces / self.faces)


def clean_name(name: str) -> str:
    """Bring a person's name to one form (Unicode NFC, no blanks around). Raises BadName for what no name can be.

    Names are data, never paths: slashes, dashes and every script are fine. Control characters and line breaks are not.
    """
    name = unicodedata.normalize("NFC", name).strip()
    if not name:
        raise BadName(name, "it is empty")
    if len(name) > LONGEST_NAME:
        raise BadName(name, f"it has {len(name):,} characters; {LONGEST_NAME} are the limit")
    for character in name:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise BadName(name, f"it holds the control character U+{ord(character):04X}")
    return name


class Gallery:
    """An open gallery. Use it in a with statement; it belongs to one thread."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = connection
        with self._translated():
            self._meta: dict[str, str] = dict(connection.execute("SELECT key, value FROM meta"))
        try:
            self.encoder_id = self._meta["encoder_id"]
            self.dimension = int(self._meta["dimension"])
            version, _ = int(self._meta["format"]), int(self._meta["generation"])
        except (KeyError, ValueError) as error:
            raise CorruptGallery(folder, "its description is incomplete") from error
        if version != FORMAT:
            raise CannotRead(folder / FILE, f"written by another version of facesearch (format {version}, this one reads {FORMAT})")

    @classmethod
    def create(cls, folder: Path, encoder_id: str, dimension: int, encoder: str) -> Self:
        """Make an empty gallery for vectors (dimension,) of one encoder; open it when another process was faster."""
        make_folder(folder)
        path = folder / FILE
        with writing(path):
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, OWNER_ONLY))
        with _sqlite_errors(folder):
            db = _connect(path)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE")
            if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                for statement in _SCHEMA.split(";\n"):
                    if statement.strip():
                        db.execute(statement)
                meta = {"format": FORMAT, "encoder_id": encoder_id, "dimension": dimension, "encoder": encoder, "generation": 0}
                db.executemany("INSERT INTO meta VALUES (?, ?)", [(key, str(value)) for key, value in meta.items()])
            db.execute("COMMIT")
            db.close()
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open an existing gallery. Raises NoGallery, CorruptGallery, CannotRead."""
        path = folder / FILE
        if not path.is_file():
            raise NoGallery(folder)
        with _sqlite_errors(folder):
            if os.access(folder, os.W_OK) and os.access(path, os.W_OK):
                db = _connect(path)
            else:  # a read-only place: WAL needs no file of its own as long as nobody writes
                db = sqlite3.connect(f"file:{_quoted(path)}?mode=ro&immutable=1", uri=True, isolation_level=None)
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise CorruptGallery(folder, f"{FILE} is not a gallery of facesearch")
        return cls(folder, db)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def require_encoder(self, encoder_id: str) -> None:
        """Raises EncoderMismatch when vectors of this encoder do not belong here."""
        if encoder_id != self.encoder_id:
            raise EncoderMismatch(self.folder, self.encoder_id, encoder_id)

    # ---- reading

    @property
    def encoder(self) -> str:
        """The encoder in words, as given when the gallery was made."""
        return self._meta.get("encoder", "")

    @property
    def generation(self) -> int:
        """Grows with every change."""
        return int(self._one("SELECT value FROM meta WHERE key = 'generation'"))

    def __len__(self) -> int:
        return int(self._one("SELECT count(*) FROM faces"))

    def people(self) -> list[PersonCount]:
        """Everyone enrolled, by name."""
        rows = self._all("SELECT name, count(face_id) FROM people JOIN faces USING (person_id) GROUP BY person_id ORDER BY name")
        return [PersonCount(name, faces) for name, faces in rows]

    def known_photos(self) -> set[tuple[str, str, str]]:
        """(person, content hash, source) of every face."""
        return set(self._all("SELECT name, sha256, source FROM faces JOIN people USING (person_id)"))

    def has_photo(self, person: str, sha256: str) -> bool:
        found = self._all("SELECT 1 FROM faces JOIN people USING (person_id) WHERE name = ? AND sha256 = ? LIMIT 1", person, sha256)
        return bool(found)

    def faces(self, face_ids: Iterable[int]) -> dict[int, EnrolledFace]:
        """The rows of these ids; ids that were deleted meanwhile are missing from the answer."""
        found = {}
        ids = list(face_ids)
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            marks = ",".join("?" * len(part))
            rows = self._all(
                f"SELECT face_id, name, source, sha256 FROM faces JOIN people USING (person_id) WHERE face_id IN ({marks})", *part
            )
            found.update({row[0]: EnrolledFace(*row) for row in rows})
        return found

    def photo_counts(self, people: Iterable[str]) -> dict[str, int]:
        sql = "SELECT count(*) FROM faces JOIN people USING (person_id) WHERE name = ?"
        return {name: int(self._one(sql, name)) for name in people}

    def vectors(self, after: int = 0) -> tuple[I64, F32, list[str]]:
        """All faces with an id above `after`: ids (n,), unit vectors (n, d) float32, people. Raises CorruptGallery."""
        rows = self._all(
            "SELECT face_id, name, sha256, source, vector, checksum FROM faces JOIN people USING (person_id) "
            "WHERE face_id > ? ORDER BY face_id",
            after,
        )
        vectors = np.empty((len(rows), self.dimension), np.float32)
        for i, (face_id, name, sha256, source, blob, checksum) in enumerate(rows):
            if len(blob) != self.dimension * VECTOR.itemsize or _checksum(name, sha256, source, blob) != checksum:
                raise CorruptGallery(self.folder, f"the row of face {face_id} does not fit its checksum")
            vectors[i] = np.frombuffer(blob, VECTOR)
        return np.array([row[0] for row in rows], np.int64), vectors, [row[1] for row in rows]

    def vectors_of(self, person: str) -> F32:
        """The unit vectors (n, d) of one person; none of somebody who is not enrolled."""
        blobs = self._all("SELECT vector FROM faces JOIN people USING (person_id) WHERE name = ? ORDER BY face_id", person)
        rows = [np.frombuffer(blob, VECTOR).astype(np.float32) for (blob,) in blobs]
        return np.stack(rows) if rows else np.empty((0, self.dimension), np.float32)

    def last_face_id(self) -> int:
        return int(self._one("SELECT coalesce(max(face_id), 0) FROM faces"))

    def threshold(self) -> Threshold | None:
        rows = self._all("SELECT value FROM meta WHERE key = 'threshold'")
        try:
            if not rows:
                return None
            stored = json.loads(rows[0][0])
            return Threshold(**{**stored, "curve": tuple((float(score), float(share)) for score, share in stored.get("curve", ()))})
        except (TypeError, ValueError) as error:
            raise CorruptGallery(self.folder, "its threshold cannot be read") from error

    # ---- writing

    def add(self, faces: Sequence[NewFace]) -> int:
        """Enroll all faces in one transaction; returns how many were new. Raises BadName, CannotWrite, GalleryBusy."""
        rows = [(clean_name(f.person), f.sha256, f.source, _blob(f.vector, self.dimension)) for f in faces]
        with self._transaction() as db:
            names = {row[0] for row in rows}
            db.executemany("INSERT INTO people (name) VALUES (?) ON CONFLICT (name) DO NOTHING", [(name,) for name in names])
            before = db.total_changes
            db.executemany(
                "INSERT INTO faces (person_id, sha256, source, vector, checksum) "
                "SELECT person_id, ?, ?, ?, ? FROM people WHERE name = ? ON CONFLICT DO NOTHING",
                [(sha, source, blob, _checksum(name, sha, source, blob), name) for name, sha, source, blob in rows],
            )
            return db.total_changes - before

    def forget(self, name: str) -> int:
        """Delete a person with all faces and overwrite their bytes; returns how many faces. Raises UnknownPerson.

        The log and the derived index still hold the vectors afterwards: the caller calls sweep and faiss_index.refresh.
        """
        name = unicodedata.normalize("NFC", name).strip()
        with self._transaction() as db:
            found = db.execute("SELECT person_id FROM people WHERE name = ?", (name,)).fetchone()
            if found is None:
                raise UnknownPerson(name, self._close_names(name))
            deleted = db.execute("DELETE FROM faces WHERE person_id = ?", found).rowcount
            db.execute("DELETE FROM people WHERE person_id = ?", found)
        return int(deleted)

    def sweep(self) -> bool:
        """Write the log back and cut it to nothing, so that no deleted bytes stay in it. False: a reader holds it open."""
        with self._translated():
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def set_threshold(self, threshold: Threshold) -> None:
        value = json.dumps({slot: getattr(threshold, slot) for slot in Threshold.__slots__})
        with self._translated():
            self._db.execute("INSERT INTO meta VALUES ('threshold', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (value,))

    # ---- inside

    def _close_names(self, name: str) -> tuple[str, ...]:
        import difflib

        return tuple(difflib.get_close_matches(name, [person.name for person in self.people()], n=1))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'generation'")
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _translated(self) -> Any:
        return _sqlite_errors(self.folder)

    def _all(self, sql: str, *values: object) -> list[Any]:
        with self._translated():
            return self._db.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: object) -> Any:
        return self._all(sql, *values)[0][0]


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    return db


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.absolute()))


def _blob(vector: F32, dimension: int) -> bytes:
    length = float(np.linalg.norm(vector))
    if vector.shape != (dimension,) or not abs(length - 1) < 1e-3:
        raise ValueError(f"a vector of shape {vector.shape} and length {length} is no unit vector of {dimension} numbers")
    return vector.astype(VECTOR).tobytes()


def _checksum(name: str, sha256: str, source: str, blob: bytes) -> int:
    return zlib.crc32(blob, zlib.crc32("\0".join((name, sha256, source)).encode()))


@contextmanager
def _sqlite_errors(folder: Path) -> Iterator[None]:
    """Say in our words what SQLite reports."""
    path = folder / FILE
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
        if "malformed" in text or "no such table" in text or "no such column" in text:
            raise CorruptGallery(folder, text) from error
        raise CannotWrite(path, text) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.NotSupportedError):
            raise
        raise CorruptGallery(folder, str(error)) from error
