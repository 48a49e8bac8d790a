"""What follows a change of a gallery: a threshold that fits its size, and an index that is up to date."""

from __future__ import annotations

import numpy as np

from facesearch.gallery.calibration import DEFAULT_FPIR, from_impostors, is_stale, within_gallery
from facesearch.gallery.index.faiss_index import count_faces, refresh, update
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store


def tidy(gallery: Store, notes: dict[str, object], fpir: float | None, *, rewrite: bool = False) -> None:
    """After changes: set the threshold again when the size has changed; with rewrite, the index too when it
    has fallen behind.

    Without rewrite the index file is not even looked at, so that enrolling one face does not cost reading all
    of them. fpir None keeps the rate that the gallery's threshold was set for.
    """
    if gallery.faces.is_empty():
        refresh(gallery, "the gallery is empty")
        return
    if rewrite:
        update(gallery)
    threshold = gallery.notes.threshold()
    rate = fpir or (threshold.fpir if threshold else DEFAULT_FPIR)
    if threshold is not None and threshold.on_strangers:
        return  # better than anything that can be had here; those who ask are told when it has become stale
    if is_stale(threshold, count_faces(gallery)) or (threshold is not None and threshold.fpir != rate):
        fresh = calibrated(gallery, notes, rate)
        if fresh is not None:
            gallery.notes.set_threshold(fresh)


def calibrated(gallery: Store, notes: dict[str, object], fpir: float) -> Threshold | None:
    """The best threshold that can be had without strangers' photos; None when there is nothing to take it
    from.
    """
    _, vectors, people = gallery.faces.vectors()
    within = within_gallery(vectors, np.array(people), fpir, by=gallery.notes.scored_by)
    if within is not None:
        return within
    table = notes.get("impostors")
    return (
        from_impostors(table, len(vectors), fpir, by=gallery.notes.scored_by)
        if isinstance(table, list)
        else None
    )
