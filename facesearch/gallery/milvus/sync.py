"""Bring a projection to where the gallery is, check it, erase from it, or give it up. The gallery is the
truth and never changes here.

The projection is noted in the gallery before anything is sent; while rows change neither side carries the
stamp of a finished sync. Killed at any step, the next sync sees that, compares all rows and sends only what
is missing. With both stamps in place only what changed since is looked at.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facesearch.errors import (
    BadStore,
    CorruptGallery,
    FacesearchError,
    NotSynced,
    ProjectionDiffers,
    StoreRefused,
    counted,
)
from facesearch.gallery.milvus.engine import NUMBERS, UNFINISHED, Engine, Row, connected
from facesearch.gallery.milvus.projections import (
    Access,
    Place,
    collection_of,
    place_of,
    projection_at,
    require_plain,
    row_id,
    sole_sync,
)
from facesearch.gallery.milvus.waiting import wait_until_indexed
from facesearch.gallery.receipts import RECEIPTS, Elsewhere, mark
from facesearch.gallery.store.notes import PendingErasure, Projection
from facesearch.gallery.store.rows import VECTOR, checksum_of, wrong_with
from facesearch.gallery.store.rows import Row as StoredRow
from facesearch.gallery.store.store import Store
from facesearch.records import Progress

SEND = 1000
"""Rows sent at once: 2 MB of 512 numbers."""
AT_ONCE = 500
"""Ids named in one filter."""
EQUAL = 1e-6
"""By so much a number of a vector may differ from what was sent: Milvus keeps float32 as it is."""
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Synced:
    """added, removed, same: rows; compared: all rows were looked at, not only what changed; rebuilt:
    everything was dropped and sent again, since the engine would have kept deleted bytes, or could not read
    what it had; erased: erasures that were carried out there; unindexed: rows that the engine does not search
    by their index yet, so that a search may miss some of them."""

    store: str
    collection: str
    added: int
    removed: int
    same: int
    compared: bool
    rebuilt: bool
    erased: int
    unindexed: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """missing: rows of the gallery that the engine lacks; extra: rows that it has and the gallery has not;
    wrong: rows whose vector is another one there; same: rows that are right."""

    store: str
    collection: str
    missing: int
    extra: int
    wrong: int
    same: int

    def words(self) -> str:
        parts = {"missing": self.missing, "too many": self.extra, "with another vector": self.wrong}
        return ", ".join(f"{counted(count, 'row')} {what}" for what, count in parts.items() if count)


@dataclass(slots=True)
class _Part:
    """A stretch of the comparison, up to face number `last`: rows to be sent, `wrong` of them for their
    vector; ids that are to go; how many rows are right."""

    last: int
    send: list[Row] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    wrong: int = 0
    same: int = 0


def sync(
    gallery: Store,
    place: Place,
    *,
    index: str | None = None,
    full: bool = False,
    progress: Progress,
    waiting: Progress | None = None,
) -> Synced:
    """Make the projection show the gallery as it is. full: compare every row and vector, whatever the stamps
    say. waiting: wait, too, until the engine searches all rows by their index, and be told how many it does.

    index: its kind where a collection is made; None keeps the one that is there, and takes the engine's usual
    one for a new one. Raises CannotProject, SyncRunning, PackageMissing, StoreUnreachable, StoreRefused,
    OtherCollection, CorruptGallery, CannotWrite.
    """
    require_plain(gallery)
    with sole_sync(gallery), connected(place) as engine:
        known = projection_at(gallery, place)
        start = _noted(gallery, place, known, index)
        total = Synced(place.text, start.collection, 0, 0, 0, False, False, 0)
        before = start.erasures
        for _ in range(ROUNDS):  # somebody may be forgotten while rows are on their way
            erasures = gallery.notes.erasures
            done = _round(gallery, engine, start, full=full, progress=progress)
            start = projection_at(gallery, place) or start
            total = replace(
                done,
                added=total.added + done.added,
                removed=total.removed + done.removed,
                compared=total.compared or done.compared,
                rebuilt=total.rebuilt or done.rebuilt,
            )
            full = False
            if gallery.notes.erasures == erasures:
                break
        for old in start.former:
            engine.drop(old)
        if start.former:
            gallery.notes.set_projection(replace(start, former=()))
        for item in gallery.notes.pending_erasures():
            if before < item.number <= start.erasures and item.receipt:
                mark(gallery.folder / RECEIPTS / item.receipt, Elsewhere(place.text, True, _how(total)))
        gallery.notes.drop_done_erasures()
        done = replace(total, erased=start.erasures - before, unindexed=engine.unindexed(start.collection))
    if waiting is None or not done.unindexed:
        return done
    with connected(place) as engine:  # others may sync and forget meanwhile
        return replace(done, unindexed=wait_until_indexed(engine, start.collection, waiting))


def check(gallery: Store, place: Place, progress: Progress) -> Checked:
    """Compare every row and every vector with the gallery, and change nothing. Raises as sync does; NotSynced
    when there is nothing.
    """
    require_plain(gallery)
    known = projection_at(gallery, place)
    with sole_sync(gallery), connected(place) as engine:
        if known is None or not engine.has(known.collection):
            raise NotSynced(
                gallery.folder,
                place.text,
                "nothing was ever sent there" if known is None else "its collection is gone",
            )
        if known.collection != collection_of(gallery):
            raise NotSynced(
                gallery.folder, place.text, "the gallery was embedded again with another encoder since"
            )
        engine.check(known.collection, gallery.dimension, gallery.encoder_id)
        engine.load(known.collection)
        missing = extra = wrong = same = 0
        last = gallery.faces.last_id()
        for part in _compared(gallery, engine, known.collection, progress, vectors=True):
            missing, extra = missing + len(part.send) - part.wrong, extra + len(part.extra)
            wrong, same, last = wrong + part.wrong, same + part.same, max(last, part.last)
        extra += engine.count(known.collection, f"face > {last}") + engine.count(
            known.collection, "face <= 0"
        )
        return Checked(place.text, known.collection, missing, extra, wrong, same)


def drop(gallery: Store, place: Place, *, abandon: bool) -> None:
    """Drop a projection with all that is in it, and take it off the gallery's list; with abandon only the
    latter, unreached.

    Raises NotSynced when it is not on the list; as sync does.
    """
    known = projection_at(gallery, place)
    if known is None:
        raise NotSynced(gallery.folder, place.text, "nothing was ever sent there")
    with sole_sync(gallery):
        if not abandon:
            with connected(place) as engine:
                for name in {known.collection, *known.former}:
                    engine.drop(name)
        gallery.notes.drop_projection(place.text)


def erase_elsewhere(gallery: Store, access: Access) -> list[Elsewhere]:
    """Carry every erasure to every projection that owes it. What could not be reached is told, not raised."""
    found = []
    for known in gallery.notes.projections():
        if known.erasures == gallery.notes.erasures and known.stamp:
            continue
        try:
            done = sync(gallery, place_of(known.store, access), progress=lambda done, total: None)
        except FacesearchError as error:
            found.append(Elsewhere(known.store, False, error.what))
        else:
            found.append(Elsewhere(known.store, True, _how(done)))
    return found


def unreached(gallery: Store) -> list[Elsewhere]:
    """The projections that owe an erasure, before anybody has tried to reach them."""
    behind = [
        known
        for known in gallery.notes.projections()
        if known.erasures != gallery.notes.erasures or not known.stamp
    ]
    return [Elsewhere(known.store, False, "not reached yet") for known in behind]


# ---- inside


def _noted(gallery: Store, place: Place, known: Projection | None, index: str | None) -> Projection:
    """What the gallery knows of the projection, written down before anything is sent. Raises BadStore."""
    name = collection_of(gallery)
    kind = index or (known.index if known else "flat" if place.local is not None else "hnsw")
    if place.local is not None and kind == "diskann":
        raise BadStore(place.text, "Milvus Lite has no DiskANN")
    if known is None:
        fresh = Projection(place.text, name, kind, erasures=gallery.notes.erasures)
    elif known.collection != name:  # of another encoder
        former = tuple(
            old for old in (*known.former, known.collection) if old != name
        )  # back to an earlier encoder: it is kept
        fresh = Projection(place.text, name, kind, erasures=known.erasures, former=former)
    else:
        fresh = replace(known, index=kind)
    if fresh != known:
        gallery.notes.set_projection(fresh)
    return fresh


def _round(gallery: Store, engine: Engine, known: Projection, *, full: bool, progress: Progress) -> Synced:
    """One pass: what is to be removed, what is to be sent, both stamps. The state aimed at is the one that is
    read at its start.
    """
    name, erasures, generation = known.collection, gallery.notes.erasures, gallery.notes.generation
    there = _there(gallery, engine, known)
    trusted = bool(known.stamp) and not full and there.stamp == known.stamp and there.rows == known.faces
    gone = _gone(gallery, known, erasures)
    if trusted and erasures == known.erasures and gallery.faces.last_id() == known.last_face_id:
        return Synced(known.store, name, 0, 0, there.rows, False, False, 0)
    known = replace(known, stamp="")
    gallery.notes.set_projection(known)
    counts = _Counts()
    rebuild = there.exists and (not there.readable or (engine.keeps_deleted_bytes and gone != ()))
    if there.exists and not rebuild:
        engine.set_stamp(name, UNFINISHED)
        if trusted and gone is not None:
            _take_away(engine, name, "face", [str(face) for face in gone])
            counts = _Counts(removed=len(gone), same=there.rows - len(gone), last=known.last_face_id)
        else:
            counts = _repair(gallery, engine, name, progress, vectors=full)
            rebuild = engine.keeps_deleted_bytes and counts.removed > 0
    if rebuild:
        removed = counts.removed or len(gone or ()) or max(0, there.rows - len(gallery))
        engine.drop(name)
    if rebuild or not there.exists:
        known = replace(
            known, erasures=erasures
        )  # nothing of before is there any more: a killed rebuilding is gone on with
        gallery.notes.set_projection(known)
        engine.create(name, gallery.dimension, gallery.encoder_id, known.index)
        counts = _Counts()
    _send_newer(gallery, engine, name, counts, progress)
    engine.settle(name, compact=counts.removed > 0)
    rows = engine.count(name)
    if rows != counts.same + counts.added:
        raise ProjectionDiffers(
            gallery.folder,
            known.store,
            f"{counted(rows, 'row is', 'rows are')} there, {counts.same + counts.added} should be",
        )
    stamp = f"{generation}-{secrets.token_hex(8)}"
    engine.set_stamp(name, stamp)
    gallery.notes.set_projection(
        replace(
            known,
            stamp=stamp,
            faces=rows,
            last_face_id=counts.last,
            erasures=erasures,
            generation=generation,
            synced=time.time(),
        )
    )
    if rebuild:
        same = min(rows, max(0, there.rows - removed))
        counts = _Counts(added=rows - same, removed=removed, same=same)
    return Synced(
        known.store, name, counts.added, counts.removed, counts.same, there.exists and not trusted, rebuild, 0
    )


@dataclass(frozen=True, slots=True)
class _There:
    """The collection as a pass finds it. readable: unless Milvus Lite cannot read its own files, of which
    nothing is worth keeping.
    """

    exists: bool
    readable: bool = True
    rows: int = 0
    stamp: str = ""


def _there(gallery: Store, engine: Engine, known: Projection) -> _There:
    name = known.collection
    try:
        if not engine.has(name):
            return _There(False)
        engine.check(name, gallery.dimension, gallery.encoder_id)
        engine.prepare(name, known.index)
        return _There(True, True, engine.count(name), engine.stamp(name))
    except StoreRefused:
        if engine.place.local is None:
            raise
        return _There(True, False)  # killed while it wrote, or damaged


@dataclass(slots=True)
class _Counts:
    """What a pass has done so far. last: the highest face number that is there."""

    added: int = 0
    removed: int = 0
    same: int = 0
    last: int = 0


def _gone(gallery: Store, known: Projection, until: int) -> tuple[int, ...] | None:
    """The faces that erasures up to number `until` have taken from the projection; None when not all of them
    are on record.
    """
    notes: dict[int, PendingErasure] = {item.number: item for item in gallery.notes.pending_erasures()}
    wanted = range(known.erasures + 1, until + 1)
    if any(number not in notes for number in wanted):
        return None
    there = (
        known.last_face_id if known.stamp else gallery.faces.last_id()
    )  # what was forgotten before it was sent is not there
    return tuple(
        sorted(
            {face for number in wanted for face in notes[number].face_ids if face <= there or not known.stamp}
        )
    )


def _take_away(engine: Engine, name: str, field: str, values: Sequence[str]) -> None:
    """Delete the rows whose field has one of these values, written as Milvus' filters want them."""
    for start in range(0, len(values), AT_ONCE):
        engine.delete(name, f"{field} in [{', '.join(values[start : start + AT_ONCE])}]")


def _repair(gallery: Store, engine: Engine, name: str, progress: Progress, *, vectors: bool) -> _Counts:
    """Compare all rows, take away what does not belong there, send what is missing, and with `vectors` what
    is wrong.
    """
    counts = _Counts(last=gallery.faces.last_id())
    for part in _compared(gallery, engine, name, progress, vectors=vectors):
        _take_away(engine, name, "id", [f'"{item}"' for item in part.extra])
        for start in range(0, len(part.send), SEND):
            engine.send(name, part.send[start : start + SEND])
        counts.added, counts.removed = counts.added + len(part.send), counts.removed + len(part.extra)
        counts.same, counts.last = counts.same + part.same, max(counts.last, part.last)
    for which in (f"face > {counts.last}", "face <= 0"):
        if many := engine.count(name, which):
            engine.delete(name, which)
            counts.removed += many
    return counts


def _compared(
    gallery: Store, engine: Engine, name: str, progress: Progress, *, vectors: bool
) -> Iterator[_Part]:
    """Walk the gallery's rows and the engine's side by side, by face number. Numbers above the gallery's last
    are left to the caller.
    """
    done, total, low = 0, len(gallery), 0
    progress(0, total)
    engine.count(name)  # which waits for all that was written before, so that the reads below see it
    for rows in _projected(gallery, 0, SEND if vectors else NUMBERS):
        wanted = {row.id: row for row in rows}
        part = _Part(last=rows[-1].face)
        for there in (
            row for found in engine.between(name, low, part.last, vectors=vectors) for row in found
        ):
            own = wanted.get(there.id)
            if own is None or own.face != there.face:
                part.extra.append(there.id)
                continue
            del wanted[there.id]
            if there.vector is None or (
                own.vector is not None and np.allclose(there.vector, own.vector, rtol=0, atol=EQUAL)
            ):
                part.same += 1
            else:
                part.wrong += 1
                part.send.append(own)
        part.send.extend(wanted.values())
        yield part
        done, low = done + len(rows), part.last
        progress(done, total)


def _send_newer(gallery: Store, engine: Engine, name: str, counts: _Counts, progress: Progress) -> None:
    total = len(gallery)
    progress(counts.same + counts.added, total)
    for rows in _projected(gallery, counts.last, SEND):
        engine.send(name, rows)
        counts.added, counts.last = counts.added + len(rows), rows[-1].face
        progress(counts.same + counts.added, total)


def _projected(gallery: Store, after: int, size: int) -> Iterator[list[Row]]:
    """The gallery's rows as they are sent, `size` at a time, each checked. Raises CorruptGallery."""
    key = gallery.notes.projection_key()
    for batch in gallery.faces.batches(size, after=after):
        yield [_row(gallery, key, row) for row in batch]


def _row(gallery: Store, key: bytes, row: Sequence[Any]) -> Row:
    face, name, sha256, source, blob, checksum = row
    fits = checksum_of(name, sha256, source, blob) == checksum
    if reason := wrong_with(StoredRow(name, sha256, source, blob), gallery.dimension, fits=fits):
        raise CorruptGallery(gallery.folder, f"face {face}: {reason}")
    vector = np.frombuffer(blob, VECTOR).astype(np.float32)
    return Row(row_id(key, gallery.encoder_id, face, sha256, source, blob), face, vector)


def _how(done: Synced) -> str:
    if done.rebuilt or not done.removed:
        return (
            "its files were deleted and rewritten from the gallery"
            if done.rebuilt
            else "nothing of it was there"
        )
    return (
        "deleted there and a compaction asked for; no search finds it any more. Milvus deletes the old files"
        " from its storage when its garbage collection next runs (dataCoord.gc.dropTolerance) and the entries"
        " of its log when their retention ends"
    )
