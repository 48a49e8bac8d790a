"""Set a gallery's threshold on people who are not in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facesearch.datasets.table import MANIFEST, Dataset, open_dataset
from facesearch.encoder.dataset_vectors import dataset_vectors
from facesearch.encoder.runtime import Runtime
from facesearch.encoder.stream import detected, embedded, one_face
from facesearch.errors import NothingToDo, counted
from facesearch.faces.detect import Detector
from facesearch.faces.people_folders import people_folders
from facesearch.gallery.calibration import from_strangers, within_gallery
from facesearch.gallery.index.faiss_index import open_for
from facesearch.gallery.nearest import nearest_to_each
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store
from facesearch.records import F32, U8, Progress, ScoredBy, Skipped


@dataclass(frozen=True)
class Strangers:
    """People to search for who should not be found. vectors (n, d), people (n,) whose they are; left_out: why
    not all.
    """

    vectors: F32
    people: NDArray[np.str_]
    left_out: tuple[Skipped, ...]


def find_strangers(
    place: Path,
    split: str,
    gallery: Store,
    runtime: Runtime,
    detector: Detector | None,
    *,
    largest: bool,
    progress: Progress,
) -> Strangers:
    """The people of one split of a prepared dataset ('' for all), or of a folder with one folder a person.

    Raises NotFound, NothingToDo when that leaves nobody.
    """
    if place.suffix == ".zip" or (place / MANIFEST).is_file():
        return strangers_of(open_dataset(place), split, gallery, runtime, progress)
    return strangers_in(place, gallery, runtime, detector, largest=largest, progress=progress)


def strangers_of(
    dataset: Dataset, split: str, gallery: Store, runtime: Runtime, progress: Progress
) -> Strangers:
    """The people of one split of a prepared dataset. Raises NothingToDo when that leaves nobody."""
    rows = dataset.where(split) if split else np.arange(len(dataset))
    if not len(rows):
        raise _no_such_split(dataset, split)
    out, left = _strange(
        [(str(dataset.people[i]), str(dataset.sha256[i]), Path(dataset.rows[i].file)) for i in rows],
        gallery,
        str(dataset.folder),
    )
    rows = rows[out]
    return Strangers(dataset_vectors(dataset, rows, runtime, {}, progress), dataset.people[rows], left)


def _no_such_split(dataset: Dataset, split: str) -> NothingToDo:
    there = Counter(row.split for row in dataset.rows)
    splits = ", ".join(f"{name} ({counted(count, 'photo')})" for name, count in sorted(there.items()))
    return NothingToDo(
        str(dataset.folder),
        f"it has no photo in the split {split!r}; its splits are: {splits or 'none, it is empty'}",
        "Choose the one whose people are not enrolled with --split NAME, or all of them with --split ''.",
    )


def strangers_in(
    folder: Path,
    gallery: Store,
    runtime: Runtime,
    detector: Detector | None,
    *,
    largest: bool,
    progress: Progress,
) -> Strangers:
    """The people of a folder of photos, one folder a person. Raises NotFound, NothingToDo."""
    photos, skipped = people_folders(folder)
    seen: list[tuple[str, str, Path]] = []

    def faces() -> Iterator[tuple[None, list[U8]]]:
        progress(0, len(photos))
        found = detected(
            lambda path, own: one_face(path, own, largest=largest), (path for _, path in photos), detector
        )
        for number, ((person, _), face) in enumerate(zip(photos, found, strict=True), 1):
            if isinstance(face, Skipped):
                skipped.append(face)
            else:
                seen.append((person, face.sha256, face.path))
                yield None, [face.crop]
            progress(number, len(photos))

    vectors = [own[0] for _, own, _ in embedded(faces(), runtime)]
    kept, left = _strange(seen, gallery, str(folder))
    return Strangers(
        np.stack([vectors[i] for i in kept]), np.array([seen[i][0] for i in kept]), (*skipped, *left)
    )


def calibrate(
    gallery: Store,
    strangers: Strangers,
    fpir: float,
    *,
    seed: int,
    by: ScoredBy | None = None,
    progress: Progress,
) -> Threshold:
    """Search everybody, set the threshold for `fpir` at this gallery's size, and keep it in the gallery.

    by: what a person's score is from now on; None keeps what it is. Raises TooFewSearches (nothing is changed
    then), EmptyGallery.
    """
    by = _made_ready(gallery, by)
    best = np.empty(len(strangers.vectors), np.float32)
    progress(0, len(best))
    found = nearest_to_each(gallery, open_for(gallery, by), strangers.vectors, by)
    for number, (_, score) in enumerate(found):
        best[number] = score
        progress(number + 1, len(best))
    threshold = from_strangers(best, strangers.people, len(gallery), fpir, seed=seed, by=by)
    gallery.notes.set_threshold(threshold)
    return threshold


def calibrate_within(gallery: Store, fpir: float, *, seed: int, by: ScoredBy | None = None) -> Threshold:
    """Without strangers: each of the gallery's photos is searched among everybody else's. by: as calibrate.
    Raises NothingToDo.
    """
    by = _made_ready(gallery, by)
    _, vectors, people = gallery.faces.vectors()
    threshold = within_gallery(vectors, np.array(people), fpir, seed=seed, by=by)
    if threshold is None:
        raise NothingToDo(
            str(gallery.folder),
            f"{counted(len(vectors), 'photo')} of {counted(len(set(people)), 'person')} are too few"
            " to speak of an FPIR of"
            f" {fpir:.2%}",
        )
    gallery.notes.set_threshold(threshold)
    return threshold


def _made_ready(gallery: Store, by: ScoredBy | None) -> ScoredBy:
    """What a person's score is from now on; a gallery that is scored by templates keeps them then."""
    by = by or gallery.notes.scored_by
    if by == "mean-template":
        gallery.templates.require()
    return by


def _strange(
    photos: Sequence[tuple[str, str, Path]], gallery: Store, where: str
) -> tuple[list[int], tuple[Skipped, ...]]:
    """Of photos (person, content hash, file) the numbers of those that name nobody who is enrolled, and the
    others with why.

    A whole person is left out when one of their photos is enrolled under any name, or somebody of their name
    is.
    """
    names = {person.name for person in gallery.faces.people()}
    hashes = {sha256 for _, sha256, _ in gallery.faces.known_photos()}
    enrolled = {who for who, sha256, _ in photos if sha256 in hashes}
    kept, left = [], []
    for number, (who, _, path) in enumerate(photos):
        if who in enrolled:
            left.append(Skipped(path, "one of this person's photos is enrolled: no stranger"))
        elif who in names:
            left.append(Skipped(path, f"somebody called {who!r} is enrolled: no stranger"))
        elif not who:
            left.append(Skipped(path, "it names nobody"))
        else:
            kept.append(number)
    if not kept:
        raise NothingToDo(
            where, left[0].reason if left else "no photo of a stranger there", left_out=tuple(left)
        )
    return kept, tuple(left)
