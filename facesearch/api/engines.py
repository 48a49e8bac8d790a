"""A gallery's vectors in another engine, Milvus: filled, compared, dropped. Needs the extra [milvus]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facesearch.api.gallery import Gallery
from facesearch.api.how import quiet
from facesearch.gallery.milvus.projections import Access as Access
from facesearch.gallery.milvus.projections import Place as Place
from facesearch.gallery.milvus.projections import place_of as place_of
from facesearch.records import Progress

if TYPE_CHECKING:
    from facesearch.gallery.milvus.sync import Checked as Checked
    from facesearch.gallery.milvus.sync import Synced as Synced


def sync(
    gallery: Gallery,
    place: Place,
    *,
    index: str | None = None,
    full: bool = False,
    progress: Progress = quiet,
    wait: bool = True,
    waiting: Progress = quiet,
) -> Synced:
    """Send what has changed, so that the engine holds what the gallery holds.

    Args:
        gallery: The gallery.
        place: The engine and its collection.
        index: The kind of index there.
        full: Compare all vectors, not only what changed.
        progress: Called with (rows done, of how many).
        wait: Wait until the engine searches all rows by its index; until then a search may miss some.
        waiting: Called with (rows it searches so, of how many) meanwhile.
    """
    from facesearch.gallery.milvus import sync as engine

    with gallery.opened() as store:
        later = waiting if wait else None
        return engine.sync(store, place, index=index, full=full, progress=progress, waiting=later)


def check(gallery: Gallery, place: Place, progress: Progress = quiet) -> Checked:
    """Compare every row and vector, and change nothing."""
    from facesearch.gallery.milvus import sync as engine

    with gallery.opened() as store:
        return engine.check(store, place, progress)


def drop(gallery: Gallery, place: Place, *, abandon: bool = False) -> None:
    """Drop what was sent there; with abandon only forget about it, without reaching it."""
    from facesearch.gallery.milvus import sync as engine

    with gallery.opened() as store:
        engine.drop(store, place, abandon=abandon)
