"""What a gallery is, in facts."""

from __future__ import annotations

from pathlib import Path

from facesearch.gallery.faiss_index import is_current
from facesearch.gallery.store import Gallery


def describe(folder: Path) -> dict[str, object]:
    """Size, encoder, threshold and index of a gallery. Raises NoGallery, CorruptGallery."""
    with Gallery.open(folder) as gallery:
        _, state = is_current(gallery)
        threshold = gallery.threshold()
        used = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        return {
            "gallery": str(folder),
            "people": len(gallery.people()),
            "faces": len(gallery),
            "dimension": gallery.dimension,
            "encoder": gallery.encoder,
            "encoder_id": gallery.encoder_id,
            "threshold": threshold.words() if threshold else None,
            "generation": gallery.generation,
            "index": state or "current",
            "bytes": used,
        }
