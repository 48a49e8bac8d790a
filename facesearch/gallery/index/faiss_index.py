"""The index: a disposable picture of the store, memory-mapped, rebuilt when it is missing or damaged.

It is kept in segments, each of a range of face ids. Faces enrolled since are read from the store and searched
beside them; when they are many they become a segment, which swallows those before it that are not several
times its size, so that every face is rewritten only so often. Faces forgotten since are unknown to the
store and dropped from answers, and their rows are overwritten in place by the next writer, at the latest
by the erasure itself.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from facesearch.errors import EmptyGallery, FacesearchError, GalleryBusy, GalleryChanged, counted
from facesearch.gallery.index.bit_codes import encode
from facesearch.gallery.index.checksums import ERASED, row_checksums
from facesearch.gallery.index.choice import chosen_index
from facesearch.gallery.index.files import MANIFEST as MANIFEST
from facesearch.gallery.index.files import (
    Held,
    build,
    drop_files,
    erase,
    is_of,
    keeps_files,
    load,
    locked,
    read_manifest,
    write_manifest,
)
from facesearch.gallery.index.files import drop_unfinished as drop_unfinished
from facesearch.gallery.index.kinds import BITS
from facesearch.gallery.index.rows import AT_ONCE, vectors_of
from facesearch.gallery.index.segments import Reread, Segment
from facesearch.gallery.store.store import Store
from facesearch.records import F32, I64

DELTA_LIMIT = 2000
"""So many faces enrolled since are read from the store and searched beside the segments, before they become
one.
"""
GROWTH = 4
"""A new segment swallows those before it that are not so many times its size."""
ERASED_LIMIT = 0.1
"""A segment with a larger share of erased rows is rewritten."""
SEARCH_WAIT_S = 2.0
"""So long a search that has to rebuild the index waits for a writer before it does without files."""
IN_MEMORY = "in memory only, since the gallery is encrypted"


@dataclass(frozen=True)
class FaceIndex:
    """Nearest faces by cosine. built: why a file was rebuilt for this opening, empty when all were taken as
    they are. erasures: how often somebody had been forgotten when its vectors were read. Use it no longer
    than the gallery it was opened from."""

    segments: tuple[Segment, ...]
    delta_ids: I64
    delta: F32
    built: str
    erasures: int
    reread: Reread = field(repr=False)

    def __len__(self) -> int:
        return sum(map(len, self.segments)) + len(self.delta_ids)

    def of(self, gallery: Store) -> FaceIndex:
        """The same for another connection to the gallery."""
        return replace(self, reread=gallery.faces.vectors_at)

    def may_miss(self) -> str:
        """Nothing: whatever is enrolled is searched as its kind of index does."""
        return ""

    def search(self, queries: F32, k: int, among: I64 | None = None) -> tuple[I64, F32]:
        """queries (q, d) float32 unit rows, k >= 1 -> face ids (q, k) int64, cosines (q, k) float32, best
        first.

        among: only faces with these ids (m,), rising; all of them are compared. Where fewer than k faces are
        enrolled, rows end in id -1 and score -inf. Equal scores: the lower id first. Scores are exact
        whatever found the faces.
        """
        if not np.isfinite(queries).all():
            raise ValueError("a query vector holds a number that is not finite")
        found = [
            segment.search(queries, k, self.reread)
            if among is None
            else segment.among(queries, among, k, self.reread)
            for segment in self.segments
        ]
        beside = np.ones(len(self.delta_ids), bool) if among is None else np.isin(self.delta_ids, among)
        scores = np.hstack([*(scores for _, scores in found), queries @ self.delta[beside].T])
        ids = np.hstack(
            [
                *(ids for ids, _ in found),
                np.broadcast_to(self.delta_ids[beside], (len(queries), int(beside.sum()))),
            ]
        )
        order = np.lexsort((ids, -scores))[:, :k]
        ids, scores = np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)
        lacking = k - ids.shape[1]
        if lacking > 0:
            ids = np.pad(ids, ((0, 0), (0, lacking)), constant_values=-1)
            scores = np.pad(scores, ((0, 0), (0, lacking)), constant_values=-np.inf)
        return ids, np.clip(scores, -1, 1, where=np.isfinite(scores), out=scores.astype(np.float32))


def open_index(gallery: Store) -> FaceIndex:
    """Map the index's files, or write first what is missing, damaged, or too far behind.

    In a read-only folder, and of an encrypted gallery, that is done in memory only. Raises EmptyGallery,
    CorruptGallery.
    """
    if gallery.faces.is_empty():
        raise EmptyGallery(gallery.folder)
    drop_unfinished(gallery.folder)
    erasures = gallery.notes.erasures
    held = load(gallery)
    current = not held.wrong and held.segments and held.erasures == erasures
    if current and gallery.faces.count_after(held.last_id) <= DELTA_LIMIT:
        ids, vectors, _ = gallery.faces.vectors(after=held.last_id)
        return FaceIndex(held.segments, ids, vectors, "", erasures, gallery.faces.vectors_at)
    with gallery.database.waiting(SEARCH_WAIT_S):
        return _bring_up_to_date(gallery, "", must_keep=False)[0]


def refresh(gallery: Store, reason: str) -> FaceIndex:
    """Rebuild the whole index from the store and delete what it replaces; files of vectors that are gone
    never stay.

    Of an encrypted gallery nothing is written: what was there before it was encrypted goes.
    """
    return _bring_up_to_date(gallery, reason)[0]


def rebuild_files(gallery: Store, reason: str) -> None:
    """The same for files alone: of an encrypted gallery they go, and nothing is decrypted to be searched."""
    if gallery.encrypted:
        drop_files(gallery.folder)
    else:
        refresh(gallery, reason)


def update(gallery: Store) -> None:
    """Take into the files whatever was enrolled or forgotten since; what is in them already is not written
    again without need.
    """
    _bring_up_to_date(gallery, "", delta=0)


def erase_from_index(gallery: Store) -> tuple[bytes, ...]:
    """Overwrite the rows and codes of everybody who is not in the store any more. Returns the codes that were
    erased.

    Of an encrypted gallery, which keeps no files, nothing is decrypted for it.
    """
    if gallery.encrypted:
        drop_files(gallery.folder)
        return ()
    return _bring_up_to_date(gallery, "")[1]


def is_current(gallery: Store) -> tuple[bool, str]:
    """Whether the files on disk show all of the store, and what state they are in. An encrypted gallery has
    none.
    """
    if gallery.encrypted:
        left = any(gallery.folder.glob("vectors-*"))
        return (
            not left,
            "a file of plain vectors lies there, though the gallery is encrypted" if left else IN_MEMORY,
        )
    held = load(gallery)
    if held.wrong:
        return False, held.wrong
    behind = gallery.faces.count_after(held.last_id)
    gone = sum(map(len, held.segments)) + behind - len(gallery)
    if not behind and not gone and held.erasures != gallery.notes.erasures:
        return False, "somebody was forgotten since the index file was written"
    return (
        not behind and not gone,
        f"{counted(behind, 'face')} newer, {gone} forgotten" if behind or gone else "current",
    )


def wrong_with_index(gallery: Store) -> str:
    """Compare every row of the files with the store, and every code with its row; what is wrong with them,
    empty when nothing is.
    """
    for segment in load(gallery).segments:
        after = int(segment.ids[0]) - 1
        while len(alive := segment.ids[(segment.ids > after) & (segment.checksums != ERASED)][:AT_ONCE]):
            faces, vectors = gallery.faces.enrolled(after, len(alive))
            if [face.face_id for face in faces] != alive.tolist():
                return "its faces are not those of the gallery"
            places = np.searchsorted(segment.ids, alive)
            rows, codes = segment.rows[places], segment.finder.codes
            right = (vectors_of(rows) == vectors).all() and (
                row_checksums(rows, alive) == segment.checksums[places]
            ).all()
            if codes is not None:
                right = right and (encode(vectors, BITS[segment.finder.kind]) == codes[places]).all()
            if not right:
                return "the index file was damaged"
            after = int(alive[-1])
    return ""


def count_faces(gallery: Store) -> int:
    """How many faces are enrolled: by the index's own word where nobody was forgotten since it was written,
    else by counting them.
    """
    try:
        manifest = {} if gallery.encrypted else read_manifest(gallery)
        if (
            manifest.get("encoder_id") == gallery.encoder_id
            and manifest.get("erasures") == gallery.notes.erasures
            and is_of(manifest, gallery)
        ):
            return int(manifest["faces"]) + gallery.faces.count_after(int(manifest["last_face_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return len(gallery)


# ---- inside


def _bring_up_to_date(
    gallery: Store, whole: str, delta: int = DELTA_LIMIT, *, must_keep: bool = True
) -> tuple[FaceIndex, tuple[bytes, ...]]:
    """What _brought_up_to_date does; when another process encrypts the gallery meanwhile, no file of plain
    vectors stays.

    Raises GalleryChanged then.
    """
    try:
        return _brought_up_to_date(gallery, whole, delta, must_keep=must_keep)
    except (FacesearchError, OSError) as error:
        if not gallery.notes.was_encrypted():
            raise
        drop_files(gallery.folder)
        raise GalleryChanged(gallery.folder) from error


def _brought_up_to_date(
    gallery: Store, whole: str, delta: int, *, must_keep: bool
) -> tuple[FaceIndex, tuple[bytes, ...]]:
    """Make of the index what the store says, all of it again when `whole` gives a reason; up to `delta` faces
    may stay beside it.

    Also returns the codes that were erased. must_keep: a process that only searches does not wait for a
    writer to note the mark of the index, and does without its files this once.

    When another process forgets somebody between our reading and our writing, that is erased too before this
    returns.
    """
    codes: tuple[bytes, ...] = ()
    why = whole
    if gallery.encrypted:
        drop_files(gallery.folder)
    with locked(gallery):
        held = Held((), -1, whole) if whole else load(gallery)
        segments = held.segments
        while True:
            erasures = gallery.notes.erasures
            gone: tuple[bytes, ...] = ()
            if segments and held.erasures != erasures:
                why = why or "somebody was forgotten since the index file was written"
                segments, gone = _without_the_forgotten(gallery, segments)
            segments, grown = _grown(gallery, segments, delta)
            why = why or held.wrong or grown
            if keeps_files(gallery):
                with suppress(*() if must_keep else (GalleryBusy,)):
                    write_manifest(gallery, segments, erasures)
            codes += gone
            held = Held(segments, erasures)
            if gallery.notes.erasures == erasures:
                break
    ids, vectors, _ = gallery.faces.vectors(after=held.last_id)
    return FaceIndex(
        segments, ids, vectors, "" if gallery.encrypted else why, erasures, gallery.faces.vectors_at
    ), codes


def _without_the_forgotten(
    gallery: Store, segments: tuple[Segment, ...]
) -> tuple[tuple[Segment, ...], tuple[bytes, ...]]:
    """The segments without rows of people who were forgotten. One that has lost many is rebuilt."""
    enrolled = gallery.faces.ids()
    left: list[Segment] = []
    codes: list[bytes] = []
    after = 0
    for segment in segments:
        missing = ~np.isin(segment.ids, enrolled, assume_unique=True) & (segment.checksums != 0)
        places = np.flatnonzero(missing)
        kept: Segment | None = segment
        if len(places):
            if len(places) + len(segment.erased) > ERASED_LIMIT * len(segment.ids):
                kept = build(gallery, after, segment.last_id, chosen_index(gallery))
            else:
                kept, gone = erase(gallery, segment, places)
                codes += gone
        if kept is not None:
            left.append(kept)
        after = segment.last_id
    return tuple(left), tuple(codes)


def _grown(gallery: Store, segments: tuple[Segment, ...], delta: int) -> tuple[tuple[Segment, ...], str]:
    """The segments with one more of what was enrolled since, when that is much; and why."""
    last = segments[-1].last_id if segments else 0
    fresh = gallery.faces.count_after(last)
    if not fresh or (segments and fresh <= delta):
        return segments, ""
    why = f"{counted(fresh, 'face was', 'faces were')} enrolled since it was written"
    kept = list(segments)
    while kept and len(kept[-1]) < GROWTH * fresh:
        fresh += len(kept.pop())
    until = int(gallery.faces.last_id())
    new = build(gallery, kept[-1].last_id if kept else 0, until, chosen_index(gallery))
    return (*kept, *([new] if new else [])), why
