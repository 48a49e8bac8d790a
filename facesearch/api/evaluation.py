"""How good an encoder and its answers are: retrieval, strangers, pairs; and whether labels are right."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from facesearch.api.gallery import Gallery
from facesearch.api.how import quiet
from facesearch.api.photos import DetectorLike
from facesearch.gallery.calibration import DEFAULT_FPIR
from facesearch.records import F32, I64, Progress

if TYPE_CHECKING:
    from facesearch.datasets.table import Dataset
    from facesearch.evaluation.audit import Audit
    from facesearch.evaluation.results import Evaluation as Evaluation

SECTIONS = ("closed", "open", "gallery", "ir", "pairs")
"""The parts of an evaluation: a closed set, strangers, the gallery at its own threshold, the
identification-rate pairs, LFW's pairs."""


def evaluate(
    gallery: Gallery,
    data: Dataset | None = None,
    *,
    split: str = "val",
    strangers: Dataset | None = None,
    ir: Dataset | None = None,
    pairs: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    detector: DetectorLike = None,
    sections: Collection[str] = SECTIONS,
    fpir: float | None = None,
    seed: int = 0,
    with_photos: bool = False,
    progress: Progress = quiet,
) -> Evaluation:
    """Measure the gallery's encoder: photos of `split` against train's, strangers, identification-rate pairs,
    and LFW's pairs (the list, the folder of photos). Vectors that the gallery holds are taken from it.

    detector: for the photos of pairs. What lacks its data is left out and named. with_photos: keep the crops
    of the worst errors. Raises NothingToDo when nothing could be measured.
    """
    from facesearch.api.detector import as_detector
    from facesearch.datasets.pairs import read_pairs
    from facesearch.evaluation.evaluate import evaluate as run
    from facesearch.evaluation.given import Embedder
    from facesearch.evaluation.pairs import PairTrial

    trial = None
    if pairs is not None and "pairs" in sections:
        trial = PairTrial(read_pairs(Path(pairs[0])), Path(pairs[1]), as_detector(detector).own)
    encoder = gallery.encoder
    with gallery.store() as store:
        return run(
            data,
            strangers,
            ir,
            Embedder(encoder.runtime, _known(gallery), progress),
            split=split,
            weights=encoder.file,
            seed=seed,
            fpir=fpir or DEFAULT_FPIR,
            pairs=trial,
            with_photos=with_photos,
            sections=sections,
            gallery=store,
        )


def audit_gallery(gallery: Gallery, progress: Progress = quiet) -> Audit:
    """What is probably wrong in a gallery's labels, by its vectors. Raises NothingToDo, NoGallery."""
    from facesearch.evaluation.audit import audit, labelled_gallery

    with gallery.opened() as store:
        labelled = labelled_gallery(store)
    return audit(labelled, progress)


def audit_dataset(
    gallery: Gallery, data: Dataset, on_embed: Progress = quiet, progress: Progress = quiet
) -> Audit:
    """The same of a prepared dataset, embedded by the gallery's encoder. Raises NothingToDo."""
    from facesearch.evaluation.audit import audit, labelled_dataset

    return audit(labelled_dataset(data, _vectors(gallery, data, on_embed)), progress)


def _vectors(gallery: Gallery, data: Dataset, progress: Progress) -> F32:
    import numpy as np

    from facesearch.encoder.dataset_vectors import dataset_vectors

    rows: I64 = np.arange(len(data))
    return dataset_vectors(data, rows, gallery.encoder.runtime, _known(gallery), progress)


def _known(gallery: Gallery) -> dict[str, F32]:
    from facesearch.gallery.known_vectors import known_vectors

    return known_vectors(gallery.folder, gallery.encoder.id, key=gallery.key)
