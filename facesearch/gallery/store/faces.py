"""The people of a gallery and their faces: rows that are added and deleted, never changed, and read by many
keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from facesearch.errors import NameTaken, UnknownPerson, Written
from facesearch.faces.names import clean_name, clean_source, kept_name, usual_form
from facesearch.gallery.store.codec import RowCodec
from facesearch.gallery.store.database import Database
from facesearch.gallery.store.notes import COUNT_ERASURE, Notes
from facesearch.gallery.store.rows import NewFace, PersonCount, Row, as_note, is_note, vector_bytes
from facesearch.gallery.store.templates import Templates
from facesearch.records import F32, I64, EnrolledFace, Seen

ROWS = "SELECT face_id, name, sha256, source, vector, checksum FROM faces JOIN people USING (person_id)"
AT_ONCE = 1000
HINTED, HINTED_DECRYPTED = 100_000, 20_000
"""So many names are looked through for the one that was meant."""


class Faces:
    """The faces of one open gallery. Use it from the thread that opened the gallery."""

    def __init__(self, database: Database, notes: Notes, codec: RowCodec, templates: Templates) -> None:
        self._database, self._notes, self._codec = database, notes, codec
        self.templates = templates

    # ---- people

    def people(self) -> list[PersonCount]:
        """Everyone enrolled, by name."""
        sql = "SELECT name, count(face_id) FROM people JOIN faces USING (person_id) GROUP BY person_id"
        people = [PersonCount(self._codec.name(name), faces) for name, faces in self._database.all(sql)]
        return sorted(people, key=lambda person: person.name)

    def person_count(self) -> int:
        """How many people have photos; no name is read."""
        sql = "SELECT count(DISTINCT person_id) FROM faces JOIN people USING (person_id)"
        return int(self._database.one(sql))

    def listed(self, known: Mapping[str, str] = {}) -> tuple[I64, dict[str, str], I64]:
        """Everyone enrolled, in no order: number (p,), name by the name as it is stored (in hexadecimal where
        it is encrypted), count of faces (p,). No row of a face is read.

        known: the same of before: what is in it is not decrypted again. Raises CorruptGallery.

        All comes as one row: the interpreter's lock is let go at each row, and where another thread computes,
        each time waited for.
        """
        kind, told = ("blob", "hex(name)") if self._codec.cipher.description else ("text", "name")
        counts = "SELECT person_id, count(*) AS faces FROM faces GROUP BY person_id"
        columns = ("person_id", "faces", f"CASE typeof(name) WHEN '{kind}' THEN {told} END")
        wanted = ", ".join(f"json_group_array({column})" for column in columns)
        (row,) = self._database.all(f"SELECT {wanted} FROM ({counts}) JOIN people USING (person_id)")
        numbers, faces, stored = map(json.loads, row)
        names = {one: known.get(one) or self._name(one) for one in stored}
        return np.array(numbers, np.int64), names, np.array(faces, np.int64)

    def _name(self, told: str | None) -> str:
        return self._codec.name(bytes.fromhex(told) if told and self._codec.cipher.description else told)

    def faces_a_person(self) -> tuple[I64, I64]:
        """The numbers (p,) of all people, rising, and their counts of faces (p,). No name is read."""
        sql = "SELECT person_id, count(*) FROM faces GROUP BY person_id ORDER BY person_id"
        numbers = np.array(self._database.all(sql), np.int64).reshape(-1, 2)
        return numbers[:, 0], numbers[:, 1]

    def of_people(self, first: int, last: int) -> tuple[I64, list[str], F32]:
        """The faces of everyone whose number lies between these two, each checked, person by person: whose
        (n,), content hashes, vectors (n, d) float32. Raises CorruptGallery, GalleryChanged.
        """
        sql = ROWS.replace(" FROM", ", person_id FROM", 1)
        with self._notes.reading():
            stored = self._database.all(
                f"{sql} WHERE person_id BETWEEN ? AND ? ORDER BY person_id", first, last
            )
        rows = [self._codec.read(row[:-1]) for row in stored]
        people = np.array([row[-1] for row in stored], np.int64)
        return people, [row.sha256 for row in rows], self._codec.vectors(rows)

    def person_id(self, name: str) -> int:
        """Raises UnknownPerson, with the name most like it."""
        name = usual_form(name)
        at_rest = self._codec.cipher.encrypt_name(name)
        found = self._database.all("SELECT person_id FROM people WHERE name = ?", at_rest)
        if not found:
            raise UnknownPerson(name, self._close_names(name))
        return int(found[0][0])

    def known_photos(self) -> set[tuple[str, str, str]]:
        """(person, content hash, source) of every face."""
        rows = self._database.all("SELECT name, sha256, source FROM faces JOIN people USING (person_id)")
        return {
            (person, *self._codec.photo(person, sha256, source))
            for name, sha256, source in rows
            for person in (self._codec.name(name),)
        }

    def photos_of(self, person: str) -> list[tuple[str, str]]:
        """(source, content hash) of a person's photos, by source. Raises UnknownPerson."""
        sql = "SELECT sha256, source FROM faces WHERE person_id = ?"
        rows = self._database.all(sql, self.person_id(person))
        photos = (self._codec.photo(usual_form(person), sha256, source) for sha256, source in rows)
        return sorted((Written(source), sha256) for sha256, source in photos)

    def has_photo(self, person: str, sha256: str) -> bool:
        sql = "SELECT 1 FROM faces JOIN people USING (person_id) WHERE name = ? AND sha256 = ? LIMIT 1"
        cipher = self._codec.cipher
        found = self._database.all(sql, cipher.encrypt_name(person), cipher.encrypt_sha256(person, sha256))
        return bool(found)

    def photo_counts(self, people: Iterable[str]) -> dict[str, int]:
        sql = "SELECT count(*) FROM faces JOIN people USING (person_id) WHERE name = ?"
        encrypt = self._codec.cipher.encrypt_name
        return {name: int(self._database.one(sql, encrypt(name))) for name in people}

    # ---- faces by their ids

    def __len__(self) -> int:
        return int(self._database.one("SELECT count(*) FROM faces"))

    def is_empty(self) -> bool:
        """Whether nobody is enrolled. Counting a million faces takes longer than searching them."""
        return not self._database.all("SELECT 1 FROM faces LIMIT 1")

    def ids(self, people: Iterable[str] | None = None) -> I64:
        """The ids (n,) of all faces, rising, or of those of these people. Raises UnknownPerson."""
        if people is None:
            found = self._database.all("SELECT face_id FROM faces")
        else:
            sql = "SELECT face_id FROM faces WHERE person_id = ?"
            persons = sorted({self.person_id(name) for name in people})
            found = [row for person in persons for row in self._database.all(sql, person)]
        return np.sort(np.fromiter((row[0] for row in found), np.int64, len(found)))

    def last_id(self) -> int:
        return int(self._database.one("SELECT coalesce(max(face_id), 0) FROM faces"))

    def some_ids(self) -> list[int]:
        """The first id, one from the middle, and the last; fewer where there are fewer."""
        least = "SELECT min(face_id) FROM faces WHERE face_id >= ?"
        first, last = self._database.one(least, 0), self.last_id()
        middle = self._database.one(least, ((first or 0) + last) // 2)
        return sorted({face_id for face_id in (first, middle, last) if face_id})

    def count_after(self, face_id: int) -> int:
        """How many faces have an id above that one: takes as long as they are many."""
        return int(self._database.one("SELECT count(*) FROM faces WHERE face_id > ?", face_id))

    def by_id(self, face_ids: Iterable[int]) -> dict[int, EnrolledFace]:
        """The faces with these ids, each checked; ids that were deleted meanwhile are missing. Raises
        CorruptGallery.
        """
        return {face_id: face for face_id, (face, _) in self.rows(face_ids).items()}

    def rows(self, face_ids: Iterable[int]) -> dict[int, tuple[EnrolledFace, bytes]]:
        """The same, each with its vector's bytes."""
        found: dict[int, tuple[EnrolledFace, bytes]] = {}
        for stored in self._database.of_ids(ROWS, face_ids):
            row = self._codec.read(stored)
            found[stored[0]] = _face(stored[0], row), row.vector
        return found

    def with_vectors(self, face_ids: Iterable[int]) -> tuple[dict[int, EnrolledFace], F32]:
        """The faces with these ids, each checked, and their unit vectors (n, d) in the same order; ids that
        were deleted meanwhile are missing. Raises CorruptGallery.
        """
        stored = list(self._database.of_ids(ROWS, face_ids))
        rows = [self._codec.read(row) for row in stored]
        faces = {face[0]: _face(face[0], row) for face, row in zip(stored, rows, strict=True)}
        return faces, self._codec.vectors(rows)

    def vectors_at(self, face_ids: Iterable[int]) -> dict[int, F32]:
        """The unit vectors (d,) of these faces; ids that were deleted meanwhile are missing. Raises
        CorruptGallery.
        """
        faces, vectors = self.with_vectors(face_ids)
        return dict(zip(faces, vectors, strict=True))

    def found_by(self, face_ids: Iterable[int]) -> dict[int, str]:
        """What found these faces; "" where it was not noted. Ids that were deleted meanwhile are missing.
        Raises CorruptGallery.
        """
        ids = list(face_ids)
        if not self._notes.has_detector_column():
            return dict.fromkeys(ids, "")
        found = self._database.of_ids("SELECT face_id, detector FROM faces", ids)
        return {face_id: self._detector(detector) for face_id, detector in found}

    def seen(self, face_ids: Iterable[int]) -> dict[int, Seen]:
        """What is known of these faces besides their vectors; those of which nothing is, or that were deleted
        meanwhile, are missing. Raises CorruptGallery.
        """
        if not self._notes.has_seen_column():
            return {}
        found: dict[int, Seen] = {}
        for *stored, seen in self._database.of_ids(ROWS.replace(" FROM", ", seen FROM", 1), face_ids):
            known = self._codec.read_seen(self._codec.read(tuple(stored)), seen)
            if known is not None:
                found[stored[0]] = known
        return found

    # ---- all faces

    def enrolled(self, after: int = 0, most: int = -1) -> tuple[list[EnrolledFace], F32]:
        """All faces with an id above `after`, or the first `most` of them, each checked, and their unit
        vectors (n, d) float32.

        Raises CorruptGallery.
        """
        with self._notes.reading():
            stored = self._after(after, most)
        rows = [self._codec.read(row) for row in stored]
        faces = [_face(face[0], row) for face, row in zip(stored, rows, strict=True)]
        return faces, self._codec.vectors(rows)

    def vectors(self, after: int = 0, most: int = -1) -> tuple[I64, F32, list[str]]:
        """The same as ids (n,), unit vectors (n, d) float32, people."""
        faces, vectors = self.enrolled(after, most)
        ids = np.array([face.face_id for face in faces], np.int64)
        return ids, vectors, [face.person for face in faces]

    def vectors_of(self, person: str) -> F32:
        """The unit vectors (n, d) of one person; none of somebody who is not enrolled."""
        return self.of_person(person)[1]

    def of_person(self, person: str) -> tuple[list[EnrolledFace], F32]:
        """The same with their faces. Raises CorruptGallery."""
        at_rest = self._codec.cipher.encrypt_name(person)
        stored = self._database.all(f"{ROWS} WHERE name = ? ORDER BY face_id", at_rest)
        rows = [self._codec.read(row) for row in stored]
        faces = [_face(face[0], row) for face, row in zip(stored, rows, strict=True)]
        return faces, self._codec.vectors(rows)

    def batches(self, size: int = AT_ONCE, after: int = 0) -> Iterator[list[Any]]:
        """All rows (face id, person, content hash, source, vector's bytes, checksum), a few at a time, by id.

        Those of a plain gallery are unchecked; what does not decrypt raises CorruptGallery.
        """
        encrypted = bool(self._codec.cipher.description)
        for rows in self.stored(size, after):
            yield [(row[0], *self._codec.read(row), row[-1]) for row in rows] if encrypted else rows

    def stored(self, size: int, last: int = 0) -> Iterator[list[Any]]:
        """All rows as they are stored, a few at a time, by id."""
        while rows := self._after(last, size):
            yield rows
            last = rows[-1][0]

    def detectors(self) -> dict[str, int]:
        """How many faces each detector found, by its name; "" where it was not noted. All rows are read.
        Raises CorruptGallery.
        """
        if not self._notes.has_detector_column():
            return {"": faces} if (faces := len(self)) else {}
        sql = "SELECT detector, count(*) FROM faces GROUP BY detector ORDER BY detector"
        return {self._detector(detector): faces for detector, faces in self._database.all(sql)}

    # ---- writing

    def add(self, faces: Sequence[NewFace]) -> int:
        """Enroll all faces in one transaction; returns how many were new. Raises BadName, CannotWrite,
        GalleryBusy.
        """
        dimension = self._codec.dimension
        rows = [
            Row(kept_name(f.person), f.sha256, clean_source(f.source), vector_bytes(f.vector, dimension))
            for f in faces
        ]
        stored = [self._codec.stored(row) for row in rows]
        detectors = [as_note(f.detector) for f in faces]
        seen = [self._codec.stored_seen(row, face.seen) for row, face in zip(rows, faces, strict=True)]
        extra: dict[str, Sequence[object]] = {}
        if any(detectors) or any(seen):
            extra["detector"] = detectors
        if any(seen):
            extra["seen"] = seen
        columns, marks = "".join(f", {name}" for name in extra), ", ?" * len(extra)
        insert = (
            f"INSERT INTO faces (person_id, sha256, source, vector, checksum{columns}) "
            f"SELECT person_id, ?, ?, ?, ?{marks} FROM people WHERE name = ? ON CONFLICT DO NOTHING"
        )
        with self._notes.transaction() as db:
            self._notes.add_detectors(db, {d for d in detectors if d}, seen=any(seen))
            names = [(name,) for name in {row[0] for row in stored}]
            db.executemany("INSERT INTO people (name) VALUES (?) ON CONFLICT (name) DO NOTHING", names)
            before = db.total_changes
            db.executemany(
                insert,
                [(*rest, *more, name) for (name, *rest), *more in zip(stored, *extra.values(), strict=True)],
            )
            new = db.total_changes - before
            if new:
                self.templates.renew(db, self._numbers(names))
            return new

    def fill_seen(self, known: Mapping[tuple[str, str, str], Seen]) -> int:
        """Note what is known of faces, by (person, content hash, source), of which nothing is known yet;
        returns of how many. Raises CannotWrite, GalleryBusy.
        """
        if not known:
            return 0
        with self._notes.transaction() as db:
            self._notes.add_detectors(db, (), seen=True)
            values = []
            for texts, seen in known.items():
                row = Row(*texts, b"")
                name, sha256, source, _ = self._codec.cipher.encrypt(self._codec.encoder_id, row)
                values.append((self._codec.stored_seen(row, seen), name, sha256, source))
            before = db.total_changes
            db.executemany(
                "UPDATE faces SET seen = ? WHERE seen IS NULL AND person_id = (SELECT person_id FROM people"
                " WHERE name = ?) AND sha256 = ? AND source = ?",
                values,
            )
            return db.total_changes - before

    def rename(self, old: str, new: str, *, join: bool) -> int:
        """Give a person another name; with join add their photos to somebody of that name. Returns how many
        photos moved.

        Raises UnknownPerson, BadName, NameTaken, CorruptGallery.
        """
        new = clean_name(new)
        with self._notes.transaction() as db:
            person = self.person_id(old)
            name = self._codec.cipher.encrypt_name(new)
            taken = db.execute("SELECT person_id FROM people WHERE name = ?", (name,)).fetchone()
            if taken is not None and taken[0] != person and not join:
                raise NameTaken(new)
            found = db.execute(f"{ROWS} WHERE person_id = ?", (person,)).fetchall()
            rows = [(stored[0], self._codec.read(stored)) for stored in found]
            seen = self.seen(face_id for face_id, _ in rows)
            target = person if taken is None else taken[0]
            if taken is None:
                db.execute("UPDATE people SET name = ? WHERE person_id = ?", (name, person))
            renamed = [(face_id, row._replace(name=new)) for face_id, row in rows]
            values = "person_id = ?, sha256 = ?, source = ?, vector = ?, checksum = ?"
            values += ", seen = ?" if seen else ""
            moved = [
                (
                    target,
                    *self._codec.stored(row)[1:],
                    *((self._codec.stored_seen(row, seen.get(face_id)),) if seen else ()),
                    face_id,
                )
                for face_id, row in renamed
            ]
            db.executemany(f"UPDATE OR IGNORE faces SET {values} WHERE face_id = ?", moved)
            if target != person:  # what is still there was enrolled under the new name already
                db.execute("DELETE FROM faces WHERE person_id = ?", (person,))
                self.templates.renew(db, (person, target))
                db.execute("DELETE FROM people WHERE person_id = ?", (person,))
                db.execute(COUNT_ERASURE)
            else:
                self.templates.renew(db, (person,))
        return len(rows)

    # ---- inside

    def _numbers(self, names: Iterable[tuple[Any]]) -> list[int]:
        """Of people whose names are given as they are stored."""
        sql = "SELECT person_id FROM people WHERE name = ?"
        return [int(row[0]) for (name,) in names for row in self._database.all(sql, name)]

    def _after(self, face_id: int, most: int = -1) -> list[Any]:
        """Rows as they are stored: face id, name, content hash, source, vector, checksum."""
        sql = f"{ROWS} WHERE face_id > ? ORDER BY face_id LIMIT ?"
        return self._database.all(sql, face_id, most)

    def _close_names(self, name: str) -> tuple[str, ...]:
        """A hint: in a gallery of very many people only some of them are looked at."""
        from facesearch.gallery.store.close_names import closest

        most = HINTED_DECRYPTED if self._codec.cipher.description else HINTED
        stored = self._database.all("SELECT name FROM people LIMIT ?", most)
        return closest(name, [self._codec.name(row[0]) for row in stored])

    def _detector(self, stored: object) -> str:
        if not is_note(stored):
            raise self._codec.unfit("what found a face has no name that can be")
        return str(stored or "")


def _face(face_id: int, row: Row) -> EnrolledFace:
    return EnrolledFace(face_id, row.name, Written(row.source), row.sha256)
