"""The people of an open gallery as a page shows them: listed and searched, with how well they stand apart,
their photos, and enrolled one photo at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from facesearch.answers import Enrolled, PhotosOfPerson, PhotoSource
from facesearch.api import checks
from facesearch.api.gallery import Gallery
from facesearch.api.inputs import NamedPhoto
from facesearch.api.names import clean_name
from facesearch.api.results import Apart
from facesearch.api.state import State
from facesearch.errors import UnknownPerson
from facesearch.records import I64

ORDERS = ("separation", "name", "photos")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody enrolled, as a page lists them.

    Attributes:
        name: The name.
        photos: How many photos of them are enrolled.
        separation: The mean, over their photos, of the score with their other photos less that with the
            nearest other person; below 0 they are closer to somebody else. None for a single photo.
        nearest: The other person that most of their photos come closest to; None where there is none.
        pending: Separation and nearest are not known yet.
    """

    name: str
    photos: int
    separation: float | None
    nearest: str | None
    pending: bool


@dataclass(frozen=True, slots=True)
class Separations:
    """What the separations of a page are of.

    Attributes:
        state: "done"; "running" until those of the gallery as it is now are there (older ones are shown
            meanwhile); "failed"; "too-many" people to compare all with each other.
        generation: The generation of the gallery that those shown are of; None while there are none.
        computed_at: When, in ISO 8601; None while there are none.
    """

    state: Literal["done", "running", "failed", "too-many"] = "running"
    generation: int | None = None
    computed_at: str | None = None


@dataclass(frozen=True, slots=True)
class People:
    """A page of the people enrolled.

    Attributes:
        people: The people.
        total: How many were found.
        offset: How many of them come before this page.
        generation: The gallery's, when they were listed.
        separations: How far the separations are.
    """

    people: tuple[Person, ...]
    total: int
    offset: int
    generation: int
    separations: Separations


@dataclass(frozen=True, slots=True)
class Listing:
    """Everybody enrolled in one state of a gallery, by name. numbers (p,): each person's own, kept as
    long as they are enrolled; folded: the names in lower case; photos (p,); stored: names by
    how they lie on disk. state: None while there is no gallery.
    """

    state: State | None
    numbers: I64
    names: tuple[str, ...]
    folded: tuple[str, ...]
    photos: I64
    stored: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def generation(self) -> int:
        return self.state[3] if self.state else 0


def listing(gallery: Gallery, before: Listing | None = None) -> Listing:
    """List everybody enrolled now; no vector is read.

    Args:
        gallery: The gallery.
        before: An earlier list, which saves decrypting and sorting what is in it.

    Raises:
        CorruptGallery: The gallery is damaged.
        GalleryChanged: It was replaced meanwhile.
    """
    with gallery.store() as store:
        if store is None:
            return Listing(None, np.empty(0, np.int64), (), (), np.empty(0, np.int64))
        with store.notes.reading():
            state = store.state
            numbers, stored, photos = store.faces.listed(before.stored if before else {})
    names = list(stored.values())
    folded = [name.casefold() for name in names]
    start = range(len(names)) if before is None else _order_before(numbers, before)
    order = sorted(sorted(start, key=names.__getitem__), key=folded.__getitem__)
    return Listing(
        state,
        numbers[order],
        tuple(names[i] for i in order),
        tuple(folded[i] for i in order),
        photos[order],
        stored,
    )


def _order_before(numbers: I64, before: Listing) -> list[int]:
    """Places of people with these numbers in the order of the list before, those who are new last: what is
    almost sorted is sorted soon.
    """
    rising = np.argsort(before.numbers)
    places = np.searchsorted(before.numbers, numbers, sorter=rising).clip(max=max(0, len(rising) - 1))
    if not len(rising):
        return list(range(len(numbers)))
    ranks = np.where(before.numbers[rising[places]] == numbers, rising[places], len(rising))
    order: list[int] = np.argsort(ranks, kind="stable").tolist()
    return order


def how_apart(gallery: Gallery, pause: Callable[[], None]) -> tuple[State | None, Apart | None]:
    """How far apart all people stand, and of which state of the gallery that is; None while there is none.
    This takes long: see evaluation.separation.measure for `pause`, and for what it raises.
    """
    from facesearch.evaluation.separation import measure

    with gallery.store() as store:
        return (None, None) if store is None else (store.state, measure(store, pause))


def people_page(
    everybody: Listing,
    apart: Apart | None = None,
    known: Separations = Separations(),
    *,
    search: str = "",
    sort: str = "separation",
    offset: int = 0,
    limit: int = 100,
) -> People:
    """Some of the people listed.

    Args:
        everybody: The list.
        apart: How far people stand apart, perhaps of a moment before; None while that is not known.
        known: What to say of that.
        search: A part of the name, in any case.
        sort: "separation" (the worst first), "name", or "photos" (most first); by name where that is equal.
        offset: How many people come before the page.
        limit: How many people are on it.

    Raises:
        ValueError: Another order.
    """
    checks.one_of("sort", sort, ORDERS)
    part = search.casefold()
    found = np.flatnonzero(np.fromiter((part in name for name in everybody.folded), bool))
    numbers = everybody.numbers
    values, nearest = np.full(len(numbers), np.nan), np.zeros(len(numbers), np.int64)
    there = np.zeros(len(numbers), bool)
    if apart is not None and len(apart.people):
        places = np.minimum(np.searchsorted(apart.people, numbers), len(apart.people) - 1)
        there = apart.people[places] == numbers
        values = np.where(there, apart.separation[places], np.nan)
        nearest = np.where(there, apart.nearest[places], 0)
    if sort == "separation":
        found = found[np.argsort(np.where(np.isnan(values), np.inf, values)[found], kind="stable")]
    elif sort == "photos":
        found = found[np.argsort(-everybody.photos[found], kind="stable")]
    shown = found[offset : offset + limit]
    others = _names_of(everybody, nearest[shown])
    people = []
    for i in shown.tolist():
        near = others.get(int(nearest[i]))
        lost = bool(nearest[i]) and near is None  # they were forgotten meanwhile
        value = None if np.isnan(values[i]) else float(values[i])
        photos = int(everybody.photos[i])
        people.append(Person(everybody.names[i], photos, value, near, not there[i] or lost))
    return People(tuple(people), len(found), offset, everybody.generation, known)


def _names_of(everybody: Listing, numbers: I64) -> dict[int, str]:
    """The names of the people with these numbers, where they are enrolled."""
    places = np.flatnonzero(np.isin(everybody.numbers, numbers))
    return {int(everybody.numbers[i]): everybody.names[i] for i in places.tolist()}


def photos_of(gallery: Gallery, name: str) -> PhotosOfPerson:
    """Somebody's enrolled photos, by their names.

    Raises:
        UnknownPerson: Nobody of this name is enrolled, or there is no gallery.
    """
    if not gallery.exists:
        raise UnknownPerson(name, ())
    photos = gallery.photos_of(name)
    return PhotosOfPerson(name, tuple(PhotoSource(photo.photo, photo.sha256) for photo in photos))


def enroll_file(
    gallery: Gallery, name: str, photo: str, data: bytes, *, face: int | None = None, force: bool = False
) -> Enrolled:
    """Enroll one face of a picture file that is in memory.

    Args:
        gallery: The gallery.
        name: The person.
        photo: What the photo is called.
        data: The file's bytes.
        face: Which face, from 1, the largest first; None where there is one only.
        force: Enroll it although it is closer to somebody else.

    Raises:
        FacesearchError: What Gallery.enroll raises.
    """
    done = gallery.enroll(name, NamedPhoto(photo, data), face=face, refuse_lookalikes=not force)
    person = clean_name(name)
    return Enrolled(
        person=person,
        sha256=hashlib.sha256(data).hexdigest(),
        photos=len(gallery.photos_of(person)),
        known=bool(done.known),
        unchecked=bool(done.unchecked),
        warnings=done.warnings,
    )
