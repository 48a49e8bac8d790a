"""What a gallery notes about itself, each note by its type: its encoder, counts, threshold and index, an
erasure that is under way, and where else its vectors are.

All of it lies in the table `meta`, as text under a key, and tells of no person in the clear.
"""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from facesearch.errors import CannotRead, CorruptGallery, GalleryChanged
from facesearch.gallery.store.cipher import PLAIN
from facesearch.gallery.store.database import Database
from facesearch.gallery.store.encoder_note import LONGEST, note_of_name, read_note
from facesearch.gallery.store.rows import Threshold, Unfinished, is_count, is_word, way_of
from facesearch.gallery.store.schema import ADD_DETECTOR, ADD_SEEN, ENCRYPTED_FORMAT, FILE, FORMAT
from facesearch.records import ScoredBy

DETECTOR = "detector:"
"""Under this and its name stands each detector that faces of the gallery were found by."""
PROJECTION, PENDING, PROJECTION_KEY = "projection:", "owed:", "projection_key"
MOST_DIMENSIONS = 65536
UNREADABLE = (TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError)
"""What reading a note that anybody may have written can raise."""
SET = "INSERT INTO main.meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
INDEX_MARKS = "index_marks"
"""Under this stand the marks of the index of photos; of another index, with a colon and its name after it."""
FORGET_INDEX = f"DELETE FROM main.meta WHERE key GLOB '{INDEX_MARKS}*'"
"""Within a transaction that changes rows: no index of before shows them."""
NEW_MOMENT = (
    "INSERT INTO main.meta VALUES ('moment', lower(hex(randomblob(8))))"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
"""Counts are given again after a backup is put back; what is drawn with every change is not."""
MOMENT = "SELECT key, value FROM main.meta WHERE key IN ('generation', 'moment')"
COUNT_CHANGE = "UPDATE main.meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'generation'"
COUNT_ERASURE = (
    "INSERT INTO main.meta VALUES ('erasures', '1')"
    " ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1"
)
ADD_PENDING = f"""
INSERT INTO main.meta SELECT '{PENDING}' || value, ? FROM main.meta
WHERE key = 'erasures' AND EXISTS (SELECT 1 FROM main.meta WHERE key GLOB '{PROJECTION}*')
"""


@dataclass(frozen=True, slots=True)
class Description:
    """What a gallery is of. cipher: what its rows are encrypted by, empty where they are plain."""

    encoder_id: str
    dimension: int
    cipher: str


@dataclass(frozen=True, slots=True)
class Projection:
    """What the gallery knows of one projection. store: the engine's address; former: collections of it that
    are to be dropped; stamp: what the engine carries when it is as the last sync left it, empty while one is
    under way or was interrupted; faces, last_face_id, erasures, generation: of the gallery at that sync;
    synced: when that was, seconds since 1970."""

    store: str
    collection: str
    index: str
    stamp: str = ""
    faces: int = 0
    last_face_id: int = 0
    erasures: int = 0
    generation: int = 0
    synced: float = 0.0
    former: tuple[str, ...] = ()

    @classmethod
    def read(cls, noted: Any) -> Self:
        """From a gallery's note. Raises what UNREADABLE lists."""
        found = cls(**{**noted, "former": tuple(noted["former"])})
        words = (found.store, found.collection, found.index, found.stamp, *found.former)
        counts = (found.faces, found.last_face_id, found.erasures, found.generation)
        if not (all(map(is_word, words)) and all(map(is_count, counts)) and 0 <= float(found.synced) < 1e12):
            raise ValueError("not the values of a projection")
        return found


@dataclass(frozen=True, slots=True)
class PendingErasure:
    """An erasure that projections must carry out too. number: the gallery's count of erasures with it;
    receipt: its file's name.
    """

    number: int
    salt: str
    digest: str
    face_ids: tuple[int, ...]
    receipt: str = ""

    @classmethod
    def read(cls, number: int, noted: Any) -> Self:
        """From a gallery's note. Raises what UNREADABLE lists."""
        found = cls(number, **{**noted, "face_ids": tuple(noted["face_ids"])})
        words = all(map(is_word, (found.salt, found.digest, found.receipt)))
        if not (words and all(map(is_count, found.face_ids))):
            raise ValueError("not the values of an erasure")
        return found

    def is_of(self, name: str) -> bool:
        """Whether it is of this person."""
        return self.digest == PLAIN.digest(self.salt, name)


class Notes:
    """The notes of one open gallery. as_opened: its encoder's id and its cipher, which every transaction
    compares with what the file says."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder, self._database = folder, database
        self.as_opened = ("", "")

    # ---- what the gallery is of

    def description(self) -> Description:
        """Raises CorruptGallery, CannotRead."""
        noted: dict[str, str] = dict(self._database.all("SELECT key, value FROM meta"))
        try:
            encoder_id, dimension = noted["encoder_id"], count_of(noted["dimension"])
            version, _ = count_of(noted["format"]), count_of(noted["generation"])
            if not (is_word(encoder_id) and encoder_id and 0 < dimension <= MOST_DIMENSIONS):
                raise ValueError
        except (KeyError, ValueError) as error:
            raise CorruptGallery(self.folder, "its description is incomplete") from error
        if version not in (FORMAT, ENCRYPTED_FORMAT):
            known = f"this one reads {FORMAT} and {ENCRYPTED_FORMAT}"
            said = f"written by another version of facesearch (format {version}, {known})"
            raise CannotRead(self.folder / FILE, said)
        if (version == ENCRYPTED_FORMAT) != ("cipher" in noted):
            raise CorruptGallery(self.folder, "its description does not say rightly whether it is encrypted")
        return Description(encoder_id, dimension, noted.get("cipher", ""))

    @property
    def encoder(self) -> str:
        """The encoder in words, as given when the gallery was made."""
        return self._get("encoder") or ""

    def encoder_file(self) -> dict[str, str]:
        """What is remembered of the encoder's file: `file`, where it lay, and `preprocess` of a foreign one;
        empty for older galleries.
        """
        return read_note(self._get("encoder_file") or "")

    def encoder_file_note(self) -> str:
        """The same as text, as it is stored."""
        return self._get("encoder_file") or "{}"

    def keep_encoder_file_name(self) -> None:
        """Take the folders of this machine out of the note of the encoder's file."""
        self._set("encoder_file", note_of_name(self._get("encoder_file") or ""))

    def wrong(self) -> Iterator[str]:
        """What cannot be read or cannot be, of all that is noted; it may come from anybody."""
        for key, value in self._database.all("SELECT key, value FROM main.meta"):
            if not (isinstance(key, str) and isinstance(value, str) and key.isprintable()):
                yield "a note in it is no text"
                return
        notes = (self.description, self.threshold, self.unfinished, self.projections, self.pending_erasures)
        for read in (*notes, lambda: self.erasures):
            try:
                read()
            except CorruptGallery as error:
                yield error.reason
        marks = [key for key, _ in self._like(INDEX_MARKS)]
        for key in ("encoder", "index", PROJECTION_KEY, "moment", *marks):
            if not is_word(self._get(key) or ""):
                yield f"its note {key} cannot be"
        if len(self._get("encoder_file") or "") > LONGEST:
            yield "its note of the encoder's file is too long"

    def all_words(self) -> str:
        """Everything that is noted, as one text: a name that is part of it cannot be searched for."""
        return " ".join(word for row in self._database.all("SELECT key, value FROM meta") for word in row)

    # ---- transactions

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is written within is written as one, and counts as one change of the gallery.

        Raises GalleryChanged rather than mix encoders or ciphers.
        """
        with self._database.transaction() as db:
            self._require_as_opened()
            yield db
            db.execute(COUNT_CHANGE)
            db.execute(NEW_MOMENT)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read within is of one moment. Raises GalleryChanged."""
        with self._database.reading():
            self._require_as_opened()
            yield

    def is_as_opened(self) -> bool:
        """Whether the gallery is still of the encoder and under the cipher that it was opened with."""
        found = self._database.all("SELECT key, value FROM main.meta WHERE key IN ('encoder_id', 'cipher')")
        now = dict(found)
        return (now.get("encoder_id"), now.get("cipher", "")) == self.as_opened

    def was_encrypted(self) -> bool:
        """Whether another process has encrypted what was opened here in plain."""
        return not self.as_opened[1] and self._get("cipher") is not None

    def _require_as_opened(self) -> None:
        if not self.is_as_opened():
            raise GalleryChanged(self.folder)

    # ---- counts

    @property
    def generation(self) -> int:
        """Grows with every change. Raises CorruptGallery."""
        return self._count("generation", None)

    @property
    def moment(self) -> tuple[int, str]:
        """The generation, and a mark that no other state of any gallery has; empty in a gallery that has not
        changed since version 0.1.0. Raises CorruptGallery.
        """
        noted: dict[str, str] = dict(self._database.all(MOMENT))
        return self._as_count("generation", noted.get("generation")), noted.get("moment", "")

    @property
    def erasures(self) -> int:
        """How often bytes had to go for good: an index file made before the last time may still hold them.
        Raises CorruptGallery.
        """
        return self._count("erasures", 0)

    # ---- how the gallery is searched

    def threshold(self) -> Threshold | None:
        """The score from which a match is believed; None while there is none. Raises CorruptGallery."""
        noted = self._get("threshold")
        if noted is None:
            return None
        try:
            return Threshold.read(json.loads(noted))
        except UNREADABLE as error:
            raise CorruptGallery(self.folder, "its threshold cannot be read") from error

    def set_threshold(self, threshold: Threshold) -> None:
        """Raises CannotWrite, GalleryBusy."""
        self._set("threshold", json.dumps({slot: getattr(threshold, slot) for slot in Threshold.__slots__}))

    @property
    def scored_by(self) -> ScoredBy:
        """What a person's score is in this gallery's answers, as its threshold was set for."""
        return way_of(self.threshold())

    @property
    def index(self) -> str | None:
        """The kind of index that was asked for; None while nobody has chosen one."""
        return self._get("index")

    def set_index(self, choice: str) -> None:
        self._set("index", choice)

    def is_index_mark(self, mark: object, of: str = INDEX_MARKS) -> bool:
        """Whether an index with this mark was made of this gallery, in its present state or an earlier one.
        of: under which key its marks stand.

        A backup that was put back does not know the marks of what came after it.
        """
        return isinstance(mark, str) and mark in (self._get(of) or "").split()

    def new_index_mark(self, former: object, of: str = INDEX_MARKS) -> str:
        """Note a mark for an index that is about to be named; that of the former one, if it is ours, holds
        until then. It is made of the gallery's present state: where it is noted already nothing is written,
        so that a gallery under version control stays as it is when it is asked. Raises CannotWrite,
        GalleryBusy.
        """
        generation, moment = self.moment
        own = sha256(f"{generation} {moment}".encode()).hexdigest()[:16] if moment else ""
        if own and self.is_index_mark(own, of):
            return own
        mark = own or secrets.token_hex(8)
        known = [str(former)] if self.is_index_mark(former, of) else []
        self._set(of, " ".join([*known, mark]))
        return mark

    # ---- what found its faces

    def detectors(self) -> set[str]:
        """The names of all detectors that this gallery has had faces of; no row of a face is read."""
        return {key.removeprefix(DETECTOR) for key, _ in self._like(DETECTOR)}

    def has_detector_column(self, database: str = "main") -> bool:
        """Whether rows have a place for what found the face. Asked each time: another process may have made
        it just now.
        """
        return self._has_column("detector", database)

    def has_seen_column(self, database: str = "main") -> bool:
        """The same of what else is known of the face."""
        return self._has_column("seen", database)

    def _has_column(self, name: str, database: str) -> bool:
        sql = "SELECT 1 FROM pragma_table_info('faces', ?) WHERE name = ?"
        return bool(self._database.all(sql, database, name))

    def add_detectors(self, db: sqlite3.Connection, names: Iterable[str], *, seen: bool = False) -> None:
        """Within a transaction: rows found by these are about to be written, and with seen what is known of
        their faces. A gallery of before gets a place for that.
        """
        keys = [(f"{DETECTOR}{name}",) for name in names]
        if (keys or seen) and not self.has_detector_column():
            db.execute(ADD_DETECTOR)
        if seen and not self.has_seen_column():
            db.execute(ADD_SEEN)
        db.executemany("INSERT OR IGNORE INTO main.meta VALUES (?, '')", keys)

    # ---- an erasure that is under way

    def unfinished(self) -> Unfinished | None:
        """The erasure that was not carried to its end, if there is one. Raises CorruptGallery."""
        value = self._get("erasing")
        try:
            return Unfinished.read(json.loads(value)) if value else None
        except UNREADABLE as error:
            raise CorruptGallery(self.folder, "its note of an unfinished erasure cannot be read") from error

    def begin_erasure(self, db: sqlite3.Connection, note: Unfinished) -> None:
        """Within a transaction: bytes are to go for good, and that is not done yet."""
        db.execute(SET, ("erasing", json.dumps(asdict(note))))
        db.execute(COUNT_ERASURE)

    def erasure_done(self, note: Unfinished) -> None:
        """Take the note of this erasure away; that of a later one, which another process has just begun,
        stays.
        """
        self._database.run("DELETE FROM meta WHERE key = 'erasing' AND instr(value, ?)", note.salt)

    # ---- where else its vectors are

    def projection_key(self) -> bytes:
        """The secret that ids of projected rows are made with. Made at the first sync; it never leaves the
        gallery. Raises CannotWrite, CorruptGallery.
        """
        if self._get(PROJECTION_KEY) is None:
            self._set(PROJECTION_KEY, secrets.token_hex(32))
        try:
            return bytes.fromhex(self._get(PROJECTION_KEY) or "")
        except ValueError as error:
            raise CorruptGallery(self.folder, "the key of its projections cannot be read") from error

    def projections(self) -> list[Projection]:
        """Every projection of the gallery, by address. Raises CorruptGallery."""
        try:
            read = [json.loads(value) for _, value in self._like(PROJECTION)]
            found = [Projection.read(fields) for fields in read]
        except UNREADABLE as error:
            raise CorruptGallery(self.folder, "its list of projections cannot be read") from error
        return sorted(found, key=lambda projection: projection.store)

    def set_projection(self, projection: Projection) -> None:
        """Note it before anything is sent there, so that forgetting reaches it."""
        self._set(_key_of(projection.store), json.dumps(asdict(projection)))

    def drop_projection(self, store: str) -> None:
        """Forget about a projection, and about erasures that no other one has to carry out."""
        self._set(_key_of(store), None)
        self.drop_done_erasures()

    def pending_erasures(self) -> list[PendingErasure]:
        """Erasures that not every projection has carried out yet, in order. Raises CorruptGallery."""
        try:
            found = [
                PendingErasure.read(count_of(key.removeprefix(PENDING)), json.loads(value))
                for key, value in self._like(PENDING)
            ]
        except UNREADABLE as error:
            reason = "its list of erasures that projections have to carry out cannot be read"
            raise CorruptGallery(self.folder, reason) from error
        return sorted(found, key=lambda item: item.number)

    def add_pending(self, db: sqlite3.Connection, note: Unfinished, face_ids: list[int]) -> None:
        """Within the transaction of an erasure that has begun: where the gallery is projected into another
        engine, that one has to erase these faces too.
        """
        fields = {"salt": note.salt, "digest": note.digest, "face_ids": face_ids}
        db.execute(ADD_PENDING, (json.dumps(fields),))

    def set_receipt(self, salt: str, receipt: str) -> None:
        """Note which receipt speaks of the pending erasure with this salt."""
        for item in self.pending_erasures():
            if item.salt == salt:
                fields: dict[str, Any] = {"salt": salt, "digest": item.digest}
                fields |= {"face_ids": item.face_ids, "receipt": receipt}
                self._set(f"{PENDING}{item.number}", json.dumps(fields))

    def drop_done_erasures(self) -> None:
        """Take away the notes of erasures that every projection has carried out."""
        done = min((projection.erasures for projection in self.projections()), default=None)
        for item in self.pending_erasures():
            if done is None or item.number <= done:
                self._set(f"{PENDING}{item.number}", None)

    # ---- inside

    def _get(self, key: str) -> str | None:
        rows = self._database.all("SELECT value FROM main.meta WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def _like(self, beginning: str) -> list[tuple[str, str]]:
        """All notes (key, value) whose key begins so, by key."""
        sql = "SELECT key, value FROM main.meta WHERE key GLOB ? ORDER BY key"
        return self._database.all(sql, f"{beginning}*")

    def _set(self, key: str, value: str | None) -> None:
        """Note something, or with None take the note away. Raises CannotWrite, GalleryBusy."""
        if value is None:
            self._database.run("DELETE FROM main.meta WHERE key = ?", key)
        else:
            self._database.run(SET, key, value)

    def _count(self, key: str, absent: int | None) -> int:
        """A number of the description; absent: what it is while nobody has written it. What is found by
        reading all of a broken table need not be found by its key: raises CorruptGallery."""
        noted = self._get(key)
        if noted is None and absent is not None:
            return absent
        return self._as_count(key, noted)

    def _as_count(self, key: str, noted: str | None) -> int:
        try:
            return count_of(noted or "")
        except ValueError as error:
            raise CorruptGallery(self.folder, f"its {key} cannot be read") from error


def count_of(text: object) -> int:
    """A whole number from 0, as this module writes it. Raises ValueError."""
    if not (isinstance(text, str) and re.fullmatch("[0-9]{1,18}", text)):
        raise ValueError("not a count")
    return int(text)


def without_private_notes(db: sqlite3.Connection) -> None:
    """Of a copy that goes elsewhere: where else this gallery's vectors are, and in which folder its encoder
    lay, is nobody else's business.
    """
    for pattern in (f"{PROJECTION[:-1]}*", f"{PENDING}*", f"{INDEX_MARKS}*"):
        db.execute("DELETE FROM meta WHERE key GLOB ?", (pattern,))
    for (value,) in db.execute("SELECT value FROM meta WHERE key = 'encoder_file'").fetchall():
        db.execute("UPDATE meta SET value = ? WHERE key = 'encoder_file'", (note_of_name(value),))


def _key_of(store: str) -> str:
    return PROJECTION + sha256(store.encode()).hexdigest()[:16]
