"""Embed every photo of prepared datasets into a gallery. A re-run skips what is known; an interrupted one goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facesearch.errors import NothingToDo
from facesearch.faces.table import Dataset
from facesearch.gallery.calibration import DEFAULT_FPIR, from_impostors, is_stale, within_gallery
from facesearch.gallery.faiss_index import count_faces, refresh, update
from facesearch.gallery.index_choice import choose_index, chosen_index
from facesearch.gallery.rows import NewFace, Threshold
from facesearch.gallery.store import Gallery
from facesearch.model.runtime import Runtime
from facesearch.records import Progress

COMMIT = 256
"""Photos embedded between two commits: what a kill can cost."""


@dataclass(frozen=True, slots=True)
class Built:
    gallery: Path
    added: int
    known: int
    nobody: int
    faces: int
    people: int
    img_per_s: float
    threshold: Threshold | None


def build_index(
    datasets: Sequence[Dataset], folder: Path, runtime: Runtime, *, splits: tuple[str, ...], fpir: float | None, progress: Progress,
    index: str | None = None,
) -> Built:  # fmt: skip
    """Enroll the photos of `splits` (all when empty) that name a person. index: the choice of an index from now on.

    Raises EncoderMismatch, NothingToDo, CannotWrite, CorruptGallery, BadIndex. Each commit stands on its own.
    """
    rows = [(d, i) for d in datasets for i, row in enumerate(d.rows) if not splits or row.split in splits]
    named = [(d, i) for d, i in rows if d.rows[i].person]
    if not named:
        where = ", ".join(str(dataset.folder) for dataset in datasets)
        raise NothingToDo(where, f"no photo of a named person in the splits {', '.join(splits) or 'there'}")
    with Gallery.create(folder, runtime.encoder_id, runtime.dimension, runtime.words) as gallery:
        gallery.require_encoder(runtime.encoder_id)
        before = chosen_index(gallery)
        if index is not None:
            choose_index(gallery, index)
        enrolled = gallery.known_photos()
        todo = [(d, i) for d, i in named if (d.rows[i].person, d.rows[i].sha256, d.rows[i].file) not in enrolled]
        known, nobody = len(named) - len(todo), len(rows) - len(named)
        started, done = time.monotonic(), 0
        progress(0, len(todo))
        for start in range(0, len(todo), COMMIT):
            part = todo[start : start + COMMIT]
            vectors = runtime.embed(np.stack([dataset.crops[number] for dataset, number in part]))
            photos = [dataset.rows[number] for dataset, number in part]
            gallery.add([NewFace(r.person, r.sha256, r.file, v) for r, v in zip(photos, vectors, strict=True)])
            done += len(part)
            progress(done, len(todo))
        seconds = time.monotonic() - started
        if chosen_index(gallery) != before:
            refresh(gallery, "another index was chosen")
        tidy(gallery, runtime.notes, fpir, rewrite=bool(todo))
        people, faces = len(gallery.people()), len(gallery)
        return Built(folder, len(todo), known, nobody, faces, people, done / seconds if done else 0.0, gallery.threshold())


def tidy(gallery: Gallery, notes: dict[str, object], fpir: float | None, *, rewrite: bool = False) -> None:
    """After changes: set the threshold anew when the size has changed; with rewrite, the index too when it has fallen behind.

    Without rewrite the index file is not even looked at, so that enrolling one face does not cost reading all of them.
    fpir None keeps the rate that the gallery's threshold was set for.
    """
    if gallery.is_empty():
        refresh(gallery, "the gallery is empty")
        return
    if rewrite:
        update(gallery)
    threshold = gallery.threshold()
    rate = fpir or (threshold.fpir if threshold else DEFAULT_FPIR)
    if threshold is not None and threshold.on_strangers:
        return  # better than anything that can be had here; whoever asks is told when it has become stale
    if is_stale(threshold, count_faces(gallery)) or (threshold is not None and threshold.fpir != rate):
        fresh = calibrated(gallery, notes, rate)
        if fresh is not None:
            gallery.set_threshold(fresh)


def calibrated(gallery: Gallery, notes: dict[str, object], fpir: float) -> Threshold | None:
    """The best threshold that can be had without strangers' photos; None when there is nothing to take it from."""
    _, vectors, people = gallery.vectors()
    within = within_gallery(vectors, np.array(people), fpir)
    if within is not None:
        return within
    table = notes.get("impostors")
    return from_impostors(table, len(vectors), fpir) if isinstance(table, list) else None
