"""The index: a disposable picture of the store, memory-mapped, rebuilt when it is missing or damaged.

It is kept in segments, each of a range of face ids. Faces enrolled since are read from the store and searched
beside them; when they are many they become a segment, which swallows those before it that are not several
times its size, so that every face is rewritten only so often. Faces forgotten since are unknown to the
store and dropped from answers, and their rows are overwritten in place by the next writer, at the latest
by the erasure itself.

A gallery whose people are scored by their templates has an index of these too. A template that was replaced
since is like a face that was forgotten. Up to DELTA_LIMIT templates are read from the store alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import faiss
import numpy as np

from facesearch.errors import EmptyGallery, FacesearchError, GalleryBusy, GalleryChanged, counted
from facesearch.gallery.index.bit_codes import encode
from facesearch.gallery.index.checksums import ERASED, row_checksums
from facesearch.gallery.index.choice import chosen_index
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
from facesearch.gallery.index.indexed import STEMS, Indexed, Of, every_index
from facesearch.gallery.index.kinds import BITS
from facesearch.gallery.index.rows import AT_ONCE, vectors_of
from facesearch.gallery.index.segments import Reread, Segment, threads_for
from facesearch.gallery.store.store import Store
from facesearch.records import F32, I64, ScoredBy

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
    """Nearest photos, or people's templates, by cosine. built: why a file was rebuilt for this opening, empty
    when all were taken as they are. erasures: how often somebody had been forgotten when its vectors were
    read. faces: so many photos are searched in, themselves or by templates. Use it no longer than the gallery
    it was opened from."""

    segments: tuple[Segment, ...]
    delta_ids: I64
    delta: F32
    built: str
    erasures: int
    reread: Reread = field(repr=False)
    finds: Of
    faces: int

    def __len__(self) -> int:
        return sum(map(len, self.segments)) + len(self.delta_ids)

    @property
    def last_id(self) -> int:
        """All rows with an id up to this one are in it."""
        if len(self.delta_ids):
            return int(self.delta_ids[-1])
        return self.segments[-1].last_id if self.segments else 0

    def of(self, gallery: Store) -> FaceIndex:
        """The same for another connection to the gallery."""
        return replace(self, reread=Indexed(gallery, self.finds).rows.vectors_at)

    def may_miss(self) -> str:
        """Nothing: whatever is enrolled is searched as its kind of index does."""
        return ""

    def search(self, queries: F32, k: int, among: I64 | None = None) -> tuple[I64, F32]:
        """queries (q, d) float32 unit rows, k >= 1 -> ids (q, k) int64 of faces or templates, cosines (q, k)
        float32, best first.

        among: only rows with these ids (m,), rising; all of them are compared. Where fewer than k are
        there, rows end in id -1 and score -inf. Equal scores: the lower id first. Scores are exact
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
        found.append(self._beside(queries, k, among))
        ids, scores = np.hstack([own for own, _ in found]), np.hstack([own for _, own in found])
        order = np.lexsort((ids, -scores))[:, :k]
        ids, scores = np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)
        lacking = k - ids.shape[1]
        if lacking > 0:
            ids = np.pad(ids, ((0, 0), (0, lacking)), constant_values=-1)
            scores = np.pad(scores, ((0, 0), (0, lacking)), constant_values=-np.inf)
        return ids, np.clip(scores, -1, 1, where=np.isfinite(scores), out=scores.astype(np.float32))

    def _beside(self, queries: F32, k: int, among: I64 | None) -> tuple[I64, F32]:
        """The same of the rows that are in no segment; up to k each."""
        if among is None and len(self.delta_ids):
            with threads_for(queries):
                scores, places = self.scan.search(np.ascontiguousarray(queries), min(k, len(self.delta_ids)))
            return self.delta_ids[places], scores
        chosen = np.isin(self.delta_ids, [] if among is None else among)
        ids = np.broadcast_to(self.delta_ids[chosen], (len(queries), int(chosen.sum())))
        return ids, queries @ self.delta[chosen].T

    @cached_property
    def scan(self) -> Any:
        """Compares with all rows that are in no segment."""
        index = faiss.IndexFlatIP(self.delta.shape[1])
        index.add(np.ascontiguousarray(self.delta))
        return index


def open_index(gallery: Store, of: Of = "photos") -> FaceIndex:
    """Map the index's files, or write first what is missing, damaged, or too far behind.

    In a read-only folder, and of an encrypted gallery, that is done in memory only. Raises EmptyGallery,
    CorruptGallery.
    """
    if gallery.faces.is_empty():
        raise EmptyGallery(gallery.folder)
    indexed = Indexed(gallery, of)
    drop_unfinished(gallery.folder)
    erasures = gallery.notes.erasures
    held = load(indexed)
    current = not held.wrong and held.segments and held.erasures == erasures
    if current and indexed.rows.count_after(held.last_id) <= DELTA_LIMIT:
        return _opened(indexed, held.segments, "", erasures)
    with gallery.database.waiting(SEARCH_WAIT_S):
        return _bring_up_to_date(indexed, "", must_keep=False)[0]


def open_for(gallery: Store, by: ScoredBy) -> FaceIndex:
    """The index that answers in this way: of templates, where the gallery keeps them, or of photos. Raises
    what open_index raises.
    """
    of: Of = "templates" if by == "mean-template" and gallery.templates.are_kept() else "photos"
    return open_index(gallery, of)


def refresh(gallery: Store, reason: str) -> FaceIndex:
    """Rebuild the whole index from the store and delete what it replaces; files of vectors that are gone
    never stay.

    Of an encrypted gallery nothing is written: what was there before it was encrypted goes.
    """
    photos, *_ = [_bring_up_to_date(indexed, reason)[0] for indexed in _kept(gallery)]
    return photos


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
    for indexed in _kept(gallery):
        _bring_up_to_date(indexed, "", delta=0 if indexed.of == "photos" else DELTA_LIMIT)


def erase_from_index(gallery: Store) -> tuple[bytes, ...]:
    """Overwrite the rows and codes of everybody who is not in the store any more. Returns the codes that were
    erased.

    Of an encrypted gallery, which keeps no files, nothing is decrypted for it.
    """
    if gallery.encrypted:
        drop_files(gallery.folder)
        return ()
    return tuple(code for indexed in _kept(gallery) for code in _bring_up_to_date(indexed, "")[1])


def is_current(gallery: Store) -> tuple[bool, str]:
    """Whether the files on disk show all of the store, and what state they are in. An encrypted gallery has
    none.
    """
    if gallery.encrypted:
        left = any(any(gallery.folder.glob(f"{stem}-*")) for stem in STEMS.values())
        return (
            not left,
            "a file of plain vectors lies there, though the gallery is encrypted" if left else IN_MEMORY,
        )
    held = load(Indexed(gallery))
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
    return next(filter(None, map(_wrong_with, every_index(gallery))), "")


def _wrong_with(indexed: Indexed) -> str:
    held = load(indexed)
    if indexed.manifest.is_file() and held.wrong:
        return held.wrong
    for segment in held.segments:
        after = int(segment.ids[0]) - 1
        while len(alive := segment.ids[(segment.ids > after) & (segment.checksums != ERASED)][:AT_ONCE]):
            found = indexed.rows.vectors_at(alive.tolist())
            if len(found) < len(alive) and indexed.of == "photos":
                return "its faces are not those of the gallery"
            there = np.array(sorted(found), np.int64)  # a template that was replaced since may stay
            places = np.searchsorted(segment.ids, there)
            rows, codes = segment.rows[places], segment.finder.codes
            vectors = np.array([found[i] for i in there.tolist()], np.float32).reshape(-1, segment.dimension)
            right = (vectors_of(rows) == vectors).all() and (
                row_checksums(rows, there) == segment.checksums[places]
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
        indexed = Indexed(gallery)
        manifest = {} if gallery.encrypted else read_manifest(indexed)
        if (
            manifest.get("encoder_id") == gallery.encoder_id
            and manifest.get("erasures") == gallery.notes.erasures
            and is_of(manifest, indexed)
        ):
            return int(manifest["faces"]) + gallery.faces.count_after(int(manifest["last_face_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return len(gallery)


# ---- inside


def _opened(indexed: Indexed, segments: tuple[Segment, ...], built: str, erasures: int) -> FaceIndex:
    """These segments, and what came after them."""
    ids, vectors, _ = indexed.rows.vectors(segments[-1].last_id if segments else 0)
    found = FaceIndex(segments, ids, vectors, built, erasures, indexed.rows.vectors_at, indexed.of, 0)
    return replace(found, faces=len(found) if indexed.of == "photos" else count_faces(indexed.gallery))


def _kept(gallery: Store) -> Iterator[Indexed]:
    """The indexes that the gallery's answers need; the files of others are removed."""
    photos, *others = every_index(gallery)
    yield photos
    for indexed in others:
        if gallery.notes.scored_by == "mean-template":
            yield indexed
        elif indexed.manifest.exists() and keeps_files(gallery):
            drop_files(gallery.folder, (indexed.stem,))


def _bring_up_to_date(
    indexed: Indexed, whole: str, delta: int = DELTA_LIMIT, *, must_keep: bool = True
) -> tuple[FaceIndex, tuple[bytes, ...]]:
    """What _brought_up_to_date does; when another process encrypts the gallery meanwhile, no file of plain
    vectors stays.

    Raises GalleryChanged then.
    """
    try:
        return _brought_up_to_date(indexed, whole, delta, must_keep=must_keep)
    except (FacesearchError, OSError) as error:
        if not indexed.gallery.notes.was_encrypted():
            raise
        drop_files(indexed.folder)
        raise GalleryChanged(indexed.folder) from error


def _brought_up_to_date(
    indexed: Indexed, whole: str, delta: int, *, must_keep: bool
) -> tuple[FaceIndex, tuple[bytes, ...]]:
    """Make of the index what the store says, all of it again when `whole` gives a reason; up to `delta` rows
    may stay beside it.

    Also returns the codes that were erased. must_keep: a process that only searches does not wait for a
    writer to note the mark of the index, and does without its files this once.

    When another process forgets somebody between our reading and our writing, that is erased too before this
    returns.
    """
    gallery = indexed.gallery
    codes: tuple[bytes, ...] = ()
    why = whole
    if gallery.encrypted:
        drop_files(gallery.folder)
    with locked(gallery):
        held = Held((), -1, whole) if whole else load(indexed)
        segments = held.segments
        while True:
            erasures = gallery.notes.erasures
            gone: tuple[bytes, ...] = ()
            forgotten = held.erasures != erasures
            if segments and (forgotten or indexed.of == "templates"):
                segments, gone = _without_the_gone(indexed, segments)
                if forgotten:
                    why = why or "somebody was forgotten since the index file was written"
            segments, grown = _grown(indexed, segments, delta)
            why = why or (held.wrong if segments else "") or grown
            if keeps_files(gallery):
                with suppress(*() if must_keep else (GalleryBusy,)):
                    _keep(indexed, segments, erasures)
            codes += gone
            held = Held(segments, erasures)
            if gallery.notes.erasures == erasures:
                break
    return _opened(indexed, segments, "" if gallery.encrypted else why, erasures), codes


def _keep(indexed: Indexed, segments: tuple[Segment, ...], erasures: int) -> None:
    """Name these segments as the index; few templates need none."""
    if segments or indexed.of == "photos":
        write_manifest(indexed, segments, erasures)
    elif indexed.manifest.exists():
        drop_files(indexed.folder, (indexed.stem,))


def _without_the_gone(
    indexed: Indexed, segments: tuple[Segment, ...]
) -> tuple[tuple[Segment, ...], tuple[bytes, ...]]:
    """The segments without rows that are not in the store any more. One that has lost many is rebuilt."""
    enrolled = indexed.rows.ids()
    left: list[Segment] = []
    codes: list[bytes] = []
    after = 0
    for segment in segments:
        missing = ~np.isin(segment.ids, enrolled, assume_unique=True) & (segment.checksums != 0)
        places = np.flatnonzero(missing)
        kept: Segment | None = segment
        if len(places):
            if len(places) + len(segment.erased) > ERASED_LIMIT * len(segment.ids):
                kept = build(indexed, after, segment.last_id, chosen_index(indexed.gallery))
            else:
                kept, gone = erase(indexed.gallery, segment, places)
                codes += gone
        if kept is not None:
            left.append(kept)
        after = segment.last_id
    return tuple(left), tuple(codes)


def _grown(indexed: Indexed, segments: tuple[Segment, ...], delta: int) -> tuple[tuple[Segment, ...], str]:
    """The segments with one more of what was enrolled since, when that is much; and why."""
    last = segments[-1].last_id if segments else 0
    fresh = indexed.rows.count_after(last)
    few = fresh <= delta and (segments or indexed.of == "templates")
    if not fresh or few:
        return segments, ""
    why = f"{counted(fresh, 'face was', 'faces were')} enrolled since it was written"
    kept = list(segments)
    while kept and len(kept[-1]) < GROWTH * fresh:
        fresh += len(kept.pop())
    until = indexed.rows.last_id()
    new = build(indexed, kept[-1].last_id if kept else 0, until, chosen_index(indexed.gallery))
    return (*kept, *([new] if new else [])), why
