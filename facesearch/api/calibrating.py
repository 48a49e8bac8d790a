"""How an open gallery's threshold is set: searches by strangers, or by its own people, then one write."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from facesearch.answers import Calibrated, Hub, OwnSearches, SkippedPhoto
from facesearch.errors import ReplacesBetter
from facesearch.gallery import calibrate as job
from facesearch.gallery.describe import threshold_info
from facesearch.gallery.hubs import hubs
from facesearch.gallery.own_searches import own_searches
from facesearch.records import Progress, ScoredBy, Skipped

if TYPE_CHECKING:
    from facesearch.api.gallery import Gallery


def calibrated(
    gallery: Gallery,
    strangers: Path | None,
    fpir: float,
    by: ScoredBy | None,
    largest: bool,
    split: str,
    seed: int,
    keep_better: bool,
    progress: Progress,
    writing: Callable[[], AbstractContextManager[None]],
) -> Calibrated:
    """Set the gallery's threshold; see Gallery.calibrate, whose arguments these are, and what it raises.

    Args:
        gallery: Whose threshold is set.
        writing: Holds the gallery for one writer. The strangers' photos are looked at before it is held.
    """
    left_out: tuple[Skipped, ...] = ()
    drawing: tuple[Hub, ...] = ()
    own: OwnSearches | None = None
    with gallery.opened() as store:
        found = None
        if strangers is not None:
            store.require_encoder(gallery.encoder.id)
            found = job.find_strangers(
                strangers,
                split,
                store,
                gallery.encoder.runtime,
                gallery.detector.own,
                largest=largest,
                progress=progress,
            )
            left_out = found.left_out
        with writing():
            stored = store.notes.threshold()
            if found is None and keep_better and stored is not None and stored.on_strangers:
                raise ReplacesBetter(gallery.folder)
            if found is None:
                threshold = job.calibrate_within(store, fpir, seed=seed, by=by)
            else:
                threshold = job.calibrate(store, found, fpir, seed=seed, by=by, progress=progress)
        if found is not None:
            notes = gallery.encoder.runtime.notes
            drawing = hubs(store, found.vectors, threshold, notes)
            own = own_searches(store, threshold, notes, seed=seed)
    info = threshold_info(threshold)
    assert info is not None
    return Calibrated(info, tuple(map(SkippedPhoto.of, left_out)), drawing, own)
