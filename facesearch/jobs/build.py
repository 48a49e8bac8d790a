"""Embed every photo of prepared datasets into a gallery. A re-run skips what is known; an interrupted one goes on.

Where several processes share the work, a photo's content hash says whose it is, and the first process alone has the gallery
open: the others send it their vectors, a commit at a time. So there is one writer, and no second place where vectors lie.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from facesearch.errors import NothingToDo
from facesearch.faces.table import Dataset
from facesearch.gallery.calibration import DEFAULT_FPIR, from_impostors, is_stale, within_gallery
from facesearch.gallery.faiss_index import count_faces, refresh, update
from facesearch.gallery.index_choice import choose_index, chosen_index
from facesearch.gallery.keys import Key
from facesearch.gallery.rows import NewFace, Threshold
from facesearch.gallery.store import Gallery
from facesearch.jobs.stream import embedded
from facesearch.model.ranks import ALONE, Ranks
from facesearch.model.runtime import Runtime
from facesearch.records import Progress

COMMIT = 256
"""Photos that a process embeds between two commits: what a kill can cost."""


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
    datasets: Sequence[Dataset],
    folder: Path,
    runtime: Runtime,
    *,
    splits: tuple[str, ...],
    fpir: float | None,
    progress: Progress,
    ranks: Ranks = ALONE,
    index: str | None = None,
    key: Key | None = None,
    encoder_file: str = "",
) -> Built:
    """Enroll the photos of `splits` (all when empty) that name a person. All processes of a run call it and get the same result.
    index: the choice of an index from now on.

    Raises EncoderMismatch, NothingToDo, CannotWrite, CorruptGallery, BadIndex; PeerLost when another process is gone. Each commit stands on
    its own.
    """
    rows = [(d, i) for d in datasets for i, row in enumerate(d.rows) if not splits or row.split in splits]
    named = [(d, i) for d, i in rows if d.rows[i].person]
    if not named:
        where = ", ".join(str(dataset.folder) for dataset in datasets)
        raise NothingToDo(where, f"no photo of a named person in the splits {', '.join(splits) or 'there'}")
    made = (folder, runtime.encoder_id, runtime.dimension, runtime.words, key)
    opened = Gallery.create(*made, encoder_file=encoder_file) if ranks.is_first else nullcontext()
    again = f"torchrun --nproc-per-node {ranks.world} -m facesearch build-index ...   (the same command)"
    with opened as gallery, ranks.watched(f"All vectors that were committed are in {folder}", again):
        todo: list[int] = []
        before = ""
        if gallery is not None:
            gallery.require_encoder(runtime.encoder_id)
            before = chosen_index(gallery)
            if index is not None:
                choose_index(gallery, index)
            enrolled = gallery.known_photos()
            todo = [n for n, (d, i) in enumerate(named) if (d.rows[i].person, d.rows[i].sha256, d.rows[i].file) not in enrolled]
        todo = ranks.first_says(todo)
        started, done = time.monotonic(), 0
        progress(0, len(todo))
        shares = [[n for n in todo if _owner(named[n], ranks) == rank] for rank in range(ranks.world)]
        own = (named[n] for n in shares[ranks.rank])
        stream = (vectors for _, vectors in embedded(((None, [d.crops[i]]) for d, i in own), runtime))
        for start in range(0, max(map(len, shares)), COMMIT):
            parts = [share[start : start + COMMIT] for share in shares]
            mine = [np.empty((0, runtime.dimension), np.float32), *islice(stream, len(parts[ranks.rank]))]
            vectors = ranks.collect(np.concatenate(mine), [len(part) for part in parts])
            photos = [named[n][0].rows[named[n][1]] for part in parts for n in part]
            if gallery is not None and vectors is not None:
                gallery.add([NewFace(r.person, r.sha256, r.file, v, r.found_by) for r, v in zip(photos, vectors, strict=True)])
            done += len(photos)
            progress(done, len(todo))
        speed = done / (time.monotonic() - started) if done else 0.0
        result = None
        if gallery is not None:
            if chosen_index(gallery) != before:
                refresh(gallery, "another index was chosen")
            tidy(gallery, runtime.notes, fpir, rewrite=bool(todo))
            known, nobody, people = len(named) - len(todo), len(rows) - len(named), len(gallery.people())
            result = Built(folder, len(todo), known, nobody, len(gallery), people, speed, gallery.threshold())
        result = ranks.first_says(result)
        assert result is not None
        return result


def _owner(photo: tuple[Dataset, int], ranks: Ranks) -> int:
    """The process that embeds a photo: the same for all copies of it, whatever their names."""
    dataset, number = photo
    return int(dataset.rows[number].sha256[:8], 16) % ranks.world


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
    within = within_gallery(vectors, np.array(people), fpir, by=gallery.scored_by)
    if within is not None:
        return within
    table = notes.get("impostors")
    return from_impostors(table, len(vectors), fpir, by=gallery.scored_by) if isinstance(table, list) else None
