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
    """Measure the gallery's encoder, and the gallery. What lacks its data is left out and named in the
    result.

    Args:
        gallery: The gallery. Vectors that it holds are taken from it.
        data: The prepared dataset of a closed set: photos of `split` are searched among those of train.
        split: The split that is asked about.
        strangers: A prepared dataset of people who are not enrolled.
        ir: A prepared dataset for the identification rate over pairs.
        pairs: LFW's list of pairs, and the folder of its photos.
        detector: For the photos of pairs, see open_gallery.
        sections: The parts to measure, of SECTIONS.
        fpir: The rate that a gallery's threshold is looked at with; None for the usual one.
        seed: Of the bootstrap.
        with_photos: Keep the crops of the worst errors.
        progress: Called with (done, total) while photos are embedded.

    Raises:
        NothingToDo: Nothing could be measured.
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
    """What is probably wrong in a gallery's labels, by its vectors.

    Raises:
        NothingToDo: There are too few photos.
        NoGallery: There is no gallery.
    """
    from facesearch.evaluation.audit import audit, labelled_gallery

    with gallery.opened() as store:
        labelled = labelled_gallery(store)
    return audit(labelled, progress)


def audit_dataset(
    gallery: Gallery, data: Dataset, on_embed: Progress = quiet, progress: Progress = quiet
) -> Audit:
    """What is probably wrong in a prepared dataset's labels, by vectors of the gallery's encoder.

    Raises:
        NothingToDo: There are too few photos.
    """
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
