"""Embed every photo of prepared datasets into a gallery. A re-run skips what is known; an interrupted one
goes on.

Where several processes share the work, a photo's content hash says whose it is, and the first process alone
has the gallery open: the others send it their vectors, a commit at a time. So there is one writer, and no
second place where vectors lie.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from facesearch.datasets.table import Dataset
from facesearch.encoder.runtime import Runtime
from facesearch.encoder.stream import embedded
from facesearch.errors import NothingToDo
from facesearch.faces.names import clean_source, usual_form
from facesearch.gallery.index.choice import choose_index, chosen_index
from facesearch.gallery.index.faiss_index import refresh
from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.rows import NewFace, Threshold
from facesearch.gallery.store.store import Store
from facesearch.gallery.tidy import tidy
from facesearch.ranks import ALONE, Ranks
from facesearch.records import Progress, Seen

COMMIT = 256
"""Photos that a process embeds between two commits: what a kill can cost."""


@dataclass(frozen=True, slots=True)
class Built:
    """What build-index did.

    Attributes:
        gallery: The gallery's folder.
        added: Vectors that were added.
        known: Photos that were enrolled already.
        nobody: Photos that name no person.
        faces: Faces in the gallery now.
        people: People in it now.
        img_per_s: Photos a second.
        threshold: The threshold now; None where there is none.
    """

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
    """Enroll the photos of `splits` (all when empty) that name a person. All processes of a run call it and
    get the same result. index: the choice of an index from now on.

    Raises EncoderMismatch, NothingToDo, CannotWrite, CorruptGallery, BadIndex; PeerLost when another process
    is gone. Each commit stands on its own.
    """
    rows = [(d, i) for d in datasets for i, row in enumerate(d.rows) if not splits or row.split in splits]
    named = [(d, i) for d, i in rows if d.rows[i].person]
    if not named:
        where = ", ".join(str(dataset.folder) for dataset in datasets)
        raise NothingToDo(where, f"no photo of a named person in the splits {', '.join(splits) or 'there'}")
    made = (folder, runtime.encoder_id, runtime.dimension, runtime.words, key)
    opened = Store.create(*made, encoder_file=encoder_file) if ranks.is_first else nullcontext()
    again = f"torchrun --nproc-per-node {ranks.world} -m facesearch build-index ...   (the same command)"
    with opened as gallery, ranks.watched(f"All vectors that were committed are in {folder}", again):
        todo: list[int] = []
        before = ""
        if gallery is not None:
            gallery.require_encoder(runtime.encoder_id)
            before = chosen_index(gallery)
            if index is not None:
                choose_index(gallery, index)
            todo = _not_enrolled(named, gallery)
            _fill(named, set(todo), gallery)
        todo = ranks.first_says(todo)
        started = time.monotonic()
        _embed_all(named, todo, gallery, runtime, ranks, progress)
        speed = len(todo) / (time.monotonic() - started) if todo else 0.0
        result = None
        if gallery is not None:
            if chosen_index(gallery) != before:
                refresh(gallery, "another index was chosen")
            tidy(gallery, runtime.notes, fpir, rewrite=bool(todo))
            result = Built(
                gallery=folder,
                added=len(todo),
                known=len(named) - len(todo),
                nobody=len(rows) - len(named),
                faces=len(gallery),
                people=len(gallery.faces.people()),
                img_per_s=speed,
                threshold=gallery.notes.threshold(),
            )
        result = ranks.first_says(result)
        assert result is not None
        return result


def _not_enrolled(named: Sequence[tuple[Dataset, int]], gallery: Store) -> list[int]:
    """Which of the photos (dataset, row) are not enrolled yet."""
    enrolled = gallery.faces.known_photos()
    photos = [d.rows[i] for d, i in named]
    as_kept = [(usual_form(row.person), row.sha256, clean_source(row.file)) for row in photos]
    return [n for n, photo in enumerate(as_kept) if photo not in enrolled]


def _fill(named: Sequence[tuple[Dataset, int]], new: set[int], gallery: Store) -> None:
    """Note what is known of the faces of a gallery that was built before rows knew their face."""
    if gallery.notes.has_seen_column() or len(new) == len(named):
        return
    for start in range(0, len(named), COMMIT):
        some = [named[n] for n in range(start, min(start + COMMIT, len(named))) if n not in new]
        rows = [(d.rows[i], _seen((d, i))) for d, i in some]
        gallery.faces.fill_seen({(row.person, row.sha256, row.file): seen for row, seen in rows})


def _embed_all(
    named: Sequence[tuple[Dataset, int]],
    todo: list[int],
    gallery: Store | None,
    runtime: Runtime,
    ranks: Ranks,
    progress: Progress,
) -> None:
    """Embed the photos of these numbers, each process its share, and enroll them, a commit at a time."""
    done = 0
    progress(0, len(todo))
    shares = [[n for n in todo if _owner(named[n], ranks) == rank] for rank in range(ranks.world)]
    own = (named[n] for n in shares[ranks.rank])
    faces = embedded(((None, [d.crops[i]]) for d, i in own), runtime)
    stream = (np.column_stack([vectors, lengths]) for _, vectors, lengths in faces)
    for start in range(0, max(map(len, shares)), COMMIT):
        parts = [share[start : start + COMMIT] for share in shares]
        mine = [np.empty((0, runtime.dimension + 1), np.float32), *islice(stream, len(parts[ranks.rank]))]
        both = ranks.collect(np.concatenate(mine), [len(part) for part in parts])
        photos = [named[n][0].rows[named[n][1]] for part in parts for n in part]
        known = [_seen(named[n]) for part in parts for n in part] if gallery is not None else []
        if gallery is not None and both is not None:
            new = [
                NewFace(
                    row.person,
                    row.sha256,
                    row.file,
                    vector[:-1],
                    row.found_by,
                    replace(seen, length=float(vector[-1])),
                )
                for row, seen, vector in zip(photos, known, both, strict=True)
            ]
            gallery.faces.add(new)
        done += len(photos)
        progress(done, len(todo))


def _seen(photo: tuple[Dataset, int]) -> Seen:
    dataset, number = photo
    return dataset.rows[number].seen(dataset.crops[number])


def _owner(photo: tuple[Dataset, int], ranks: Ranks) -> int:
    """The process that embeds a photo: the same for all copies of it, whatever their names."""
    dataset, number = photo
    return int(dataset.rows[number].sha256[:8], 16) % ranks.world
