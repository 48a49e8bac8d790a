"""The photos of a list of pairs to vectors, and the pairs to figures. Nothing is kept: the vectors live as
long as the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facesearch.datasets.pairs import PairList
from facesearch.encoder.runtime import Runtime
from facesearch.encoder.stream import Cropped, detected, embedded, faces_of
from facesearch.errors import NotFound, NothingToDo
from facesearch.faces.cutting import NO_FACE
from facesearch.faces.detect import Detector
from facesearch.faces.photos import read_photo
from facesearch.metrics.pairs import FoldedPairs, PairsMeasured, measure_pairs
from facesearch.metrics.verification import pair_cosines
from facesearch.records import F32, U8, Bools, Progress, Skipped

FARS = (0.01, 0.001)


@dataclass(frozen=True)
class PairTrial:
    """What to measure: a list, the folder its photos lie in, and what finds faces (None: they are aligned
    crops).
    """

    pairs: PairList
    photos: Path
    detector: Detector | None


@dataclass(frozen=True)
class PairsResult:
    """scores (p,) float32 and is_same (p,) of the pairs that were scored; photos, people: how many are in
    those; left_out: photos that could not be used, pairs_left_out: the number of pairs lost with them."""

    measured: PairsMeasured
    scores: F32
    is_same: Bools
    photos: int
    people: int
    left_out: tuple[Skipped, ...]
    pairs_left_out: int


def run_pairs(trial: PairTrial, runtime: Runtime, progress: Progress, *, seed: int) -> PairsResult:
    """Embed every photo once and measure. A pair with a photo that cannot be used is left out and counted.

    Raises NotFound when the folder is not there, NothingToDo when a fold lacks pairs of one kind then.
    """
    if not trial.photos.is_dir():
        raise NotFound(
            trial.photos,
            "folder of photos",
            "Pass the folder that holds one folder a person: --pairs-photos DIR",
        )
    pairs = trial.pairs
    vectors = np.zeros((len(pairs.photos), runtime.dimension), np.float32)
    usable = np.zeros(len(pairs.photos), bool)
    left: list[Skipped] = []

    def faces() -> Iterator[tuple[int, list[U8]]]:
        progress(0, len(pairs.photos))
        paths = (photo.find(trial.photos) for photo in pairs.photos)
        for number, found in enumerate(detected(_central_face, paths, trial.detector)):
            if isinstance(found, Skipped):
                left.append(found)
            else:
                yield number, [found.crop]
            progress(number + 1, len(pairs.photos))

    for number, own, _ in embedded(faces(), runtime):
        vectors[number], usable[number] = own[0], True
    kept = usable[pairs.first] & usable[pairs.second]
    first, second = pairs.first[kept], pairs.second[kept]
    scores = pair_cosines(vectors, first, second)
    names = np.array([photo.person for photo in pairs.photos])
    people, codes = np.unique(np.stack([names[first], names[second]]), return_inverse=True)
    codes = codes.reshape(2, -1)
    folded = FoldedPairs(scores, pairs.same[kept], pairs.fold[kept], codes[0], codes[1])
    if not all(len(np.unique(folded.same[folded.fold == fold])) == 2 for fold in range(pairs.folds)):
        why = (
            f"{len(left)} of {len(pairs.photos)} photos could not be used, and a fold lacks pairs of one kind"
            " then"
        )
        raise NothingToDo(str(trial.photos), why, f"The first: {left[0]}" if left else "")
    measured = measure_pairs(folded, FARS, seed=seed)
    return PairsResult(
        measured, scores, folded.same, int(usable.sum()), len(people), tuple(left), int((~kept).sum())
    )


def _central_face(path: Path, detector: Detector | None) -> Cropped | Skipped:
    """One face a photo: of those whose box holds the middle of the picture, which is LFW's rule, the largest;
    else the largest.
    """
    if not path.is_file():
        return Skipped(path, "listed, but the file is not there")
    photo = read_photo(path)
    if isinstance(photo, Skipped):
        return photo
    faces, refused = faces_of(photo, detector)
    if not faces:
        return Skipped(path, refused or NO_FACE)
    w, h = photo.size
    return next((face for face in faces if _holds(face.box, w / 2, h / 2)), faces[0])


def _holds(box: tuple[float, float, float, float], x: float, y: float) -> bool:
    left, top, width, height = box
    return left <= x <= left + width and top <= y <= top + height
