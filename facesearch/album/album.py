"""An album on disk: one SQLite file with every face that was found under a folder, in which group, under
whose name.

A photo is what it shows. It is called by the hash of the first file that showed it (`sha256` of photos,
faces and files alike: what belongs together), and known again by its pixels' hash (`picture`), whatever a
program has written beside them, and wherever the file lies now; `AlbumFile.content` is the hash of the file
itself. A face is a photo and a number. What a person said of it stands in its row, and in the tables of
said.py (`Album.said`). Albums of format 1 have neither `picture` nor those tables; they get them when they
are opened where they may be written.

One file is of one encoder and one detector. It holds vectors and no pixels; files and folder are their
owner's alone. See gallery/store.py for the gallery.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, Self

import numpy as np

from facesearch.album.said import SCHEMA as SAID
from facesearch.album.said import Key, SaidTables
from facesearch.datasets.table import points_of
from facesearch.errors import CorruptAlbum, NoAlbum, NotFound, OtherAlbum, unshown, written
from facesearch.faces.found_by import current_name
from facesearch.gallery.store.database import Database, statements
from facesearch.gallery.store.rows import VECTOR, vector_bytes
from facesearch.gallery.store.seen import LANDMARKS, read_seen, seen_bytes
from facesearch.records import F32, Seen

FILE = "scan.sqlite"
FORMAT = 2
APPLICATION_ID = 0x66616C62
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE photos (sha256 TEXT PRIMARY KEY, faces INTEGER NOT NULL, reason TEXT NOT NULL,
                     picture TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE files (path TEXT PRIMARY KEY, bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL,
                    reason TEXT NOT NULL, content TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE faces (
  face_id INTEGER PRIMARY KEY AUTOINCREMENT,
  sha256 TEXT NOT NULL REFERENCES photos,
  number INTEGER NOT NULL,
  x REAL NOT NULL, y REAL NOT NULL, w REAL NOT NULL, h REAL NOT NULL,
  landmarks TEXT NOT NULL,
  score REAL NOT NULL,
  size_px REAL NOT NULL,
  sharpness REAL NOT NULL,
  vector BLOB NOT NULL,
  checksum INTEGER NOT NULL,
  grp INTEGER NOT NULL DEFAULT 0,
  name TEXT NOT NULL DEFAULT '',
  reviewed INTEGER NOT NULL DEFAULT 0,
  nobody INTEGER NOT NULL DEFAULT 0,
  enrolled TEXT NOT NULL DEFAULT '',
  nearest TEXT NOT NULL DEFAULT '',
  nearest_score REAL,
  known INTEGER NOT NULL DEFAULT 0,
  UNIQUE (sha256, number)
);
"""  # noqa: E501 - as it stands in every album's file
_FROM_1 = """
ALTER TABLE photos ADD COLUMN picture TEXT NOT NULL DEFAULT '';
ALTER TABLE files ADD COLUMN content TEXT NOT NULL DEFAULT '';
UPDATE files SET content = sha256;
"""


@dataclass(frozen=True, slots=True)
class AlbumFile:
    """A file as it was when it was last looked at. path: below the album, as `written` says it; sha256: which
    photo it shows, empty where it could not be read; reason: why it was left out; content: its own bytes'
    hash, which is another one where a program has rewritten the file and not the picture.
    """

    path: str
    bytes: int
    mtime_ns: int
    sha256: str
    reason: str
    content: str = ""

    def below(self, root: Path) -> Path:
        """Where the file lies. Older albums hold paths as they are."""
        there = root / unshown(self.path)
        as_it_is = root / self.path
        return as_it_is if there != as_it_is and not os.path.lexists(there) else there


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face just found. box (x, y, w, h) and landmarks `x y x y ...` in pixels of the photo; score is the
    detector's; size_px: the box's shorter side; sharpness: variance of the crop's Laplacian; vector (d,)
    float32 of length 1."""

    number: int
    box: tuple[float, float, float, float]
    landmarks: str
    score: float
    size_px: float
    sharpness: float
    vector: F32


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """What was found in one photo: its faces, or why there are none (reason). picture: its pixels'
    hash, empty where there are none."""

    sha256: str
    faces: tuple[FoundFace, ...]
    reason: str = ""
    picture: str = ""


@dataclass(frozen=True, slots=True)
class AlbumFace:
    """A row without its vector. group 0: in none. name: what a reviewer wrote; nobody: a reviewer put it
    aside; enrolled: under which name it went into a gallery. nearest, nearest_score: the person of a gallery
    it resembles; known: as much as a match. refused: the people that a reviewer said it is not."""

    face_id: int
    sha256: str
    number: int
    box: tuple[float, float, float, float]
    landmarks: str
    score: float
    size_px: float
    sharpness: float
    group: int
    name: str
    reviewed: bool
    nobody: bool
    enrolled: str
    nearest: str
    nearest_score: float | None
    known: bool
    refused: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What the face is called in a review: the beginning of its photo's content hash, and its number
        there.
        """
        return f"{self.sha256[:12]}/{self.number}"

    def points(self) -> F32:
        """The landmarks (k, 2) float32; none of a photo that was an aligned crop."""
        return points_of(self.landmarks)

    def seen(self) -> Seen | None:
        """What a gallery keeps of it beside its vector; None where the album, which may come from anybody,
        says what can be no face's.
        """
        try:
            points = tuple((float(x), float(y)) for x, y in self.points())
            known = points if len(points) == LANDMARKS else ()
            return read_seen(seen_bytes(Seen(self.box, known, self.score, self.sharpness)))
        except (ValueError, TypeError, struct.error):
            return None

    @property
    def person(self) -> str:
        """Whose face it is taken for: the reviewer's word, else the gallery's match, else nobody's
        (empty)."""
        known = self.known and not self.nobody and self.nearest not in self.refused
        return self.name or (self.nearest if known else "")


_COLUMNS = (
    "face_id, sha256, number, x, y, w, h, landmarks, score, size_px, sharpness, vector, checksum, grp, name,"
    " reviewed, nobody, enrolled, nearest, nearest_score, known"
)
_CHANGEABLE = {
    "group": "grp",
    **{
        name: name for name in ("name", "reviewed", "nobody", "enrolled", "nearest", "nearest_score", "known")
    },
}


class Album:
    """An open album file. Use it in a with statement; it belongs to one thread."""

    def __init__(self, folder: Path, database: Database) -> None:
        """Takes over the database. Raises CorruptAlbum."""
        self.folder, self._database = folder, database
        meta = dict(database.all("SELECT key, value FROM meta"))
        try:
            version = int(meta["format"])
            self.root = Path(unshown(meta["root"]))
            self.encoder_id, self.encoder, self.detector = (
                meta["encoder_id"],
                meta["encoder"],
                current_name(meta["detector"]),
            )
            self.dimension = int(meta["dimension"])
            self.notes: dict[str, Any] = json.loads(meta["notes"])
        except (KeyError, ValueError) as error:
            raise CorruptAlbum(folder, "its description is incomplete") from error
        if not 1 <= version <= FORMAT:
            raise CorruptAlbum(
                folder, f"it is of format {version}, this version of facesearch reads up to {FORMAT}"
            )
        self._is_old = version < FORMAT and not self._brought_up_to_date()
        self.said = SaidTables(database, there=not self._is_old)

    @classmethod
    def create(
        cls,
        folder: Path,
        root: Path,
        *,
        encoder_id: str,
        dimension: int,
        encoder: str,
        detector: str,
        notes: dict[str, Any],
    ) -> Self:
        """Make an empty album, or open the one that is there. notes: what is needed of the encoder's notes
        for a threshold.
        """
        meta = {
            "format": FORMAT,
            "root": written(root),
            "encoder_id": encoder_id,
            "dimension": dimension,
            "encoder": encoder,
            "detector": detector,
            "notes": json.dumps(notes),
            "next_group": 1,
        }
        Database.create(folder / FILE, APPLICATION_ID, _SCHEMA + SAID, meta, CorruptAlbum)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises NoAlbum, CorruptAlbum."""
        path = folder / FILE
        if not path.is_file():
            raise NoAlbum(folder)
        said = f"{FILE} is no album of facesearch"
        return cls(folder, Database.open(path, APPLICATION_ID, CorruptAlbum, said=said))

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def photos_at(self, root: Path | None) -> Path:
        """Where the album's photos lie: there, if it was moved. Raises NotFound."""
        place = (root or self.root).absolute()
        if not place.is_dir():
            raise NotFound(place, "folder of photos", "If the album was moved, pass --photos FOLDER.")
        return place

    def require(self, encoder_id: str, detector: str, root: Path) -> None:
        """Raises OtherAlbum when it was made by another encoder or detector, or of another folder."""
        if encoder_id != self.encoder_id:
            raise OtherAlbum(self.folder, "with the encoder", self.encoder_id[:12], encoder_id[:12])
        if detector != self.detector:
            raise OtherAlbum(self.folder, "with the detector", self.detector, detector)
        if root != self.root:
            raise OtherAlbum(self.folder, "of the folder", str(self.root), str(root))

    # ---- reading

    def files(self) -> dict[str, AlbumFile]:
        """Every file that was looked at, by its path below the album's root. Raises CorruptAlbum: the scan
        may come from anybody, and no path in it may lead out of the album.
        """
        content = "sha256" if self._is_old else "content"
        rows = self._database.all(
            f"SELECT path, bytes, mtime_ns, sha256, reason, {content} FROM files ORDER BY path"
        )
        for row in rows:
            if list(map(type, row)) != [str, int, int, str, str, str] or not is_below(row[0]):
                raise CorruptAlbum(self.folder, f"{row[0]!r} is no file below an album")
            if any(sha and not _SHA256.fullmatch(sha) for sha in (row[3], row[5])):
                raise CorruptAlbum(self.folder, f"the content hash of {row[0]!r} is none")
        return {row[0]: AlbumFile(*row) for row in rows}

    def photos(self) -> dict[str, str]:
        """Every photo that was looked into, with the reason why nothing could be found in it (empty: it
        could).
        """
        return dict(self._database.all("SELECT sha256, reason FROM photos"))

    def pictures(self) -> dict[str, str]:
        """The photo that each picture is, by its pixels' hash; photos of format 1 have none until they are
        read again.
        """
        if self._is_old:
            return {}
        return dict(self._database.all("SELECT picture, sha256 FROM photos WHERE picture != ''"))

    def faces(self) -> list[AlbumFace]:
        """Every face of a photo that is still there, in the order they were found. Raises CorruptAlbum."""
        refused = self.said.refused()
        return [_face(row, refused) for row in self._face_rows()]

    def faces_of(self, photo: str) -> tuple[list[AlbumFace], F32]:
        """The faces of one photo, whether a file shows it still or not, with their unit vectors (n, d)."""
        rows = self._checked(
            self._database.all(f"SELECT {_COLUMNS} FROM faces WHERE sha256 = ? ORDER BY number", photo)
        )
        return [_face(row, self.said.refused()) for row in rows], self._vectors(rows)

    def faces_and_vectors(self) -> tuple[list[AlbumFace], F32]:
        """The same with their unit vectors (n, d) float32."""
        rows, refused = self._face_rows(), self.said.refused()
        return [_face(row, refused) for row in rows], self._vectors(rows)

    def value(self, key: str) -> str:
        """A remembered word of a job's own; empty when there is none."""
        rows = self._database.all("SELECT value FROM meta WHERE key = ?", key)
        return str(rows[0][0]) if rows else ""

    # ---- writing

    def add(self, files: Sequence[AlbumFile], photos: Sequence[FoundPhoto]) -> None:
        """Take in what was found, all in one step. A photo that is known stays as it is."""
        with self._database.transaction() as db:
            for photo in photos:
                row = (photo.sha256, len(photo.faces), photo.reason, photo.picture)
                words = "INSERT INTO photos VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
                if not db.execute(words, row).rowcount:
                    continue
                for face in photo.faces:
                    self._insert(db, photo.sha256, face)
            rows = [tuple(getattr(file, field.name) for field in fields(file)) for file in files]
            db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)

    def add_face(self, photo: str, face: FoundFace) -> None:
        """Add a face that a person has marked to a photo that was looked into."""
        with self._database.transaction() as db:
            self._insert(db, photo, face)
            db.execute("UPDATE photos SET faces = faces + 1, reason = '' WHERE sha256 = ?", (photo,))

    def _insert(self, db: sqlite3.Connection, photo: str, face: FoundFace) -> None:
        blob = vector_bytes(face.vector, self.dimension)
        facts = (face.landmarks, face.score, face.size_px, face.sharpness)
        db.execute(
            "INSERT INTO faces (sha256, number, x, y, w, h, landmarks, score, size_px, sharpness,"
            " vector, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (photo, face.number, *face.box, *facts, blob, zlib.crc32(blob)),
        )

    def note_pictures(self, pictures: dict[str, str]) -> None:
        """Keep the pixels' hash of photos that have none yet: {photo: hash}."""
        with self._database.transaction() as db:
            db.executemany(
                "UPDATE photos SET picture = ? WHERE sha256 = ? AND picture = ''",
                [(picture, photo) for photo, picture in pictures.items()],
            )

    def drop_files(self, paths: Iterable[str]) -> None:
        """Let go of files that are gone; what was found in them stays known, for they may only have been
        moved.
        """
        with self._database.transaction() as db:
            db.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])

    def drop_photos(self, contents: Iterable[str]) -> None:
        """Let go of contents in which nothing could be found, as if they had never been looked into."""
        with self._database.transaction() as db:
            db.executemany("DELETE FROM photos WHERE sha256 = ? AND faces = 0", [(sha,) for sha in contents])

    def change(self, changes: dict[int, dict[str, object]]) -> None:
        """Set fields of faces, all in one step: {face id: {field: value}}."""
        with self._database.transaction() as db:
            for face_id, values in changes.items():
                if values:
                    words = ", ".join(f"{_CHANGEABLE[field]} = ?" for field in values)
                    db.execute(f"UPDATE faces SET {words} WHERE face_id = ?", (*values.values(), face_id))

    def new_groups(self, count: int) -> range:
        """So many numbers that no group has ever had."""
        with self._database.transaction() as db:
            first = int(db.execute("SELECT value FROM meta WHERE key = 'next_group'").fetchone()[0])
            db.execute("UPDATE meta SET value = ? WHERE key = 'next_group'", (str(first + count),))
        return range(first, first + count)

    def remember(self, key: str, value: str) -> None:
        """Keep a word of a job's own."""
        with self._database.transaction() as db:
            db.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )

    # ---- inside

    def _brought_up_to_date(self) -> bool:
        """Make an album of format 1 one of this format; False where nothing may be written."""
        if not self._database.writable:
            return False
        with self._database.transaction() as db:
            (version,) = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
            if int(version) == 1:
                for statement in statements(_FROM_1 + SAID):
                    db.execute(statement)
                db.execute("UPDATE meta SET value = ? WHERE key = 'format'", (str(FORMAT),))
        return True

    def _face_rows(self) -> list[Any]:
        return self._checked(
            self._database.all(
                f"SELECT {_COLUMNS} FROM faces WHERE sha256 IN (SELECT sha256 FROM files) ORDER BY face_id"
            )
        )

    def _checked(self, rows: list[Any]) -> list[Any]:
        for row in rows:
            texts = (row[1], row[7], row[14], row[17], row[18])
            if not all(isinstance(text, str) for text in texts) or not _SHA256.fullmatch(row[1]):
                raise CorruptAlbum(self.folder, f"the texts of face {row[0]!r} are none")
            if not isinstance(row[2], int) or not isinstance(row[13], int):
                raise CorruptAlbum(self.folder, f"the numbers of face {row[0]!r} are none")
        return rows

    def _vectors(self, rows: list[Any]) -> F32:
        vectors = np.empty((len(rows), self.dimension), np.float32)
        for i, row in enumerate(rows):
            if len(row[11]) != self.dimension * VECTOR.itemsize or zlib.crc32(row[11]) != row[12]:
                raise CorruptAlbum(self.folder, f"the vector of face {row[0]} does not fit its checksum")
            vectors[i] = np.frombuffer(row[11], VECTOR)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors


_SHA256 = re.compile("[0-9a-f]{64}")


def is_below(path: str) -> bool:
    """Whether this is a path of a file below a folder, whatever folder that is, as it stands and as `unshown`
    reads it.
    """
    parts = PurePath(path).parts
    below = bool(parts) and not PurePath(path).is_absolute() and ".." not in parts and "\0" not in path
    return below and ((real := unshown(path)) == path or is_below(real))


def _face(row: Any, refused: dict[Key, tuple[str, ...]]) -> AlbumFace:
    return AlbumFace(
        row[0],
        row[1],
        row[2],
        tuple(row[3:7]),
        row[7],
        row[8],
        row[9],
        row[10],
        row[13],
        row[14],
        bool(row[15]),
        bool(row[16]),
        row[17],
        row[18],
        row[19],
        bool(row[20]),
        refused.get((row[1], row[2]), ()),
    )
