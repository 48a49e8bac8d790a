"""Everybody enrolled, with how well they stand apart: computed once for each state of the gallery, since a
page asks at every key.
"""

from __future__ import annotations

from facesearch.api.gallery import Gallery
from facesearch.api.results import Separation
from facesearch.api.state import State, state_of


class Roster:
    """Safe to ask from many threads: two that ask at once may both compute, which is right too."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._known: tuple[State | None, list[Separation]] | None = None

    def people(self) -> list[Separation]:
        """The worst separated first."""
        state, known = state_of(self._gallery), self._known
        if known is None or known[0] != state:
            known = self._known = state, self._gallery.separations()
        return known[1]

    def let_go(self) -> None:
        """Of names that were forgotten."""
        self._known = None
