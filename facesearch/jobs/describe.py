"""What a gallery is, in facts, and how good its encoder was measured to be."""

from __future__ import annotations

from pathlib import Path

from facesearch.files import read_json
from facesearch.gallery.calibration import is_stale
from facesearch.gallery.faiss_index import is_current
from facesearch.gallery.index_choice import chosen_index, index_parts, part_words
from facesearch.gallery.projections import projections
from facesearch.gallery.store import Gallery
from facesearch.jobs.find_weights import SHIPPED

CARD = SHIPPED.with_suffix(".json")
SHOWN = ("rank-1", "TPR at FPR 0.05", "FNIR at FPIR 1.0%")


def describe(folder: Path) -> dict[str, object]:
    """Size, encoder, threshold and index of a gallery. Raises NoGallery, CorruptGallery."""
    with Gallery.open(folder) as gallery:
        _, state = is_current(gallery)
        threshold = gallery.threshold()
        unmade = "all compared, by each process for itself" if gallery.sealed else "made by the first query"
        used = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        return {
            "gallery": str(folder),
            "people": len(gallery.people()),
            "faces": len(gallery),
            "dimension": gallery.dimension,
            "encoder": gallery.encoder,
            "encoder_id": gallery.encoder_id,
            "detectors": gallery.detectors(),
            "threshold": threshold.words() if threshold else None,
            "stale": threshold is not None and is_stale(threshold, len(gallery)),
            "generation": gallery.generation,
            "index": state or "current",
            "search": "; ".join(part_words(part) for part in index_parts(gallery)) or unmade,
            "chosen index": chosen_index(gallery),
            "bytes": used,
            **({"encryption": "names, photos' names, content hashes and vectors, by AES-SIV"} if gallery.sealed else {}),
            **projected(gallery),
            **measured(gallery.encoder_id),
        }


def projected(gallery: Gallery) -> dict[str, object]:
    """Where else the gallery's vectors are, and whether that is as the gallery is; nothing when they are nowhere else."""
    states = []
    for there in projections(gallery):
        owes = gallery.erasures - there.erasures
        state = f"still holds {owes} erased" if owes else "as of the last sync" if there.stamp else "a sync was interrupted"
        states.append(f"{there.store} ({there.faces} faces, {there.index}; {state})")
    return {"projections": "; ".join(states)} if states else {}


def measured(encoder_id: str) -> dict[str, object]:
    """The main figures of the shipped encoder's card, with their intervals; nothing for any other encoder."""
    if not CARD.is_file():
        return {}
    card = read_json(CARD)
    if not isinstance(card, dict) or card.get("encoder_id") != encoder_id:
        return {}
    return {
        f"{split}: {figure['name']}": "{value:.3f} [{low:.3f}, {high:.3f}]".format(**figure["rate"])
        for split, figures in card["metrics"]["shipped"].items()
        for figure in figures
        if figure["name"] in SHOWN and (split == "val" or figure["section"] == "closed set")
    }
