"""How an open gallery stands: whether it can answer, how much is enrolled, and whether it has changed."""

from __future__ import annotations

from facesearch.answers import Health
from facesearch.api.gallery import Gallery

State = tuple[int, int, str, int, str]
"""The gallery's file, its encoder, its number of changes: equal for as long as nothing has changed."""


def state_of(gallery: Gallery) -> State | None:
    """What tells a changed gallery from the same one, for whoever keeps what was computed of it. None while
    there is none.
    """
    with gallery.store() as store:
        return None if store is None else store.state


def health(gallery: Gallery) -> Health:
    """Whether the gallery can answer, and how much is enrolled. Raises CorruptGallery."""
    with gallery.store() as store:
        if store is None:
            return Health(gallery="empty", people=0, faces=0, generation=0)
        faces = len(store)
        return Health(
            gallery="ready" if faces else "empty",
            people=store.faces.person_count(),
            faces=faces,
            generation=store.notes.generation,
        )


def require_own_encoder(gallery: Gallery) -> None:
    """Raises EncoderMismatch when the gallery was made with another encoder than it is opened with,
    CorruptGallery; never while there is no gallery.
    """
    with gallery.store() as store:
        if store is not None:
            store.require_encoder(gallery.encoder.id)
