"""The people of an open gallery as a page shows them: listed and searched, with their photos, and enrolled
one photo at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from facesearch.answers import Enrolled, PhotosOfPerson, PhotoSource
from facesearch.api import checks
from facesearch.api.gallery import Gallery
from facesearch.api.inputs import NamedPhoto
from facesearch.api.names import clean_name
from facesearch.api.results import Separation
from facesearch.errors import UnknownPerson

ORDERS = ("separation", "name", "photos")


@dataclass(frozen=True, slots=True)
class People:
    """A page of the people enrolled. total: how many were found; offset: how many of them come before this
    page.
    """

    people: tuple[Separation, ...]
    total: int
    offset: int


def people_page(
    everybody: Sequence[Separation],
    *,
    search: str = "",
    sort: str = "separation",
    offset: int = 0,
    limit: int = 100,
) -> People:
    """Some of the people whom Gallery.separations gives. search: a part of the name, in any case; sort: by
    separation, the worst first, by name, or by the number of photos, most first. Raises ValueError for
    another order.
    """
    checks.one_of("sort", sort, ORDERS)
    part = search.casefold()
    found = [person for person in everybody if part in person.name.casefold()]
    if sort == "name":
        found.sort(key=lambda person: person.name.casefold())
    elif sort == "photos":
        found.sort(key=lambda person: -person.photos)
    return People(tuple(found[offset : offset + limit]), len(found), offset)


def photos_of(gallery: Gallery, name: str) -> PhotosOfPerson:
    """Somebody's enrolled photos, by their names. Raises UnknownPerson, while there is no gallery too."""
    if not gallery.exists:
        raise UnknownPerson(name, ())
    photos = gallery.photos_of(name)
    return PhotosOfPerson(name, tuple(PhotoSource(photo.photo, photo.sha256) for photo in photos))


def enroll_file(
    gallery: Gallery, name: str, photo: str, data: bytes, *, face: int | None = None, force: bool = False
) -> Enrolled:
    """Enroll one face of a picture file that is in memory.

    photo: what the photo is called; data: the file's bytes; face: which face, from 1, the largest first;
    force: although it is closer to somebody else. Raises what Gallery.enroll raises.
    """
    done = gallery.enroll(name, NamedPhoto(photo, data), face=face, refuse_lookalikes=not force)
    person = clean_name(name)
    return Enrolled(
        person=person,
        sha256=hashlib.sha256(data).hexdigest(),
        photos=len(gallery.photos_of(person)),
        known=bool(done.known),
        unchecked=bool(done.unchecked),
    )
