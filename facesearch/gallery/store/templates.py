"""One vector a person: the mean of their photos' vectors, brought to length 1, kept as a row of its own.

A row is replaced in the transaction that changes its person's photos, under a new id, and goes with the last
of them. So the rows of templates are like those of faces: added and deleted, never changed. They are made of
the rows of faces and can be made again at any time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from facesearch.gallery.store.codec import RowCodec
from facesearch.gallery.store.database import Database
from facesearch.gallery.store.notes import Notes
from facesearch.gallery.store.rows import VECTOR, Template
from facesearch.gallery.store.schema import ADD_TEMPLATES
from facesearch.metrics.openset import mean_templates
from facesearch.records import F32, I64

COLUMNS = (
    "SELECT template_id, name, photos, t.vector, t.checksum FROM main.templates t JOIN main.people"
    " USING (person_id)"
)
INSERT = "INSERT INTO main.templates (person_id, photos, vector, checksum) VALUES (?, ?, ?, ?)"
OF_PERSON = (
    "SELECT face_id, name, sha256, source, vector, checksum FROM main.faces JOIN main.people"
    " USING (person_id) WHERE person_id = ? ORDER BY face_id"
)


class Templates:
    """The templates of one open gallery. Use it from the thread that opened the gallery."""

    def __init__(self, database: Database, notes: Notes, codec: RowCodec) -> None:
        self._database, self._notes, self._codec = database, notes, codec

    def are_kept(self, database: str = "main") -> bool:
        """Whether the gallery keeps them: one made before it could gets them with its next change. Asked each
        time: another process may have made them just now.
        """
        sql = f"SELECT 1 FROM {database}.sqlite_master WHERE type = 'table' AND name = 'templates'"
        return bool(self._database.all(sql))

    # ---- reading

    def __len__(self) -> int:
        """How many people have one; 0 where none are kept."""
        if not self.are_kept():
            return 0
        return int(self._database.one("SELECT count(*) FROM templates"))

    def ids(self, people: Iterable[int] | None = None) -> I64:
        """The ids (n,) of all templates, rising, or of those of people with these numbers."""
        sql = "SELECT template_id FROM templates"
        rows = self._database.all(sql) if people is None else self._database.of_ids(sql, people, "person_id")
        return np.unique(np.array([row[0] for row in rows], np.int64))

    def last_id(self) -> int:
        return int(self._database.one("SELECT coalesce(max(template_id), 0) FROM templates"))

    def some_ids(self) -> list[int]:
        """The first and the last id; fewer where there are fewer."""
        ends = self._database.all("SELECT min(template_id), max(template_id) FROM templates")[0]
        return sorted({template_id for template_id in ends if template_id})

    def count_after(self, template_id: int) -> int:
        """How many have an id above that one."""
        sql = "SELECT count(*) FROM templates WHERE template_id > ?"
        return int(self._database.one(sql, template_id))

    def photos_of(self, template_ids: Sequence[int]) -> int:
        """How many photos these templates are the means of."""
        sql = "SELECT template_id, photos FROM templates"
        found = self._database.of_ids(sql, template_ids, "template_id")
        return sum(int(photos) for _, photos in found)

    def with_vectors(self, template_ids: Iterable[int]) -> tuple[dict[int, Template], F32]:
        """The templates with these ids, each checked, and their vectors (n, d) float32 in the same order; ids
        that were replaced or deleted meanwhile are missing. Raises CorruptGallery.
        """
        stored = list(self._database.of_ids(COLUMNS, template_ids, "template_id"))
        found = {row[0]: self._codec.read_template(row) for row in stored}
        return found, self._codec.vectors([*found.values()])

    def vectors_at(self, template_ids: Iterable[int]) -> dict[int, F32]:
        """The vectors (d,) of these templates; ids that were replaced or deleted meanwhile are missing.
        Raises CorruptGallery.
        """
        found, vectors = self.with_vectors(template_ids)
        return dict(zip(found, vectors, strict=True))

    def vectors(self, after: int = 0, most: int = -1) -> tuple[I64, F32, list[str]]:
        """The templates with an id above `after`, or the first `most` of them, each checked: ids (n,),
        vectors (n, d) float32, people. Raises CorruptGallery.
        """
        with self._notes.reading():
            stored = self._after(after, most)
        found = [self._codec.read_template(row) for row in stored]
        ids = np.array([row[0] for row in stored], np.int64)
        return ids, self._codec.vectors(found), [one.name for one in found]

    def of_people(self, people: Iterable[str]) -> dict[str, F32]:
        """The vectors (d,) of these people's templates, by name; those who have none are missing. Raises
        CorruptGallery.
        """
        sql = "SELECT template_id FROM templates JOIN people USING (person_id) WHERE name = ?"
        encrypt = self._codec.cipher.encrypt_name
        ids = [row[0] for name in people for row in self._database.all(sql, encrypt(name))]
        found, vectors = self.with_vectors(ids)
        return {one.name: vector for one, vector in zip(found.values(), vectors, strict=True)}

    def wrong(self) -> Iterator[str]:
        """Every template that is not the mean of its person's photos, a sentence each; also a person without
        one. All faces are read.
        """
        if not self.are_kept():
            return
        sql = (
            "SELECT person_id, template_id, name, photos, t.vector, t.checksum FROM main.people"
            " LEFT JOIN main.templates t USING (person_id) WHERE person_id > ? ORDER BY person_id LIMIT 1000"
        )
        last = -1
        while rows := self._database.all(sql, last):
            for person_id, *stored in rows:
                right = self._made_of(self._database.all(OF_PERSON, person_id))
                if right != (None if stored[0] is None else tuple(stored[2:])):
                    yield f"person {person_id}: the template is not the mean of their photos"
            last = rows[-1][0]

    def stored(self, size: int, last: int = 0) -> Iterator[list[Any]]:
        """All rows as they are stored (id, name, photos, vector's bytes, checksum), a few at a time; none
        where none are kept.
        """
        if not self.are_kept():
            return
        while rows := self._after(last, size):
            yield rows
            last = rows[-1][0]

    def bytes_of(self, person_id: int) -> set[bytes]:
        """A person's template as it lies on disk and, where that is encrypted, in plain: what must be found
        in no file once it has gone."""
        found: set[bytes] = set()
        for row in self._database.all(f"{COLUMNS} WHERE person_id = ?", person_id):
            found |= {row[3], *self._codec.readable_template(row)}
        return found

    # ---- writing, within a transaction

    def renew(self, db: sqlite3.Connection, people: Iterable[int]) -> None:
        """Make the templates of these people (their numbers) of the photos that they have now; nobody's of
        those who have none. A gallery that keeps none gets everybody's.
        """
        if not self.are_kept():
            db.execute(ADD_TEMPLATES)
            people = [row[0] for row in db.execute("SELECT person_id FROM main.people")]
        for person_id in people:
            db.execute("DELETE FROM main.templates WHERE person_id = ?", (person_id,))
            made = self._made_of(db.execute(OF_PERSON, (person_id,)).fetchall())
            if made is not None:
                db.execute(INSERT, (person_id, *made))

    def renew_all(self) -> None:
        """Make all again. Raises CannotWrite, GalleryBusy."""
        with self._notes.transaction() as db:
            people = [row[0] for row in db.execute("SELECT person_id FROM main.people").fetchall()]
            self.renew(db, people)

    def require(self) -> None:
        """See that the gallery keeps templates, as one that is scored by them must. Raises CannotWrite,
        GalleryBusy.
        """
        if not self.are_kept():
            with self._notes.transaction() as db:
                self.renew(db, ())

    # ---- inside

    def _made_of(self, stored: Sequence[tuple[Any, ...]]) -> tuple[int, bytes, int] | None:
        """What is to be stored of a person with these rows of faces: photos, vector's bytes, checksum. Rows
        that cannot be read count for nothing: search and verify tell of them. None: no mean.
        """
        rows = [row for row in map(self._codec.read_or_none, stored) if row is not None]
        if not rows:
            return None
        means, _ = mean_templates(self._codec.vectors(rows), np.zeros(len(rows), np.int64))
        if not means.any():
            return None
        return self._codec.stored_template(
            Template(rows[0].name, len(rows), means[0].astype(VECTOR).tobytes())
        )

    def _after(self, template_id: int, most: int = -1) -> list[Any]:
        sql = f"{COLUMNS} WHERE template_id > ? ORDER BY template_id LIMIT ?"
        return self._database.all(sql, template_id, most)
