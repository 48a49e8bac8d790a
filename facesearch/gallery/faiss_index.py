"""The FAISS index: a disposable picture of the store, memory-mapped, made anew when it is missing or has fallen behind.

`vectors-<generation>-<random>.faiss` holds every face with an id up to `last_face_id`; `vectors.json` names the current
file and its hash, and is replaced last. Faces enrolled since are read from the store and searched beside it; faces
forgotten since are unknown to the store and dropped from answers, until the next refresh.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from facesearch.errors import CannotWrite, CorruptGallery, EmptyGallery, writing
from facesearch.files import replace_file, replace_json, unfinished_files
from facesearch.gallery.nearest import Nearest
from facesearch.gallery.store import Gallery
from facesearch.records import F32, I64, EnrolledFace, Match, Support

MANIFEST = "vectors.json"
DELTA_LIMIT = 2000
"""So many faces enrolled since are searched beside the file before it is written anew (a scan of under a millisecond)."""
SUPPORTING = 3


@dataclass(frozen=True)
class FaceIndex:
    """Nearest faces by cosine. built: why the file was made anew for this opening, empty when it was taken as it is.
    erasures: how often somebody had been forgotten when its vectors were read."""

    base: faiss.Index | None
    delta_ids: I64
    delta: F32
    built: str
    erasures: int

    def __len__(self) -> int:
        return (self.base.ntotal if self.base is not None else 0) + len(self.delta_ids)

    def search(self, queries: F32, k: int) -> tuple[I64, F32]:
        """queries (q, d) float32 unit rows, k >= 1 -> face ids (q, k) int64, cosines (q, k) float32, best first.

        Where fewer than k faces are enrolled, rows end in id -1 and score -inf. Equal scores: the lower id first.
        """
        if not np.isfinite(queries).all():
            raise ValueError("a query vector holds a number that is not finite")
        ids, scores = np.full((len(queries), 0), -1, np.int64), np.zeros((len(queries), 0), np.float32)
        if self.base is not None and self.base.ntotal:
            scores, ids = self.base.search(np.ascontiguousarray(queries), min(k, self.base.ntotal))
        if len(self.delta_ids):
            beside = queries @ self.delta.T
            ids = np.hstack([ids, np.broadcast_to(self.delta_ids, beside.shape)])
            scores = np.hstack([scores, beside])
        order = np.lexsort((ids, -scores))[:, :k]
        ids, scores = np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)
        lacking = k - ids.shape[1]
        if lacking > 0:
            ids = np.pad(ids, ((0, 0), (0, lacking)), constant_values=-1)
            scores = np.pad(scores, ((0, 0), (0, lacking)), constant_values=-np.inf)
        return ids, np.clip(scores, -1, 1, where=np.isfinite(scores), out=scores.astype(np.float32))


def open_index(gallery: Gallery) -> FaceIndex:
    """Map the index file of a gallery, or write it first when it is missing, damaged, or too far behind.

    In a read-only folder the index is made in memory. Raises EmptyGallery, CorruptGallery.
    """
    if not len(gallery):
        raise EmptyGallery(gallery.folder)
    drop_unfinished(gallery)
    erasures = gallery.erasures
    base, last_id, reason = _mapped(gallery)
    if base is not None:
        ids, vectors, _ = gallery.vectors(after=last_id)
        if len(ids) <= DELTA_LIMIT:
            return FaceIndex(base, ids, vectors, "", erasures)
        reason = f"{len(ids)} faces were enrolled since it was written"
    return refresh(gallery, reason)


def refresh(gallery: Gallery, reason: str) -> FaceIndex:
    """Make the index anew from the store and delete what it replaces; files of vectors that are gone never stay.

    When another process forgets somebody between our reading and our writing, all is done again.
    """
    while True:
        erasures = gallery.erasures
        ids, vectors, _ = gallery.vectors()
        index = _flat(gallery.dimension)
        if len(ids):
            index.add_with_ids(vectors, ids)
        try:
            _write(gallery, index, int(ids[-1]) if len(ids) else 0, erasures)
        except CannotWrite:
            if os.access(gallery.folder, os.W_OK):
                raise
            break
        if gallery.erasures == erasures:
            break
    no_ids, none = np.zeros(0, np.int64), np.zeros((0, gallery.dimension), np.float32)
    return FaceIndex(index, no_ids, none, reason, erasures)


def drop_unfinished(gallery: Gallery) -> None:
    """Remove what killed writers left half-written: it may hold somebody who has been forgotten since."""
    if os.access(gallery.folder, os.W_OK):
        for torn in unfinished_files(gallery.folder):
            torn.unlink(missing_ok=True)


def is_current(gallery: Gallery) -> tuple[bool, str]:
    """Whether the file on disk shows all of the store, and if not, why."""
    base, last_id, reason = _mapped(gallery)
    if base is None:
        return False, reason
    behind = len(gallery.vectors(after=last_id)[0])
    gone = base.ntotal + behind - len(gallery)
    return not behind and not gone, f"{behind} faces newer, {gone} forgotten" if behind or gone else "current"


def nearest_people(gallery: Gallery, index: Nearest, vector: F32, top: int) -> tuple[Match, ...]:
    """The `top` people nearest to one unit vector (d,), best first. A person's score is the best over their photos.

    Raises CorruptGallery when a face of the index has no row, though nobody was forgotten since.
    """
    k = min(len(index), max(50, 10 * top))
    while True:
        ids, scores = index.search(vector[None, :], k)
        rows = gallery.faces(int(i) for i in ids[0] if i >= 0)
        lost = next((int(i) for i in ids[0] if i >= 0 and int(i) not in rows), None)
        if lost is not None and gallery.erasures == index.erasures:
            raise CorruptGallery(gallery.folder, f"the row of face {lost} is gone, though nobody was forgotten")
        by_person: dict[str, list[tuple[EnrolledFace, float]]] = {}
        for face_id, score in zip(ids[0].tolist(), scores[0].tolist(), strict=True):
            if face_id in rows:
                by_person.setdefault(rows[face_id].person, []).append((rows[face_id], score))
        if len(by_person) >= top or k >= len(index):
            break
        k = min(len(index), 4 * k)
    chosen = list(by_person.items())[:top]
    counts = gallery.photo_counts(name for name, _ in chosen)
    return tuple(
        Match(name, found[0][1], counts[name], tuple(Support(face.source, score) for face, score in found[:SUPPORTING]))
        for name, found in chosen
    )


def _flat(dimension: int) -> faiss.Index:
    """An exact scan over float16 rows, the precision of the store: inner products of unit vectors are cosines."""
    scalar = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    return faiss.IndexIDMap2(scalar)


def _mapped(gallery: Gallery) -> tuple[faiss.Index | None, int, str]:
    """The index that vectors.json names, its highest face id, and what is wrong when there is none to take."""
    manifest = gallery.folder / MANIFEST
    try:
        entry = json.loads(manifest.read_bytes())
        path = gallery.folder / Path(entry["file"]).name
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                return None, 0, "the index file was damaged"
        if entry["encoder_id"] != gallery.encoder_id:
            return None, 0, "the index file is of another encoder"
        if entry.get("erasures", 0) != gallery.erasures:  # its writer was killed before it could look again
            return None, 0, "somebody was forgotten since the index file was written"
        last_id = int(entry["last_face_id"])
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except FileNotFoundError:
        return None, 0, "there was no index file yet"
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        return None, 0, f"the index file could not be read ({type(error).__name__})"
    if index.d != gallery.dimension:
        return None, 0, "the index file has another dimension"
    return index, last_id, ""


def _write(gallery: Gallery, index: faiss.Index, last_id: int, erasures: int) -> None:
    drop_unfinished(gallery)
    data = faiss.serialize_index(index).tobytes()
    name = f"vectors-{gallery.generation}-{secrets.token_hex(4)}.faiss"
    path = gallery.folder / name
    replace_file(path, data)
    entry = {"file": name, "sha256": hashlib.sha256(data).hexdigest(), "faces": index.ntotal,
             "last_face_id": last_id, "encoder_id": gallery.encoder_id, "erasures": erasures}  # fmt: skip
    replace_json(gallery.folder / MANIFEST, entry)
    with writing(gallery.folder):
        for old in gallery.folder.glob("vectors-*.faiss"):
            if old.name != name:
                old.unlink(missing_ok=True)
