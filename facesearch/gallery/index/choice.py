"""Which index somebody wants for a gallery; it stands in the gallery itself and holds until another one is
wanted.
"""

from __future__ import annotations

from typing import Any

from facesearch.errors import counted
from facesearch.gallery.index.files import read_manifest
from facesearch.gallery.index.indexed import Indexed
from facesearch.gallery.index.kinds import AUTO, KINDS, check_choice
from facesearch.gallery.store.store import Store

PART = ("kind", "rows", "faces", "rerank", "recall")


def chosen_index(gallery: Store) -> str:
    """One of KINDS. What version 0.1.0 could note besides, an index in FAISS's words, counts as auto."""
    noted = gallery.notes.index
    return noted if noted in KINDS else AUTO


def choose_index(gallery: Store, choice: str) -> None:
    """Keep a choice; it takes effect when the index is next made. Raises BadIndex."""
    gallery.notes.set_index(check_choice(choice))


def index_parts(gallery: Store) -> list[dict[str, Any]]:
    """Of each segment on disk: kind, rows, faces, rerank, recall (photos, strangers) or None;
    nothing where there is no index.
    """
    try:
        return [{key: part[key] for key in PART} for part in read_manifest(Indexed(gallery))["segments"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def part_words(part: dict[str, Any]) -> str:
    """A segment in words."""
    if not part["recall"]:
        return f"{part['kind']}: {counted(part['faces'], 'face')}, all compared"
    return (
        f"{part['kind']}: {counted(part['faces'], 'face')}, the best {part['rerank']} compared"
        " exactly; when it was"
        f" made, recall@10 was {part['recall']['photos']:.4f} for photos of its people and"
        f" {part['recall']['strangers']:.4f} for strangers"
    )
