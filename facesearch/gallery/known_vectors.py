"""Vectors that a gallery holds, by the content of their photos, so that nobody embeds them again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from facesearch.gallery.store.keys import Key
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.records import F32


def known_vectors(folder: Path, encoder_id: str, *, key: Key | None = None) -> dict[str, F32]:
    """Vectors that a gallery of the same encoder holds, by content hash of their photo; none from any other
    gallery.

    A photo with several enrolled faces is left out: its hash does not tell them apart.
    """
    if not (folder / FILE).is_file():
        return {}
    with Store.open(folder, key) as gallery:
        if gallery.encoder_id != encoder_id:
            return {}
        faces, vectors = gallery.faces.enrolled()
    count = Counter(face.sha256 for face in faces)
    return {
        face.sha256: vector for face, vector in zip(faces, vectors, strict=True) if count[face.sha256] == 1
    }
