"""Find errors in labelled photos: a prepared dataset, or a gallery alone. Lists of findings, each with its
evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facesearch.datasets.compare import aligned_correlation, correlations, crop_facts
from facesearch.datasets.table import Crops, Dataset
from facesearch.errors import NothingToDo
from facesearch.gallery.store.store import Store
from facesearch.metrics.audit import (
    Fit,
    Levels,
    SamePerson,
    TwoClusters,
    WrongName,
    fit,
    levels,
    same_people,
    suspects,
    trusted,
    two_clusters,
    wrong_names,
)
from facesearch.metrics.copies import (
    BadCrop,
    CropFacts,
    Neighbours,
    bad_crops,
    copy_floor,
    groups_of,
    neighbours,
    same_content,
)
from facesearch.metrics.verification import pair_cosines
from facesearch.records import F32, I64, U8, Progress

COPY = 0.975
"""Correlation of pixels, best aligned, from which two crops are one picture: recompressed, resized, relit or
mirrored copies lie above, other photos of the same moment below (looked at by eye on CelebA-500). It is a
property of pictures, not of an encoder."""
MAYBE_COPY = 0.85
"""Pairs less alike than this before they are aligned are not looked at closely."""
CLOSE_AT_ONCE = 2048


@dataclass(frozen=True)
class Labelled:
    """What is audited, one entry a photo. vectors (n, d) unit rows float32; crops (n, h, w, 3) uint8, or None
    for a gallery.
    """

    where: str
    files: tuple[str, ...]
    people: NDArray[np.str_]
    splits: NDArray[np.str_]
    sha256: NDArray[np.str_]
    vectors: F32
    crops: Crops | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True, slots=True)
class Copy:
    """Two photos that are one picture. kind: same file, same picture, mirrored, or same vector (no pixels to
    tell by).

    correlation: of the aligned pixels, nan where they were not compared. cosine: of the vectors.
    """

    a: int
    b: int
    kind: str
    correlation: float
    cosine: float


@dataclass(frozen=True)
class Audit:
    """Lists of findings, ranked; numbers in them are rows of `data`, codes of people are places in `names`.

    unjudged: photos without another one of their person; nameless: photos that name nobody.
    """

    data: Labelled
    names: NDArray[np.str_]
    wrong: tuple[WrongName, ...]
    same: tuple[SamePerson, ...]
    clusters: tuple[TwoClusters, ...]
    copies: tuple[Copy, ...]
    crops: tuple[BadCrop, ...] | None
    unjudged: int
    nameless: int


def labelled_dataset(dataset: Dataset, vectors: F32) -> Labelled:
    """A prepared dataset with the vectors (n, d) of all its photos."""
    files = tuple(row.file for row in dataset.rows)
    return Labelled(
        str(dataset.folder), files, dataset.people, dataset.splits, dataset.sha256, vectors, dataset.crops
    )


def labelled_gallery(gallery: Store) -> Labelled:
    """All faces of a gallery: no crops, no splits."""
    faces, vectors = gallery.faces.enrolled()
    files = tuple(face.source for face in faces)
    people, sha256 = (
        np.array(words, np.str_)
        for words in ([face.person for face in faces], [face.sha256 for face in faces])
    )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)  # float16 on disk
    return Labelled(
        str(gallery.folder), files, people, np.full(len(faces), "", np.str_), sha256, vectors / lengths
    )


def audit(data: Labelled, progress: Progress) -> Audit:
    """Find wrong names, doubled people, mixed people, copies and unusable crops. Raises NothingToDo with
    fewer than two photos.

    Copies come first, since a copy is no witness for its own label; then suspects are set aside, people
    compared without them, and every photo judged again by the better templates. Photos that name nobody, and
    crops spoilt by their pixels, take part in the lists of copies and crops only.
    """
    if len(data) < 2:
        raise NothingToDo(data.where, f"{len(data)} photos: an audit compares photos with each other")
    named = np.flatnonzero(data.people != "")
    usual = Levels(1.0, 1.0, -1.0, float("nan"), -1.0)
    if len(named):
        usual = levels(data.vectors[named], np.unique(data.people[named], return_inverse=True)[1])
    floor = usual.mates if np.isfinite(usual.mates) else usual.stranger_999
    close = neighbours(data.vectors, floor)
    if data.crops is None:
        copies, bad = _copies_by_vector(data, close), None
    else:
        facts, small = crop_facts(data.crops, progress)
        copies = _copies_by_pixels(data, data.crops, small, close, progress)
        bad = tuple(bad_crops(CropFacts(facts[:, 0], facts[:, 1], facts[:, 2]), close.nearest, usual.lonely))
    nameless = len(data) - len(named)
    spoilt = np.array([crop.row for crop in bad or () if crop.spoilt], np.int64)
    named = np.setdiff1d(named, spoilt)
    names, codes = np.unique(data.people[named], return_inverse=True)
    if not len(named):
        return Audit(data, names, (), (), (), tuple(copies), bad, 0, nameless)
    vectors = data.vectors[named]
    a, b = np.array([c.a for c in copies], np.int64), np.array([c.b for c in copies], np.int64)
    groups = groups_of(a, b, len(data))[named]
    fitted, same = judged(vectors, codes, groups, data.splits[named])
    wrong = wrong_names(vectors, codes, fitted, suspects(fitted, data.splits[named]))
    clusters = two_clusters(vectors, codes, groups, usual)
    return Audit(
        data,
        names,
        tuple(_wrong_in(item, named) for item in wrong),
        tuple(_same_in(item, named) for item in same),
        tuple(_clusters_in(item, named) for item in clusters),
        tuple(copies),
        bad,
        int(np.isnan(fitted.own).sum()),
        nameless,
    )


def judged(vectors: F32, codes: I64, groups: I64, parts: NDArray[np.generic]) -> tuple[Fit, list[SamePerson]]:
    """Judge every photo twice: by all, then by those not suspected, with people who are one taken as one."""
    everybody = np.ones(len(vectors), np.bool_)
    first = fit(vectors, codes, groups, everybody)
    same = same_people(vectors, codes, first.own, everybody)
    pairs = [(pair.a, pair.b) for pair in same]
    one = np.isin(
        codes * (int(codes.max()) + 1) + first.who,
        [a * (int(codes.max()) + 1) + b for x, y in pairs for a, b in ((x, y), (y, x))],
    )
    use = trusted(
        suspects(first, parts) & ~one, codes
    )  # a photo closer to the same person's other name is under no wrong one
    return fit(vectors, codes, groups, use, pairs), same


def _same_files(data: Labelled, correlation: float) -> list[Copy]:
    first, later = same_content(data.sha256)
    exact = np.clip(pair_cosines(data.vectors, first, later), -1, 1)
    return [
        Copy(int(first[i]), int(later[i]), "same file", correlation, float(exact[i]))
        for i in range(len(first))
    ]


def _copies_by_vector(data: Labelled, close: Neighbours) -> list[Copy]:
    found = _same_files(data, float("nan"))
    mates = data.people[close.a] == data.people[close.b]
    distinct = mates & (data.sha256[close.a] != data.sha256[close.b])
    nearest_own = np.full(len(data), np.nan, np.float32)
    for rows in (close.a[distinct], close.b[distinct]):
        np.fmax.at(nearest_own, rows, close.cosine[distinct])
    floor = copy_floor(nearest_own)
    near = np.flatnonzero((close.cosine >= floor) & (data.sha256[close.a] != data.sha256[close.b]))
    found += [
        Copy(int(close.a[i]), int(close.b[i]), "same vector", float("nan"), min(1.0, float(close.cosine[i])))
        for i in near
    ]
    return _ranked(found)


def _copies_by_pixels(
    data: Labelled, crops: Crops, small: U8, close: Neighbours, progress: Progress
) -> list[Copy]:
    found = _same_files(data, 1.0)
    likely: list[tuple[int, int, bool, float]] = []
    for start in range(0, len(close.a), CLOSE_AT_ONCE):
        a, b, cosine = (column[start : start + CLOSE_AT_ONCE] for column in (close.a, close.b, close.cosine))
        straight, mirrored = correlations(small[a], small[b]), correlations(small[a], small[b][:, :, ::-1])
        worth = np.flatnonzero(
            (np.maximum(straight, mirrored) >= MAYBE_COPY) & (data.sha256[a] != data.sha256[b])
        )
        likely += [
            (int(a[i]), int(b[i]), bool(mirrored[i] > straight[i]), min(1.0, float(cosine[i]))) for i in worth
        ]
    progress(0, len(likely))
    for number, (one, two, flipped, score) in enumerate(likely, 1):
        value = aligned_correlation(crops[one], crops[two][:, ::-1] if flipped else crops[two])
        if value >= COPY:
            found.append(Copy(one, two, "mirrored" if flipped else "same picture", value, score))
        if number % 256 == 0 or number == len(likely):
            progress(number, len(likely))
    return _ranked(found)


def _ranked(found: list[Copy]) -> list[Copy]:
    """Same files first, then by pixels, then by vectors."""
    return sorted(
        found, key=lambda c: (c.kind != "same file", -np.nan_to_num(c.correlation), -c.cosine, c.a, c.b)
    )


def _wrong_in(item: WrongName, named: I64) -> WrongName:
    """The same finding with rows of all photos instead of the named ones."""

    def rows(nearest: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
        return tuple((int(named[row]), score) for row, score in nearest)

    return WrongName(
        int(named[item.row]),
        item.own,
        item.other,
        item.who,
        item.stranger_share,
        rows(item.nearest_own),
        rows(item.nearest_other),
    )


def _same_in(item: SamePerson, named: I64) -> SamePerson:
    nearest = tuple((int(named[i]), int(named[j]), score) for i, j, score in item.nearest)
    return SamePerson(item.a, item.b, item.score, item.fitting, item.halves, nearest)


def _clusters_in(item: TwoClusters, named: I64) -> TwoClusters:
    large, small = (tuple(int(named[row]) for row in rows) for rows in (item.large, item.small))
    return TwoClusters(item.person, large, small, item.between, item.within, item.stranger_share)
