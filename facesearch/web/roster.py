"""Everybody enrolled, with how well they stand apart: computed once for each state of the gallery, since a page asks at every key."""

from __future__ import annotations

from facesearch.api.gallery import Gallery
from facesearch.jobs.separation import Apart


class Roster:
    """Safe to ask from many threads: two that ask at once may both compute, which is right too."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._known: tuple[object, list[Apart]] | None = None

    def people(self) -> list[Apart]:
        """The worst separated first."""
        with self._gallery.store() as store:
            state = None if store is None else store.state
        known = self._known
        if known is None or known[0] != state:
            known = self._known = state, self._gallery.separations()
        return known[1]

    def let_go(self) -> None:
        """Of names that were forgotten."""
        self._known = None
