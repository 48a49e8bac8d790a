"""What a gallery is, in facts, and how good its own answers were measured to be."""

from __future__ import annotations

from typing import Any

from facesearch.answers import GalleryInfo, IndexInfo, MeasuredFigure, ProjectionInfo, ThresholdInfo
from facesearch.encoder.weights import SHIPPED
from facesearch.files import read_json
from facesearch.gallery.calibration import is_stale
from facesearch.gallery.index.choice import chosen_index, index_parts, part_words
from facesearch.gallery.index.faiss_index import is_current
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store

CARD = SHIPPED.with_suffix(".json")


def describe(gallery: Store) -> GalleryInfo:
    """Size, encoder, threshold and index of a gallery. Raises CorruptGallery."""
    current, state = is_current(gallery)
    threshold = gallery.notes.threshold()
    faces = len(gallery)
    unmade = "all compared, by each process for itself" if gallery.encrypted else "made by the first query"
    return GalleryInfo(
        gallery=str(gallery.folder),
        people=gallery.faces.person_count(),
        faces=faces,
        dimension=gallery.dimension,
        encoder=gallery.notes.encoder,
        encoder_id=gallery.encoder_id,
        encoder_file=gallery.notes.encoder_file().get("file"),
        threshold=None if threshold is None else threshold.score,
        calibration=threshold_info(threshold),
        stale=threshold is not None and is_stale(threshold, faces),
        generation=gallery.notes.generation,
        index=IndexInfo(
            current,
            state or "current",
            chosen_index(gallery),
            tuple(map(part_words, index_parts(gallery))) or (unmade,),
        ),
        bytes=sum(path.stat().st_size for path in gallery.folder.iterdir() if path.is_file()),
        encrypted=gallery.encrypted,
        detectors=gallery.faces.detectors(),
        projections=tuple(
            ProjectionInfo(
                there.store,
                there.faces,
                there.index,
                bool(there.stamp),
                gallery.notes.erasures - there.erasures,
            )
            for there in gallery.notes.projections()
        ),
        measured=measured(gallery),
    )


def threshold_info(threshold: Threshold | None) -> ThresholdInfo | None:
    """A threshold as it is told: all but its curve."""
    if threshold is None:
        return None
    return ThresholdInfo(**{name: getattr(threshold, name) for name in ThresholdInfo.__slots__})


def is_of(noted: Any, gallery: Store) -> bool:
    """Whether figures were measured on this very gallery as it is now: its faces, threshold, way to score.
    noted: what an evaluation says of the gallery that it measured, which may come from anybody.
    """
    threshold = gallery.notes.threshold()
    if threshold is None or not isinstance(noted, dict):
        return False
    generation, mark = gallery.notes.moment
    now = {"faces": len(gallery), "generation": generation, "mark": mark}
    now |= {"by": threshold.by, "threshold": threshold.score, "fpir": threshold.fpir}
    return all(noted.get(name) == value for name, value in now.items())


def measured(gallery: Store) -> tuple[MeasuredFigure, ...]:
    """What the shipped encoder's card tells of this very gallery as it is now, at its own threshold; nothing
    of any other gallery, split or way to score.
    """
    if not CARD.is_file():
        return ()
    card = read_json(CARD)
    if not isinstance(card, dict) or card.get("encoder_id") != gallery.encoder_id:
        return ()
    shipped = card.get("gallery", {})
    if not is_of(shipped.get("own"), gallery):
        return ()
    return tuple(
        MeasuredFigure(
            figure["split"], figure["name"], *(figure["rate"][key] for key in ("value", "low", "high"))
        )
        for figure in shipped["measured"]
    )
