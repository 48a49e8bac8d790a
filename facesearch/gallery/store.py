"""The truth on disk: one SQLite file a gallery. Everything else in the folder can be made again from it.

A face is one row: whose, which photo content, its unit vector in float16, a checksum of all that. Rows are added and
deleted in transactions, never changed; ids only grow, so "what is new" is "ids above". Deleted bytes are overwritten.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from facesearch.errors import (
    CannotRead,
    CorruptGallery,
    EncoderMismatch,
    GalleryChanged,
    NameTaken,
    NoGallery,
    NotFound,
    OutputExists,
    UnknownPerson,
    UnknownPhoto,
    writing,
)
from facesearch.files import OWNER_ONLY, make_folder
from facesearch.gallery.rows import (
    VECTOR,
    Erased,
    NewFace,
    PersonCount,
    Threshold,
    Unfinished,
    checksum_of,
    clean_name,
    digest_of,
    usual_form,
    vector_bytes,
    wrong_with,
)
from facesearch.gallery.sqlite import APPLICATION_ID, SCHEMA, connect, read_only, sqlite_errors, without_meta
from facesearch.gallery.sqlite import FILE as FILE
from facesearch.records import F32, I64, EnrolledFace

NEXT = "next"
"""Folder below a gallery's own, in which a gallery of another encoder grows until it takes the place of the first."""
FORMAT = 1

ROWS = "SELECT face_id, name, sha256, source, vector, checksum FROM faces JOIN people USING (person_id)"
COUNT_ERASURE = "INSERT INTO main.meta VALUES ('erasures', '1') ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1"
OWE_ERASURE = """
INSERT INTO meta SELECT 'owed:' || value, ? FROM meta
WHERE key = 'erasures' AND EXISTS (SELECT 1 FROM meta WHERE key GLOB 'projection:*')
"""
"""Where the gallery is projected into another engine, what that one has to erase too is noted in the same transaction."""


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
        with sqlite_errors(folder):
            db = connect(path)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE")
            if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                for statement in SCHEMA.split(";\n"):
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
        with sqlite_errors(folder):
            writable = os.access(folder, os.W_OK) and os.access(path, os.W_OK)
            db = connect(path) if writable else read_only(path)
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise CorruptGallery(folder, f"{FILE} is not a gallery of facesearch")
        return cls(folder, db)

    @classmethod
    def open_snapshot(cls, path: Path) -> Self:
        """Open what snapshot wrote, read-only. It may come from anybody: a schema that is not ours to the letter is refused.

        Raises NotFound, CorruptGallery, CannotRead.
        """
        if not path.is_file():
            raise NotFound(path, "exported gallery", "Make one with: facesearch export FILE")
        with sqlite_errors(path):
            db = read_only(path)
            db.execute("PRAGMA trusted_schema = OFF")
            own = {statement.strip() for statement in SCHEMA.strip().rstrip(";").split(";\n")}
            there = {row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'sqlite_sequence'")}
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID or there != own:
                raise CorruptGallery(path, "it is no gallery that facesearch exported")
        return cls(path, db)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def meta(self, key: str) -> str | None:
        """What the gallery has noted about itself under this key."""
        rows = self._all("SELECT value FROM meta WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def meta_like(self, pattern: str) -> list[tuple[str, str]]:
        """All such notes (key, value) whose key fits a GLOB pattern, by key."""
        return self._all("SELECT key, value FROM meta WHERE key GLOB ? ORDER BY key", pattern)

    def set_meta(self, key: str, value: str | None) -> None:
        """Note something, or with None take the note away. Raises CannotWrite, GalleryBusy."""
        sql = "DELETE FROM meta WHERE key = ?" if value is None else "INSERT OR REPLACE INTO meta VALUES (?, ?)"
        with self._translated():
            self._db.execute(sql, (key,) if value is None else (key, value))

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

    @property
    def erasures(self) -> int:
        """How often somebody was forgotten: an index file made before the last time may still hold them."""
        return int(self.meta("erasures") or 0)

    def __len__(self) -> int:
        return int(self._one("SELECT count(*) FROM faces"))

    def people(self) -> list[PersonCount]:
        """Everyone enrolled, by name."""
        rows = self._all("SELECT name, count(face_id) FROM people JOIN faces USING (person_id) GROUP BY person_id ORDER BY name")
        return [PersonCount(name, faces) for name, faces in rows]

    def known_photos(self) -> set[tuple[str, str, str]]:
        """(person, content hash, source) of every face."""
        return set(self._all("SELECT name, sha256, source FROM faces JOIN people USING (person_id)"))

    def photos_of(self, person: str) -> list[tuple[str, str]]:
        """(source, content hash) of a person's photos, by source. Raises UnknownPerson."""
        return self._all("SELECT source, sha256 FROM faces WHERE person_id = ? ORDER BY source", self._person_id(person))

    def has_photo(self, person: str, sha256: str) -> bool:
        found = self._all("SELECT 1 FROM faces JOIN people USING (person_id) WHERE name = ? AND sha256 = ? LIMIT 1", person, sha256)
        return bool(found)

    def faces(self, face_ids: Iterable[int]) -> dict[int, EnrolledFace]:
        """The rows of these ids, each checked; ids that were deleted meanwhile are missing. Raises CorruptGallery."""
        return {face_id: face for face_id, (face, _) in self.rows(face_ids).items()}

    def rows(self, face_ids: Iterable[int]) -> dict[int, tuple[EnrolledFace, bytes]]:
        """The same, each with its vector's bytes."""
        found: dict[int, tuple[EnrolledFace, bytes]] = {}
        ids = list(face_ids)
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            marks = ",".join("?" * len(part))
            for row in self._all(f"{ROWS} WHERE face_id IN ({marks})", *part):
                found[row[0]] = self._checked(row)
        return found

    def photo_counts(self, people: Iterable[str]) -> dict[str, int]:
        sql = "SELECT count(*) FROM faces JOIN people USING (person_id) WHERE name = ?"
        return {name: int(self._one(sql, name)) for name in people}

    def enrolled(self, after: int = 0) -> tuple[list[EnrolledFace], F32]:
        """All faces with an id above `after`, each checked, and their unit vectors (n, d) float32. Raises CorruptGallery."""
        with self._reading():
            if self._one("SELECT value FROM meta WHERE key = 'encoder_id'") != self.encoder_id:
                raise GalleryChanged(self.folder)
            rows = self._rows(after)
        faces: list[EnrolledFace] = []
        vectors = np.empty((len(rows), self.dimension), np.float32)
        for i, row in enumerate(rows):
            face, blob = self._checked(row)
            if len(blob) != self.dimension * VECTOR.itemsize:
                raise self._unfit(face.face_id)
            faces.append(face)
            vectors[i] = np.frombuffer(blob, VECTOR)
        return faces, vectors

    def vectors(self, after: int = 0) -> tuple[I64, F32, list[str]]:
        """The same as ids (n,), unit vectors (n, d) float32, people."""
        faces, vectors = self.enrolled(after)
        return np.array([face.face_id for face in faces], np.int64), vectors, [face.person for face in faces]

    def vectors_of(self, person: str) -> F32:
        """The unit vectors (n, d) of one person; none of somebody who is not enrolled."""
        blobs = self._all("SELECT vector FROM faces JOIN people USING (person_id) WHERE name = ? ORDER BY face_id", person)
        rows = [np.frombuffer(blob, VECTOR).astype(np.float32) for (blob,) in blobs]
        return np.stack(rows) if rows else np.empty((0, self.dimension), np.float32)

    def last_face_id(self) -> int:
        return int(self._one("SELECT coalesce(max(face_id), 0) FROM faces"))

    def threshold(self) -> Threshold | None:
        value = self.meta("threshold")
        try:
            if value is None:
                return None
            stored = json.loads(value)
            return Threshold(**{**stored, "curve": tuple((float(score), float(share)) for score, share in stored.get("curve", ()))})
        except (TypeError, ValueError) as error:
            raise CorruptGallery(self.folder, "its threshold cannot be read") from error

    # ---- writing

    def add(self, faces: Sequence[NewFace]) -> int:
        """Enroll all faces in one transaction; returns how many were new. Raises BadName, CannotWrite, GalleryBusy."""
        rows = [(clean_name(f.person), f.sha256, f.source, vector_bytes(f.vector, self.dimension)) for f in faces]
        with self._transaction() as db:
            names = {row[0] for row in rows}
            db.executemany("INSERT INTO people (name) VALUES (?) ON CONFLICT (name) DO NOTHING", [(name,) for name in names])
            before = db.total_changes
            db.executemany(
                "INSERT INTO faces (person_id, sha256, source, vector, checksum) "
                "SELECT person_id, ?, ?, ?, ? FROM people WHERE name = ? ON CONFLICT DO NOTHING",
                [(sha, source, blob, checksum_of(name, sha, source, blob), name) for name, sha, source, blob in rows],
            )
            return db.total_changes - before

    def forget(self, name: str, is_chosen: Callable[[str, str], bool] | None = None) -> Erased:
        """Delete a person with all faces, or those whose (content hash, source) is chosen, and overwrite their bytes.

        A person without faces goes too. The log and the derived index still hold the vectors afterwards, and the gallery
        remembers that: jobs.erase does the rest. Raises UnknownPerson, UnknownPhoto.
        """
        name = usual_form(name)
        with self._transaction() as db:
            person = self._person_id(name)
            rows = db.execute("SELECT face_id, sha256, source, vector FROM faces WHERE person_id = ?", (person,)).fetchall()
            gone = [row for row in rows if is_chosen is None or is_chosen(row[1], row[2])]
            if not gone:
                raise UnknownPhoto(name)
            db.executemany("DELETE FROM faces WHERE face_id = ?", [(row[0],) for row in gone])
            texts = {text for row in gone for text in row[1:3]}
            if len(gone) == len(rows):
                db.execute("DELETE FROM people WHERE person_id = ?", (person,))
                texts.add(name)
            salt = secrets.token_hex(16)
            note = Unfinished(salt, digest_of(salt, name), len(gone), self.generation)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('erasing', ?)", (json.dumps(asdict(note)),))
            db.execute(COUNT_ERASURE)
            db.execute(OWE_ERASURE, (json.dumps({"salt": salt, "digest": note.digest, "face_ids": [row[0] for row in gone]}),))
        return Erased(note, tuple(row[3] for row in gone), tuple(sorted(texts)))

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

    def is_alive(self, piece: bytes | str) -> bool:
        """Whether a row that is enrolled holds this piece of a vector, or of a name of a person or photo, or a content hash."""
        if isinstance(piece, bytes):
            return bool(self._all("SELECT 1 FROM faces WHERE instr(vector, ?) LIMIT 1", piece))
        faces = "SELECT 1 FROM faces WHERE instr(source, ?) OR instr(sha256, ?) LIMIT 1"
        return bool(self._all("SELECT 1 FROM people WHERE instr(name, ?) LIMIT 1", piece) or self._all(faces, piece, piece))

    def rename(self, old: str, new: str, *, join: bool) -> int:
        """Give a person another name; with join add their photos to somebody of that name. Returns how many photos moved.

        Raises UnknownPerson, BadName, NameTaken.
        """
        new = clean_name(new)
        with self._transaction() as db:
            person = self._person_id(old)
            taken = db.execute("SELECT person_id FROM people WHERE name = ?", (new,)).fetchone()
            if taken is not None and taken[0] != person and not join:
                raise NameTaken(new)
            rows = db.execute("SELECT face_id, sha256, source, vector FROM faces WHERE person_id = ?", (person,)).fetchall()
            target = person if taken is None else taken[0]
            if taken is None:
                db.execute("UPDATE people SET name = ? WHERE person_id = ?", (new, person))
            moved = [(target, checksum_of(new, sha, source, blob), face_id) for face_id, sha, source, blob in rows]
            db.executemany("UPDATE OR IGNORE faces SET person_id = ?, checksum = ? WHERE face_id = ?", moved)
            if target != person:  # what is still there was enrolled under the new name already
                db.execute("DELETE FROM faces WHERE person_id = ?", (person,))
                db.execute("DELETE FROM people WHERE person_id = ?", (person,))
                db.execute(COUNT_ERASURE)
        return len(rows)

    def take_vectors_of(self, other: Gallery) -> int:
        """Exchange every vector for that of the same photo in a gallery of another encoder, and take on that encoder, in one step.

        Photos that the other one does not hold are dropped. The threshold goes: it was of the old encoder's scores. Returns how
        many photos are enrolled then. Raises CannotWrite, GalleryBusy.
        """
        same = (
            "SELECT n.vector, n.checksum FROM next.faces n JOIN next.people p USING (person_id) JOIN main.people own ON own.name = p.name "
            "WHERE own.person_id = faces.person_id AND n.sha256 = faces.sha256 AND n.source = faces.source"
        )
        new = {"encoder_id": other.encoder_id, "dimension": str(other.dimension), "encoder": other.encoder}
        with self._translated():
            self._db.execute("ATTACH ? AS next", (str(other.folder / FILE),))
            try:
                with self._transaction() as db:
                    db.execute(f"DELETE FROM main.faces WHERE NOT EXISTS ({same})")
                    db.execute("DELETE FROM main.people WHERE person_id NOT IN (SELECT person_id FROM main.faces)")
                    db.execute(f"UPDATE main.faces SET (vector, checksum) = ({same})")
                    db.executemany("UPDATE main.meta SET value = ? WHERE key = ?", [(value, key) for key, value in new.items()])
                    db.execute("DELETE FROM main.meta WHERE key = 'threshold'")
                    db.execute(COUNT_ERASURE)
            finally:
                self._db.execute("DETACH next")
        self._meta |= new
        self.encoder_id, self.dimension = other.encoder_id, other.dimension
        return len(self)

    def snapshot(self, path: Path) -> None:
        """Write everything that is enrolled into one new file. Raises OutputExists, CannotWrite."""
        if path.exists():
            raise OutputExists(path, "would be overwritten")
        with writing(path):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, OWNER_ONLY))
        try:
            with self._translated():
                self._db.execute("VACUUM INTO ?", (str(path),))
                without_meta(path, "project*", "owed:*")  # where else this gallery's vectors are is nobody else's business
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def problems(self) -> list[str]:
        """Everything that is wrong with the truth itself: pages, references, rows. Empty: nothing."""
        found = [f"SQLite: {row[0]}" for row in self._all("PRAGMA integrity_check") if row[0] != "ok"]
        found += [f"a row of {row[0]} refers to nobody" for row in self._all("PRAGMA foreign_key_check")]
        found += [f"person {row[0]} has no photo" for row in self._all(
            "SELECT person_id FROM people WHERE person_id NOT IN (SELECT person_id FROM faces)")]  # fmt: skip
        return found + list(self.wrong_rows())

    def wrong_rows(self) -> Iterator[str]:
        """Every row that is not as it should be, with what is wrong; a hostile file's too."""
        for rows in self.batches():
            for face_id, name, sha256, source, blob, checksum in rows:
                if reason := wrong_with(name, sha256, source, blob, checksum, self.dimension):
                    yield f"face {face_id}: {reason}"

    def batches(self, size: int = 1000, after: int = 0) -> Iterator[list[Any]]:
        """All rows (face id, person, content hash, source, vector's bytes, checksum), unchecked, a few at a time, by id."""
        last = after
        while rows := self._rows(last, size):
            yield rows
            last = rows[-1][0]

    def sweep(self) -> bool:
        """Write the log back and cut it to nothing, so that no deleted bytes stay in it. False: a reader holds it open."""
        with self._translated():
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def set_threshold(self, threshold: Threshold) -> None:
        self.set_meta("threshold", json.dumps({slot: getattr(threshold, slot) for slot in Threshold.__slots__}))

    # ---- inside

    def _rows(self, after: int, most: int = -1) -> list[Any]:
        return self._all(f"{ROWS} WHERE face_id > ? ORDER BY face_id LIMIT ?", after, most)

    def _checked(self, row: tuple[int, str, str, str, bytes, int]) -> tuple[EnrolledFace, bytes]:
        """A row and its vector's bytes. A wrong name is worse than no answer: raises CorruptGallery."""
        face_id, name, sha256, source, blob, checksum = row
        if checksum_of(name, sha256, source, blob) != checksum:
            raise self._unfit(face_id)
        return EnrolledFace(face_id, name, source, sha256), blob

    def _unfit(self, face_id: int) -> CorruptGallery:
        return CorruptGallery(self.folder, f"the row of face {face_id} does not fit its checksum")

    def _person_id(self, name: str) -> int:
        name = usual_form(name)
        found = self._all("SELECT person_id FROM people WHERE name = ?", name)
        if not found:
            raise UnknownPerson(name, self._close_names(name))
        return int(found[0][0])

    def _close_names(self, name: str) -> tuple[str, ...]:
        import difflib

        return tuple(difflib.get_close_matches(name, [person.name for person in self.people()], n=1))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("UPDATE main.meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'generation'")
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """All that is read within is of one moment."""
        with self._translated():
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")

    def _translated(self) -> Any:
        return sqlite_errors(self.folder)

    def _all(self, sql: str, *values: object) -> list[Any]:
        with self._translated():
            return self._db.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: object) -> Any:
        return self._all(sql, *values)[0][0]
