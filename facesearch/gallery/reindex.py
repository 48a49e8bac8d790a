"""Embed a gallery's photos again with another encoder. The old vectors serve until all new ones are there,
then all change at once.

The gallery holds no photo, so the photos must be given again; they are recognised by their content hash,
wherever they lie now and whatever they are called. The new vectors are collected in a gallery of their own
below the first one's folder: a killed run goes on there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facesearch.datasets.table import Dataset
from facesearch.encoder.runtime import Runtime
from facesearch.encoder.stream import Cropped, embedded, one_face
from facesearch.errors import KeyMissing, PhotosMissing, WrongKey, writing
from facesearch.faces.detect import Detector
from facesearch.gallery.by_content import found_by_content
from facesearch.gallery.index.faiss_index import refresh
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rewriting import take_vectors_of
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import NEXT, Store
from facesearch.gallery.tidy import tidy
from facesearch.records import U8, Progress, Seen, Skipped

COMMIT = 256

Wanted = dict[str, list[tuple[str, str]]]
"""Content hash -> (person, source) of the faces enrolled from that photo."""


@dataclass(frozen=True, slots=True)
class Crop:
    """pixels (112, 112, 3) of the photo with this content; found_by: what found the face; seen: what is known
    of it.
    """

    sha256: str
    pixels: U8
    found_by: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class Reindexed:
    """embedded: in this run; known: by an earlier, interrupted one; dropped: photos that were let go;
    skipped: unusable files.
    """

    embedded: int
    known: int
    dropped: int
    faces: int
    already: bool
    skipped: tuple[Skipped, ...]


def reindex(
    folder: Path,
    runtime: Runtime,
    datasets: Sequence[Dataset],
    roots: Sequence[Path],
    detector: Detector | None,
    *,
    drop_missing: bool,
    progress: Progress,
    key: Key | None = None,
    encoder_file: str = "",
) -> Reindexed:
    """Embed every enrolled photo that lies in datasets or below roots, and change the gallery over once none
    is missing.

    Raises NoGallery, CannotWrite; PhotosMissing with what is missing, and then the work done is kept.
    """
    with Store.open(folder, key) as gallery:
        if gallery.encoder_id == runtime.encoder_id:
            return Reindexed(0, 0, 0, len(gallery), True, ())
        staging = folder / NEXT
        _drop_another_encoders(staging, gallery, runtime)
        with Store.create(
            staging,
            runtime.encoder_id,
            runtime.dimension,
            runtime.words,
            like=gallery,
            encoder_file=encoder_file,
        ) as fresh:
            wanted, there = gallery.faces.known_photos(), fresh.faces.known_photos()
            todo: Wanted = {}
            for person, sha256, source in sorted(wanted - there):
                todo.setdefault(sha256, []).append((person, source))
            known = len(wanted & there)
            skipped, embedded = _collect(
                todo, fresh, runtime, _crops(todo, datasets, roots, detector), known, len(wanted), progress
            )
            missing = sorted(wanted - fresh.faces.known_photos())
            if missing and (not drop_missing or len(missing) == len(wanted)):
                raise PhotosMissing(folder, tuple(f"{person}: {source}" for person, _, source in missing))
            faces = take_vectors_of(gallery, fresh)
        refresh(gallery, "another encoder")
        tidy(gallery, runtime.notes, None)
        with writing(staging):
            shutil.rmtree(staging)
        gallery.eraser.cut_log()
        return Reindexed(embedded, known, len(missing), faces, False, tuple(skipped))


def _drop_another_encoders(staging: Path, gallery: Store, runtime: Runtime) -> None:
    """Remove what a run with yet another encoder, or under another key, began and never ended."""
    if not (staging / FILE).is_file():
        return
    try:
        with Store.open(staging, gallery.key, either=True) as begun:
            others = (
                begun.encoder_id != runtime.encoder_id
                or begun.cipher.description != gallery.cipher.description
            )
    except (KeyMissing, WrongKey):
        others = True
    if others:
        with writing(staging):
            shutil.rmtree(staging)


def _collect(
    todo: Wanted,
    fresh: Store,
    runtime: Runtime,
    crops: Iterator[Crop | Skipped],
    known: int,
    total: int,
    progress: Progress,
) -> tuple[list[Skipped], int]:
    """Embed crops into the fresh gallery, COMMIT at a time. Returns what was skipped, and how many faces were
    added.
    """
    skipped: list[Skipped] = []
    done = 0

    def usable() -> Iterator[tuple[Crop, list[U8]]]:
        for item in crops:
            if isinstance(item, Skipped):
                skipped.append(item)
            else:
                yield item, [item.pixels]

    progress(known, total)
    new: list[NewFace] = []
    for crop, vectors, lengths in embedded(usable(), runtime):
        seen = replace(crop.seen, length=float(lengths[0]))
        new += [
            NewFace(person, crop.sha256, source, vectors[0], crop.found_by, seen)
            for person, source in todo[crop.sha256]
        ]
        if len(new) >= COMMIT:
            done += fresh.faces.add(new)
            new = []
            progress(known + done, total)
    done += fresh.faces.add(new)
    progress(known + done, total)
    return skipped, done


def _crops(
    todo: Wanted, datasets: Sequence[Dataset], roots: Sequence[Path], detector: Detector | None
) -> Iterator[Crop | Skipped]:
    """A crop of every wanted photo, once each, from prepared datasets first: they need no detection."""
    given: set[str] = set()
    for dataset in datasets:
        for row, sha256 in enumerate(dataset.sha256):
            if sha256 in todo and sha256 not in given:
                given.add(str(sha256))
                pixels, known = dataset.crops[row], dataset.rows[row]
                yield Crop(str(sha256), pixels, known.found_by, known.seen(pixels))

    def largest(path: Path, own: Detector | None) -> Cropped | Skipped:
        return one_face(path, own, largest=True)

    for sha256, face in found_by_content(roots, todo, given, largest, detector):
        if isinstance(face, Skipped):
            yield face
        else:
            given.add(sha256)
            yield Crop(sha256, face.crop, face.found_by, face.seen())
