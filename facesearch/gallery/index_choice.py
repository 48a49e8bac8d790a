"""Which index somebody wants for a gallery; it stands in the gallery itself and holds until another one is wanted."""

from __future__ import annotations

from typing import Any

from facesearch.gallery.index_files import read_manifest
from facesearch.gallery.index_kinds import AUTO, check_choice
from facesearch.gallery.store import Gallery

PART = ("kind", "rows", "faces", "rerank", "setting", "recall")


def chosen_index(gallery: Gallery) -> str:
    """auto, flat, bits1, bits2, or an index in FAISS's words."""
    return gallery.meta("index") or AUTO


def choose_index(gallery: Gallery, choice: str) -> None:
    """Keep a choice; it takes effect when the index is next made. Raises BadIndex."""
    gallery.set_meta("index", check_choice(choice, gallery.dimension))


def index_parts(gallery: Gallery) -> list[dict[str, Any]]:
    """Of each segment on disk: kind, rows, faces, rerank, setting, recall (photos, strangers) or None; nothing where there is no index."""
    try:
        return [{key: part[key] for key in PART} for part in read_manifest(gallery)["segments"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def part_words(part: dict[str, Any]) -> str:
    """A segment in words."""
    if not part["recall"]:
        return f"{part['kind']}: {part['faces']} faces, all compared"
    return (
        f"{part['kind']}: {part['faces']} faces, the best {part['rerank']} compared exactly; when it was made, recall@10 was "
        f"{part['recall']['photos']:.4f} for photos of its people and {part['recall']['strangers']:.4f} for strangers"
    )
