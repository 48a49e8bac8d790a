"""How well each person of a gallery stands apart from everybody else, by the vectors alone.

The gallery is read a block of people at a time, twice: for the people's mean vectors, then to compare each
photo with them. So what is held in memory are the mean vectors (2 KB a person) and one block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from facesearch.gallery.store.store import Store
from facesearch.metrics.audit import own_scores
from facesearch.records import F32, I64

PHOTOS_AT_ONCE = 4096
"""So many photos are read at a time; more where one person has more."""
PHOTOS, PEOPLE = 1024, 4096
"""So many photos are compared with so many people at a time: in the caches, and soon over."""


@dataclass(frozen=True, slots=True)
class Separation:
    """separation: the mean, over the person's photos, of the score with the person's other photos less that
    with the nearest other person; below 0 the photos are closer to somebody else. None for a single photo.
    nearest: the person that most photos come closest to, of several the closest; None in a gallery of one
    person."""

    name: str
    photos: int
    separation: float | None
    nearest: str | None


@dataclass(frozen=True, slots=True)
class Apart:
    """The same of all people, without a name: their numbers (p,), rising; separation (p,) float32, nan where
    there is none; nearest (p,), the other person's number, 0 where there is none.
    """

    people: I64
    separation: F32
    nearest: I64


def separations(gallery: Store) -> list[Separation]:
    """Everybody enrolled, the worst separated first, people with a single photo last. Copies of one file
    count once. Raises CorruptGallery, GalleryChanged.
    """
    apart = measure(gallery)
    people, names, photos = gallery.faces.listed()
    called = dict(zip(people.tolist(), names.values(), strict=True))
    place = {number: i for i, number in enumerate(apart.people.tolist())}
    found = []
    for number, name, count in zip(people.tolist(), names.values(), photos.tolist(), strict=True):
        i = place.get(number)
        known = i is not None and bool(np.isfinite(apart.separation[i]))
        value = float(apart.separation[i]) if known else None
        found.append(Separation(name, count, value, None if i is None else called.get(int(apart.nearest[i]))))
    return sorted(
        found, key=lambda person: (person.separation is None, person.separation or 0.0, person.name)
    )


def measure(gallery: Store, pause: Callable[[], None] = lambda: None) -> Apart:
    """How far apart all people of a gallery stand. Scores are with mean vectors, each photo without itself
    and its copies, as in the audit.

    pause: called again and again, at least every few tenths of a second: it may wait, or raise what ends the
    work. People who are enrolled or forgotten meanwhile may be in it or not. Raises CorruptGallery,
    GalleryChanged.
    """
    people, photos = gallery.faces.faces_a_person()
    apart = Apart(people, np.full(len(people), np.nan, np.float32), np.zeros(len(people), np.int64))
    if len(people) < 2:
        return apart
    templates = np.zeros((len(people), gallery.dimension), np.float32)
    for block in _blocks(gallery, people, photos):
        pause()
        templates[block.places] = block.templates
    for block in _blocks(gallery, people, photos):
        pause()
        other, who = _nearest_other(block.vectors, block.places[block.codes], templates, pause)
        margins = block.own - other
        known = np.isfinite(margins)
        counts = np.bincount(block.codes, weights=known)
        sums = np.bincount(block.codes, weights=np.where(known, margins, 0))
        apart.separation[block.places] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        apart.nearest[block.places] = people[_most_frequent(block.codes, who, other)]
    return apart


@dataclass(frozen=True, slots=True)
class _Block:
    """Some people with all their photos. places (b,): where they stand among all people; codes (n,): which of
    them each photo shows; vectors (n, d); templates (b, d); own (n,), see own_scores."""

    places: I64
    codes: I64
    vectors: F32
    templates: F32
    own: F32


def _blocks(gallery: Store, people: I64, photos: I64) -> Iterator[_Block]:
    """All people who are still enrolled, block by block, each read in a moment of its own: a reader that
    stays would keep an erasure from its end.
    """
    start, upto = 0, np.cumsum(photos)
    while start < len(people):
        before = int(upto[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(upto, before + PHOTOS_AT_ONCE, side="right")))
        whose, contents, vectors = gallery.faces.of_people(int(people[start]), int(people[end - 1]))
        start = end
        if not len(whose):
            continue
        present, codes = np.unique(whose, return_inverse=True)
        groups = np.unique(np.array(contents), return_inverse=True)[1]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # float16 on disk
        templates, own = own_scores(vectors, codes, groups, np.ones(len(codes), np.bool_))
        yield _Block(np.searchsorted(people, present), codes, vectors, templates, own)


def _nearest_other(vectors: F32, own: I64, templates: F32, pause: Callable[[], None]) -> tuple[F32, I64]:
    """The best cosine of each photo (n, d) with anybody (p, d) but its own person (n,), and who that is."""
    best, who = np.full(len(vectors), -2, np.float32), np.zeros(len(vectors), np.int64)
    for row in range(0, len(vectors), PHOTOS):
        part = slice(row, row + PHOTOS)
        for first in range(0, len(templates), PEOPLE):
            pause()
            cosines = vectors[part] @ templates[first : first + PEOPLE].T
            mine = own[part] - first
            here = np.flatnonzero((mine >= 0) & (mine < cosines.shape[1]))
            cosines[here, mine[here]] = -2
            nearest = cosines.argmax(axis=1)
            scores = cosines[np.arange(len(cosines)), nearest]
            better = scores > best[part]
            best[part] = np.where(better, scores, best[part])
            who[part] = np.where(better, nearest + first, who[part])
    return best, who


def _most_frequent(codes: I64, who: I64, scores: F32) -> I64:
    """For each code 0..b-1 the person most of its rows (n,) name; of several that with the highest score."""
    pairs, inverse, counts = np.unique(
        np.stack([codes, who], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    best = np.full(len(pairs), -np.inf)
    np.maximum.at(best, inverse.reshape(-1), scores)
    order = np.lexsort((pairs[:, 1], -best, -counts, pairs[:, 0]))
    first = np.flatnonzero(np.diff(pairs[order, 0], prepend=-1))
    found: I64 = pairs[order[first], 1]
    return found
