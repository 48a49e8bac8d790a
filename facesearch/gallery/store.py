"""The truth on disk: one SQLite file a gallery. Everything else in the folder can be made again from it.

A face is one row: whose, which photo content, its unit vector in float16, a checksum of all that, and what found it. Rows are added and
deleted in transactions, never changed; ids only grow, so "what is new" is "ids above". Deleted bytes are overwritten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from facesearch.errors import CorruptGallery, EncoderMismatch, NameTaken, NoGallery, NotFound, OutputExists, writing
from facesearch.files import OWNER_ONLY
from facesearch.gallery.cipher import BrokenSeal, new_cipher
from facesearch.gallery.encoder_note import note_of_name, read_note
from facesearch.gallery.erasing import AT_ONCE, COUNT_ERASURE, ErasableGallery
from facesearch.gallery.keys import Key
from facesearch.gallery.opened import FORMAT, ROWS, SEALED_FORMAT
from facesearch.gallery.rows import (
    VECTOR,
    NewFace,
    PersonCount,
    Row,
    Threshold,
    as_note,
    checksum_of,
    clean_name,
    clean_source,
    is_note,
    usual_form,
    vector_bytes,
    way_of,
    wrong_with,
)
from facesearch.gallery.sqlite import (
    ADD_DETECTOR,
    APPLICATION_ID,
    SCHEMA,
    change_meta,
    connect,
    is_ours,
    new_file,
    read_only,
    sqlite_errors,
    without_meta,
)
from facesearch.gallery.sqlite import FILE as FILE
from facesearch.records import F32, I64, WAYS_TO_SCORE, EnrolledFace, ScoredBy

DETECTOR = "detector:"
"""Under this and its name a gallery notes that it has had faces of a detector, so that nobody need count in order to know of none."""
NEXT = "next"
"""Folder below a gallery's own, in which a gallery of another encoder grows until it takes the place of the first."""


class Gallery(ErasableGallery):
    """An open gallery. Use it in a with statement; it belongs to one thread."""

    @classmethod
    def create(
        cls, folder: Path, encoder_id: str, dimension: int, encoder: str, key: Key | None = None, *, like: Gallery | None = None,
        encoder_file: str = "",
    ) -> Self:  # fmt: skip
        """Make an empty gallery for vectors (dimension,) of one encoder; open it when another process was faster.

        key: encrypt it with this one; without one it is plain. like: lie on disk as that gallery does, to the byte. encoder_file: what
        to remember of the encoder's file, as JSON. Raises CannotWrite, BadKey, and what open raises.
        """
        key = like.key if like is not None else key
        cipher = like.cipher if like is not None else new_cipher(key)
        version = SEALED_FORMAT if cipher.description else FORMAT
        meta = {"format": version, "encoder_id": encoder_id, "dimension": dimension, "encoder": encoder, "generation": 0}
        if encoder_file:  # an encrypted gallery tells nothing of the folders of this machine
            meta["encoder_file"] = note_of_name(encoder_file) if cipher.description else encoder_file
        if cipher.description:
            meta["cipher"] = cipher.description
        with sqlite_errors(folder):
            new_file(folder / FILE, APPLICATION_ID, SCHEMA, meta)
        return cls.open(folder, key, either=like is not None)

    @classmethod
    def open(cls, folder: Path, key: Key | None = None, *, either: bool = False) -> Self:
        """Open an existing gallery with this key. either: a plain gallery is right even with a key.

        Raises NoGallery, CorruptGallery, CannotRead; BadKey, KeyMissing, WrongKey, NotEncrypted, PackageMissing.
        """
        path = folder / FILE
        if not path.is_file():
            raise NoGallery(folder)
        with sqlite_errors(folder):
            writable = os.access(folder, os.W_OK) and os.access(path, os.W_OK)
            db = connect(path) if writable else read_only(path)
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise CorruptGallery(folder, f"{FILE} is not a gallery of facesearch")
        return cls(folder, db, key, either=either)

    @classmethod
    def open_snapshot(cls, path: Path, key: Key | None = None) -> Self:
        """Open what snapshot wrote, read-only. It may come from anybody: a schema that is not ours to the letter is refused.

        key: as of open; what is plain is right even with a key. Raises NotFound, CorruptGallery, CannotRead, KeyMissing, WrongKey.
        """
        if not path.is_file():
            raise NotFound(path, "exported gallery", "Make one with: facesearch export FILE")
        with sqlite_errors(path):
            db = read_only(path)
            db.execute("PRAGMA trusted_schema = OFF")
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID or not is_ours(db):
                raise CorruptGallery(path, "it is no gallery that facesearch exported")
        return cls(path, db, key, either=True)

    def require_encoder(self, encoder_id: str) -> None:
        """Raises EncoderMismatch when vectors of this encoder do not belong here."""
        if encoder_id != self.encoder_id:
            raise EncoderMismatch(self.folder, self.encoder_id, encoder_id)

    # ---- reading

    @property
    def encoder(self) -> str:
        """The encoder in words, as given when the gallery was made."""
        return self._meta.get("encoder", "")

    def encoder_file(self) -> dict[str, str]:
        """What is remembered of the encoder's file: `file`, where it lay, and `preprocess` of a foreign one; empty for older galleries."""
        return read_note(self._meta.get("encoder_file", ""))

    @property
    def state(self) -> tuple[int, int, str, int]:
        """What a picture of the gallery, held in memory, is a picture of: the file itself, its encoder, its number of changes."""
        found = (self.folder / FILE).stat()
        return found.st_dev, found.st_ino, self.encoder_id, self.generation

    def own_words(self) -> str:
        """What a gallery's file says in plain whoever is enrolled: a name that is part of it cannot be looked for."""
        return " ".join((SCHEMA, *(word for entry in self._meta.items() for word in entry), *self.detectors_ever()))

    def __len__(self) -> int:
        return int(self._one("SELECT count(*) FROM faces"))

    def people(self) -> list[PersonCount]:
        """Everyone enrolled, by name."""
        rows = self._all("SELECT name, count(face_id) FROM people JOIN faces USING (person_id) GROUP BY person_id")
        return sorted((PersonCount(self._name(name), faces) for name, faces in rows), key=lambda person: person.name)

    def person_count(self) -> int:
        """How many people have photos; no name is read."""
        return int(self._one("SELECT count(DISTINCT person_id) FROM faces JOIN people USING (person_id)"))

    def known_photos(self) -> set[tuple[str, str, str]]:
        """(person, content hash, source) of every face."""
        rows = self._all("SELECT name, sha256, source FROM faces JOIN people USING (person_id)")
        return {(person, *self._photo(person, sha256, source)) for name, sha256, source in rows for person in (self._name(name),)}

    def photos_of(self, person: str) -> list[tuple[str, str]]:
        """(source, content hash) of a person's photos, by source. Raises UnknownPerson."""
        rows = self._all("SELECT sha256, source FROM faces WHERE person_id = ?", self._person_id(person))
        photos = (self._photo(usual_form(person), sha256, source) for sha256, source in rows)
        return sorted((source, sha256) for sha256, source in photos)

    def has_photo(self, person: str, sha256: str) -> bool:
        sql = "SELECT 1 FROM faces JOIN people USING (person_id) WHERE name = ? AND sha256 = ? LIMIT 1"
        return bool(self._all(sql, self.cipher.seal_name(person), self.cipher.seal_sha256(person, sha256)))

    def faces(self, face_ids: Iterable[int]) -> dict[int, EnrolledFace]:
        """The rows of these ids, each checked; ids that were deleted meanwhile are missing. Raises CorruptGallery."""
        return {face_id: face for face_id, (face, _) in self.rows(face_ids).items()}

    def rows(self, face_ids: Iterable[int]) -> dict[int, tuple[EnrolledFace, bytes]]:
        """The same, each with its vector's bytes."""
        found: dict[int, tuple[EnrolledFace, bytes]] = {}
        for row in self._of_ids(ROWS, list(face_ids)):
            opened = self._opened(row)
            found[row[0]] = _face(row[0], opened), opened.vector
        return found

    def photo_counts(self, people: Iterable[str]) -> dict[str, int]:
        sql = "SELECT count(*) FROM faces JOIN people USING (person_id) WHERE name = ?"
        return {name: int(self._one(sql, self.cipher.seal_name(name))) for name in people}

    def enrolled(self, after: int = 0, most: int = -1) -> tuple[list[EnrolledFace], F32]:
        """All faces with an id above `after`, or the first `most` of them, each checked, and their unit vectors (n, d) float32.

        Raises CorruptGallery.
        """
        with self._reading():
            stored = self._rows(after, most)
        rows = [self._opened(row) for row in stored]
        return [_face(face[0], row) for face, row in zip(stored, rows, strict=True)], self._unpacked(rows)

    def vectors(self, after: int = 0) -> tuple[I64, F32, list[str]]:
        """The same as ids (n,), unit vectors (n, d) float32, people."""
        faces, vectors = self.enrolled(after)
        return np.array([face.face_id for face in faces], np.int64), vectors, [face.person for face in faces]

    def vectors_of(self, person: str) -> F32:
        """The unit vectors (n, d) of one person; none of somebody who is not enrolled."""
        stored = self._all(f"{ROWS} WHERE name = ? ORDER BY face_id", self.cipher.seal_name(person))
        return self._unpacked([self._opened(row) for row in stored])

    def vectors_at(self, face_ids: Sequence[int]) -> dict[int, F32]:
        """The unit vectors (d,) of these faces; ids that were deleted meanwhile are missing. Raises CorruptGallery."""
        stored = [row for face_id in face_ids for row in self._all(f"{ROWS} WHERE face_id = ?", face_id)]
        vectors = self._unpacked([self._opened(row) for row in stored])
        return {row[0]: vector for row, vector in zip(stored, vectors, strict=True)}

    def face_ids(self, people: Iterable[str] | None = None) -> I64:
        """The ids (n,) of all faces, rising, or of those of these people. Raises UnknownPerson."""
        if people is None:
            found = self._all("SELECT face_id FROM faces")
        else:
            persons = sorted({self._person_id(name) for name in people})
            found = [row for person in persons for row in self._all("SELECT face_id FROM faces WHERE person_id = ?", person)]
        return np.sort(np.fromiter((row[0] for row in found), np.int64, len(found)))

    def last_face_id(self) -> int:
        return int(self._one("SELECT coalesce(max(face_id), 0) FROM faces"))

    def is_empty(self) -> bool:
        """Whether nobody is enrolled. Counting a million faces takes longer than searching them."""
        return not self._all("SELECT 1 FROM faces LIMIT 1")

    def count_after(self, face_id: int) -> int:
        """How many faces have an id above that one: takes as long as they are many."""
        return int(self._one("SELECT count(*) FROM faces WHERE face_id > ?", face_id))

    def detectors(self) -> dict[str, int]:
        """How many faces each detector found, by its name; "" where it was not noted. All rows are read. Raises CorruptGallery."""
        if not self._notes_detectors():
            return {"": faces} if (faces := len(self)) else {}
        rows = self._all("SELECT detector, count(*) FROM faces GROUP BY detector ORDER BY detector")
        return {self._detector(detector): faces for detector, faces in rows}

    def detectors_ever(self) -> set[str]:
        """The names of all detectors that this gallery has had faces of; no row is read."""
        return {key.removeprefix(DETECTOR) for key, _ in self.meta_like(f"{DETECTOR}*")}

    def found_by(self, face_ids: Iterable[int]) -> dict[int, str]:
        """What found these faces; "" where it was not noted. Ids that were deleted meanwhile are missing. Raises CorruptGallery."""
        ids = list(face_ids)
        if not self._notes_detectors():
            return dict.fromkeys(ids, "")
        return {face_id: self._detector(detector) for face_id, detector in self._of_ids("SELECT face_id, detector FROM faces", ids)}

    def threshold(self) -> Threshold | None:
        noted = self.meta("threshold")
        if noted is None:
            return None
        try:
            stored = json.loads(noted)
            found = Threshold(**{**stored, "curve": tuple((float(score), float(share)) for score, share in stored.get("curve", ()))})
            if found.by not in WAYS_TO_SCORE:
                raise ValueError
            return found
        except (TypeError, ValueError) as error:
            raise CorruptGallery(self.folder, "its threshold cannot be read") from error

    @property
    def scored_by(self) -> ScoredBy:
        """What a person's score is in this gallery's answers, as its threshold was set for."""
        return way_of(self.threshold())

    # ---- writing

    def add(self, faces: Sequence[NewFace]) -> int:
        """Enroll all faces in one transaction; returns how many were new. Raises BadName, CannotWrite, GalleryBusy."""
        rows = [Row(clean_name(f.person), f.sha256, clean_source(f.source), vector_bytes(f.vector, self.dimension)) for f in faces]
        stored = [self._at_rest(self.cipher, row) for row in rows]
        notes = [as_note(f.detector) for f in faces]
        column, mark = (", detector", ", ?") if any(notes) else ("", "")
        with self._transaction() as db:
            self._note_detectors({note for note in notes if note})
            names = {row[0] for row in stored}
            db.executemany("INSERT INTO people (name) VALUES (?) ON CONFLICT (name) DO NOTHING", [(name,) for name in names])
            before = db.total_changes
            db.executemany(
                f"INSERT INTO faces (person_id, sha256, source, vector, checksum{column}) "
                f"SELECT person_id, ?, ?, ?, ?{mark} FROM people WHERE name = ? ON CONFLICT DO NOTHING",
                [(*rest, *([note] if column else ()), name) for (name, *rest), note in zip(stored, notes, strict=True)],
            )
            return db.total_changes - before

    def rename(self, old: str, new: str, *, join: bool) -> int:
        """Give a person another name; with join add their photos to somebody of that name. Returns how many photos moved.

        Raises UnknownPerson, BadName, NameTaken, CorruptGallery.
        """
        new = clean_name(new)
        with self._transaction() as db:
            person = self._person_id(old)
            name = self.cipher.seal_name(new)
            taken = db.execute("SELECT person_id FROM people WHERE name = ?", (name,)).fetchone()
            if taken is not None and taken[0] != person and not join:
                raise NameTaken(new)
            rows = [(stored[0], self._opened(stored)) for stored in db.execute(f"{ROWS} WHERE person_id = ?", (person,)).fetchall()]
            target = person if taken is None else taken[0]
            if taken is None:
                db.execute("UPDATE people SET name = ? WHERE person_id = ?", (name, person))
            moved = [(target, *self._at_rest(self.cipher, row._replace(name=new))[1:], face_id) for face_id, row in rows]
            values = "person_id = ?, sha256 = ?, source = ?, vector = ?, checksum = ?"
            db.executemany(f"UPDATE OR IGNORE faces SET {values} WHERE face_id = ?", moved)
            if target != person:  # what is still there was enrolled under the new name already
                db.execute("DELETE FROM faces WHERE person_id = ?", (person,))
                db.execute("DELETE FROM people WHERE person_id = ?", (person,))
                db.execute(COUNT_ERASURE)
        return len(rows)

    def take_vectors_of(self, other: Gallery) -> int:
        """Exchange every vector for that of the same photo in a gallery of another encoder, and take on that encoder, in one step.

        Photos that the other one does not hold are dropped. The threshold goes: it was of the old encoder's scores. Returns how
        many photos are enrolled then. The other one must lie on disk as this one does (`like`). Raises CannotWrite, GalleryBusy.
        """
        if other.cipher.description != self.cipher.description:
            raise ValueError("rows under another cipher would not be found: all would be dropped")
        same = (
            "FROM next.faces n JOIN next.people p USING (person_id) JOIN main.people own ON own.name = p.name "
            "WHERE own.person_id = faces.person_id AND n.sha256 = faces.sha256 AND n.source = faces.source"
        )
        detectors = other.detectors_ever()
        new = {"encoder_id": other.encoder_id, "dimension": str(other.dimension), "encoder": other.encoder}
        new["encoder_file"] = other._meta.get("encoder_file", "{}")
        with self._translated():
            self._db.execute("ATTACH ? AS next", (str(other.folder / FILE),))
            try:
                with self._transaction() as db:
                    db.execute("DELETE FROM main.meta WHERE key GLOB ?", (f"{DETECTOR}*",))
                    self._note_detectors(detectors)
                    values = ["vector", "checksum", *(["detector"] if self._notes_detectors() else ())]
                    theirs = ["n.vector", "n.checksum", "n.detector" if self._notes_detectors("next") else "NULL"][: len(values)]
                    db.execute(f"DELETE FROM main.faces WHERE NOT EXISTS (SELECT 1 {same})")
                    db.execute("DELETE FROM main.people WHERE person_id NOT IN (SELECT person_id FROM main.faces)")
                    db.execute(f"UPDATE main.faces SET ({', '.join(values)}) = (SELECT {', '.join(theirs)} {same})")
                    db.executemany("INSERT OR REPLACE INTO main.meta VALUES (?, ?)", list(new.items()))
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
                change_meta(path, "encoder_file", note_of_name)
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
        notes = self._notes_detectors()
        for rows in self._stored(AT_ONCE):
            found_by = dict(self._of_ids("SELECT face_id, detector FROM faces", [row[0] for row in rows])) if notes else {}
            for face_id, *stored, checksum in rows:
                if reason := self._wrong(stored, checksum):
                    yield f"face {face_id}: {reason}"
                elif not is_note(found_by.get(face_id)):
                    yield f"face {face_id}: what found it has no name that can be"

    def batches(self, size: int = AT_ONCE, after: int = 0) -> Iterator[list[Any]]:
        """All rows (face id, person, content hash, source, vector's bytes, checksum), a few at a time, by id.

        Those of a plain gallery are unchecked; what is sealed and does not open raises CorruptGallery.
        """
        for rows in self._stored(size, after):
            yield [(row[0], *self._opened(row), row[-1]) for row in rows] if self.sealed else rows

    def set_threshold(self, threshold: Threshold) -> None:
        self.set_meta("threshold", json.dumps({slot: getattr(threshold, slot) for slot in Threshold.__slots__}))

    # ---- inside

    def _stored(self, size: int, last: int = 0) -> Iterator[list[Any]]:
        """All rows as they are stored, a few at a time."""
        while rows := self._rows(last, size):
            yield rows
            last = rows[-1][0]

    def _of_ids(self, sql: str, face_ids: Sequence[int]) -> Iterator[Any]:
        """What this SELECT gives of these faces, a few hundred at a time."""
        for start in range(0, len(face_ids), 500):
            part = face_ids[start : start + 500]
            yield from self._all(f"{sql} WHERE face_id IN ({','.join('?' * len(part))})", *part)

    def _note_detectors(self, names: set[str]) -> None:
        """Within a transaction: rows found by these are about to be written. A gallery of before gets a place for such notes."""
        if names and not self._notes_detectors():
            self._db.execute(ADD_DETECTOR)
        self._db.executemany("INSERT OR IGNORE INTO main.meta VALUES (?, '')", [(f"{DETECTOR}{name}",) for name in names])

    def _detector(self, stored: object) -> str:
        if not is_note(stored):
            raise self._unfit("what found a face has no name that can be")
        return str(stored or "")

    def _wrong(self, stored: list[Any], checksum: object) -> str:
        """What is wrong with a stored row, in words; empty: nothing. It may come from anybody."""
        *texts, blob = stored
        storable = all(isinstance(text, str | bytes) for text in texts) and isinstance(blob, bytes)
        fits = storable and checksum_of(*stored) == checksum
        try:
            row = self.cipher.open(self.encoder_id, *stored)
        except BrokenSeal as error:
            return str(error) if fits else "it does not fit its checksum"
        return wrong_with(row, self.dimension, fits=fits)

    def _photo(self, person: str, sha256: object, source: object) -> tuple[str, str]:
        """A content hash and a source that were stored with this person."""
        try:
            return self.cipher.open_photo(person, sha256, source)
        except BrokenSeal as error:
            raise self._unfit(f"a photo of a person: {error}") from error

    def _unpacked(self, rows: Sequence[Row]) -> F32:
        """The vectors (n, d) of rows. Raises CorruptGallery for one of another length."""
        vectors = np.empty((len(rows), self.dimension), np.float32)
        for i, row in enumerate(rows):
            if len(row.vector) != self.dimension * VECTOR.itemsize:
                raise self._unfit("a vector in it has another length than the others")
            vectors[i] = np.frombuffer(row.vector, VECTOR)
        return vectors


def _face(face_id: int, row: Row) -> EnrolledFace:
    return EnrolledFace(face_id, row.name, row.source, row.sha256)
