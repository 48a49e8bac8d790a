"""Take a copy of a gallery while it is in use, and put one back.

A copy is a folder of its own: the gallery's file as of one moment, without what was deleted (SQLite writes
all of it again), and its receipts. The index is left out, for it is made again from the file. A copy is made
beside its place, checked row by row, and moved there when it is right.

A copy is put back through SQLite, in one transaction into the file that is there: whatever log a killed
process left beside that file is read first and then overwritten, processes that have the gallery open see one
state or the other, and a kill in between leaves what was there.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from facesearch.errors import BackupInside, CorruptGallery, GalleryBusy, KeyMissing, OutputExists, writing
from facesearch.files import OWNER_ONLY, locked_file, make_folder, replace_file, unfinished_files
from facesearch.gallery.forget import finish_erasure
from facesearch.gallery.index.faiss_index import rebuild_files
from facesearch.gallery.index.files import LOCK, drop_files
from facesearch.gallery.receipts import RECEIPTS
from facesearch.gallery.store.checks import problems
from facesearch.gallery.store.database import WAIT_S, connect, sqlite_errors
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import NEXT, Store
from facesearch.records import Progress

SQLITE_BUSY, SQLITE_LOCKED = 5, 6
NUMBERED = ("faces", "people")
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file: it belongs to that file alone."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """people, faces, bytes: of the copy of the gallery's file; receipts: how many are with it."""

    people: int
    faces: int
    bytes: int
    receipts: int


@dataclass(frozen=True, slots=True)
class Restored:
    """people, faces: in the gallery now; receipts: how many it has of erasures later than the backup, which
    are undone by it."""

    people: int
    faces: int
    undone_erasures: int


def backup(folder: Path, out: Path, progress: Progress, *, key: Key | None = None) -> BackedUp:
    """Write a copy of the gallery into the folder `out`, which must be empty or not there. Others may go on
    reading and writing: what is committed when the copy begins is in it, nothing else.

    Raises NoGallery, OutputExists, BackupInside, CorruptGallery, CannotWrite, NotErasedYet, and what opening
    raises.
    """
    with Store.open(folder, key) as gallery:
        _require_free(folder, out)
        finish_erasure(gallery)
        make_folder(out.parent)
        with _fresh_folder(out) as fresh:
            _copy(gallery, fresh / FILE)
            receipts = _copy_receipts(folder, fresh)
            done = _checked(fresh, gallery.key, progress, receipts)
            with writing(out):
                if out.exists():
                    out.rmdir()
                fresh.replace(out)
        return done


def restore(source: Path, folder: Path, progress: Progress, *, key: Key | None = None) -> Restored:
    """Make the gallery what a backup says, exactly: who was enrolled since is gone, and who was forgotten
    since is there again. The backup is checked first; the index is rebuilt.

    Nothing encrypted becomes plain. Raises NoGallery, OutputExists, CorruptGallery for the backup,
    GalleryBusy, CannotWrite, and what opening raises.
    """
    if source.resolve() == folder.resolve():
        raise OutputExists(folder, "is the backup itself", "Name the gallery with --gallery.")
    with Store.open(source, key) as copy:
        fresh = make_folder(make_folder(folder) / NEXT) / f"restore.{os.getpid()}"
        try:
            make_folder(fresh)
            _copy(copy, fresh / FILE)
            _checked(fresh, key, progress, 0)
            with locked_file(folder / LOCK):  # nobody writes an index of the state that goes
                drop_files(folder)
                _put_in_place(fresh / FILE, folder, key)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    undone = _undone(source, folder)
    _copy_receipts(source, folder)
    shutil.rmtree(folder / NEXT, ignore_errors=True)
    with Store.open(folder, key) as gallery:
        finish_erasure(gallery)
        gallery.eraser.cut_log()
        if not gallery.faces.is_empty():
            rebuild_files(gallery, "a backup was put back")
        return Restored(gallery.faces.person_count(), len(gallery), undone)


# ---- inside


def _require_free(folder: Path, out: Path) -> None:
    if out.resolve() == folder.resolve() or folder.resolve() in out.resolve().parents:
        raise BackupInside(folder, out)
    with writing(out):
        if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
            hint = "Choose a folder that is not there yet, or an empty one."
            raise OutputExists(out, "would be overwritten", hint)


@contextmanager
def _fresh_folder(beside: Path) -> Iterator[Path]:
    """A folder for its owner alone that is gone afterwards, unless it was moved. What killed runs of this
    name left goes too. Raises CannotWrite.
    """
    name = f".{beside.name}.{os.getpid()}.new"
    for torn in unfinished_files(beside.parent):
        if torn.is_dir() and torn.name.startswith(f".{beside.name}."):
            shutil.rmtree(torn, ignore_errors=True)
    fresh = beside.with_name(name)
    with writing(fresh):
        fresh.mkdir(mode=0o700)
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _copy(gallery: Store, path: Path) -> None:
    """The gallery's file as of one moment, in WAL mode like any gallery's, and on the disk for good."""
    with writing(path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, OWNER_ONLY))
    gallery.database.copy_to(path)
    with sqlite_errors(path), closing(connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    with writing(path), path.open("rb") as file:
        os.fsync(file.fileno())


def _checked(folder: Path, key: Key | None, progress: Progress, receipts: int) -> BackedUp:
    """What a copy holds, after every page, row and checksum was looked at. Raises CorruptGallery."""
    with Store.open(folder, key) as copy:
        if wrong := problems(copy, progress):
            raise CorruptGallery(folder, wrong[0])
        people, faces = copy.faces.person_count(), len(copy)
    return BackedUp(people, faces, (folder / FILE).stat().st_size, receipts)


def _receipts(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in (folder / RECEIPTS).glob("*.json") if path.is_file()}


def _copy_receipts(source: Path, folder: Path) -> int:
    """Those that are not there yet; returns how many the source has. Raises CannotWrite."""
    theirs, own = _receipts(source), _receipts(folder)
    with writing(folder):
        for name in sorted(theirs.keys() - own.keys()):
            replace_file(make_folder(folder / RECEIPTS) / name, theirs[name].read_bytes())
    return len(theirs)


def _undone(source: Path, folder: Path) -> int:
    """How many receipts of forgetting the gallery has that the backup does not know."""
    return sum(name.startswith("forget-") for name in _receipts(folder).keys() - _receipts(source).keys())


def _put_in_place(fresh: Path, folder: Path, key: Key | None) -> None:
    """Make the gallery's file what this one is. Raises GalleryBusy, CannotWrite, KeyMissing."""
    path = folder / FILE
    if path.is_file():
        try:
            before = _noted(path)
            if "cipher" in before and key is None:
                raise KeyMissing(folder)
            _count_on(fresh, folder, before)
            _overwrite(fresh, path)
            return
        except CorruptGallery:  # nothing in it can be read: it goes as a whole
            pass
    _count_on(fresh, folder, {})
    with writing(path):
        for end in BESIDE:  # of a file that is not there any more
            path.with_name(FILE + end).unlink(missing_ok=True)
        fresh.replace(path)
        _sync_folder(folder)


def _overwrite(fresh: Path, path: Path) -> None:
    """One file's contents into another, by SQLite, in one transaction. Raises CorruptGallery, GalleryBusy."""

    def not_for_ever(status: int, left: int, total: int) -> None:
        if status in (SQLITE_BUSY, SQLITE_LOCKED):
            raise GalleryBusy(path.parent, WAIT_S)

    with sqlite_errors(path), closing(connect(fresh)) as source, closing(connect(path)) as target:
        source.backup(target, progress=not_for_ever)
        found = target.execute("PRAGMA quick_check").fetchall()
        if found != [("ok",)]:
            raise CorruptGallery(path.parent, str(found[0][0]))


def _noted(path: Path) -> dict[str, str]:
    """What a gallery's file says of itself, and under "faces" and "people" the last numbers that were given
    there. Raises CorruptGallery.
    """
    with sqlite_errors(path), closing(connect(path)) as db:
        numbers = db.execute(f"SELECT name, CAST(seq AS TEXT) FROM sqlite_sequence WHERE name IN {NUMBERED}")
        return {**dict(db.execute("SELECT key, value FROM meta").fetchall()), **dict(numbers.fetchall())}


def _count_on(fresh: Path, folder: Path, before: dict[str, str]) -> None:
    """Let the counts of changes and of erasures, and the numbers of faces and people, go on from the higher
    of both: whatever was made of either state (an index, a picture in a running service, a receipt's name) is
    then known to be of another one, and no number is given to somebody else again.
    """
    receipts = [int(found[1]) for name in _receipts(folder) if (found := re.search(r"-(\d+)\.json$", name))]
    own = _noted(fresh)
    with sqlite_errors(fresh), closing(connect(fresh)) as db:
        for count in ("generation", "erasures"):
            value = str(max([*_numbers(count, own, before), *receipts], default=0) + 1)
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (count, value))
        for table in NUMBERED:
            highest = max(_numbers(table, own, before), default=0)
            db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (highest, table))


def _numbers(key: str, *noted: dict[str, str]) -> list[int]:
    return [int(notes[key]) for notes in noted if notes.get(key, "").isdigit()]


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
