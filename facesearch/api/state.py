"""How an open gallery stands: whether it can answer, how much is enrolled, and whether it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from facesearch.api.gallery import Gallery
from facesearch.errors import FacesearchError
from facesearch.gallery.store.store import State as State


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """That a service is alive, and how its gallery stands.

    Attributes:
        status: "ok".
        gallery: "ready"; "empty" while nobody is enrolled; "not-ready" when searches fail.
        people: People enrolled; None where the gallery cannot be read.
        faces: Faces enrolled; None likewise.
        generation: The gallery's number of changes; None likewise.
    """

    status: Literal["ok"] = "ok"
    gallery: Literal["ready", "empty", "not-ready"]
    people: int | None
    faces: int | None
    generation: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """That a service answers searches.

    Attributes:
        status: "ready".
        gallery: "ready", or "empty" while nobody is enrolled.
    """

    status: Literal["ready"] = "ready"
    gallery: Literal["ready", "empty"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What a service answers with.

    Attributes:
        facesearch: The version.
        api: The version of the HTTP interface.
        encoder: The encoder in words.
        encoder_id: Its id.
        detector: What finds faces.
        originals: Enrolled photos can be shown.
        limits: What it takes at most.
    """

    facesearch: str
    api: Literal["v1"] = "v1"
    encoder: str
    encoder_id: str
    detector: str
    originals: bool
    limits: dict[str, int]


def state_of(gallery: Gallery) -> State | None:
    """What tells a changed gallery from the same one, for callers that keep what they computed; None without
    one.
    """
    with gallery.store() as store:
        return None if store is None else store.state


def health(gallery: Gallery) -> Health:
    """How the gallery stands, by counts alone: no name and no vector is read. It tells of another encoder and
    of a file that cannot be read; whether searches succeed, only trying tells: see ready.
    """
    try:
        with gallery.store() as store:
            if store is None:
                return Health(gallery="empty", people=0, faces=0, generation=0)
            faces = len(store)
            own = store.encoder_id == gallery.encoder.id
            return Health(
                gallery="not-ready" if not own else "ready" if faces else "empty",
                people=store.faces.person_count(),
                faces=faces,
                generation=store.notes.generation,
            )
    except FacesearchError:
        return Health(gallery="not-ready", people=None, faces=None, generation=None)


def ready(gallery: Gallery) -> Ready:
    """Whether a search would be answered now: by searching, with the vector of somebody who is enrolled.

    The encoder is loaded and the index opened, or rebuilt, where they are not yet.

    Raises:
        EncoderMismatch: The gallery is of another encoder.
        CorruptGallery: It is damaged.
        CannotRead: A file cannot be read.
        CannotWrite: The index cannot be rebuilt.
        EncoderError: The encoder cannot be loaded.
    """
    return Ready(gallery="ready" if gallery.try_out() else "empty")


def require_own_encoder(gallery: Gallery) -> None:
    """Nothing while there is no gallery, or it is of the encoder it is opened with.

    Raises:
        EncoderMismatch: The gallery is of another encoder.
        CorruptGallery: It is damaged.
    """
    with gallery.store() as store:
        if store is not None:
            store.require_encoder(gallery.encoder.id)
