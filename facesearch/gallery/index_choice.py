"""Which index somebody wants for a gallery; it stands in the gallery itself and holds until another one is wanted."""

from __future__ import annotations

from facesearch.gallery.index_kinds import AUTO, check_choice
from facesearch.gallery.store import Gallery


def chosen_index(gallery: Gallery) -> str:
    """auto, flat, bits1, bits2, or an index in FAISS's words."""
    return gallery.note("index") or AUTO


def choose_index(gallery: Gallery, choice: str) -> None:
    """Keep a choice; it takes effect when the index is next made. Raises BadIndex."""
    gallery.set_note("index", check_choice(choice, gallery.dimension))
