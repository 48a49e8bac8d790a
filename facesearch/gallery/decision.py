"""Who a face is: the nearest people of a gallery, and whether the nearest is believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from facesearch.answers import AMBIGUOUS_GAP, SAME_PICTURE, Decision, FaceAnswer
from facesearch.encoder.stream import Cropped
from facesearch.gallery.calibration import is_stale
from facesearch.gallery.nearest import Among, Nearest, nearest_people
from facesearch.gallery.store.rows import Threshold, way_of
from facesearch.gallery.store.store import Store
from facesearch.records import F32, Bound, Match, ScoredBy

COMPARED = 5
"""So many people are looked at for the picture under another name, however few are asked for."""


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """By what the answers of one go are decided, read once: counting a large gallery takes longer than
    searching it.

    stored: the gallery's own threshold; limit: the score that decides; fpir: what is to be expected of it,
    about or as a bound; faces enrolled; by: what the scores are; stale: the gallery has outgrown the
    threshold, which decides.
    """

    stored: Threshold | None
    limit: float | None
    fpir: float | None
    fpir_is: Bound
    faces: int
    by: ScoredBy
    stale: bool

    @classmethod
    def of(cls, gallery: Store, threshold: float | None, faces: int) -> Self:
        """threshold decides instead of the gallery's own; faces: how many are searched, as the index
        knows without counting.
        """
        stored = gallery.notes.threshold()
        limit = threshold if threshold is not None else stored.score if stored else None
        fpir = None if stored is None or limit is None else stored.expected_fpir(limit, faces)
        stale = stored is not None and threshold is None and is_stale(stored, faces)
        fpir_is: Bound = "about"
        if stored is not None and limit is not None and limit != stored.score:
            fpir_is = stored.bound(limit, faces)
        return cls(stored, limit, fpir, fpir_is, faces, way_of(stored), stale)


def decide(
    face: Cropped,
    vector: F32,
    gallery: Store,
    index: Nearest,
    rule: DecisionRule,
    top: int,
    among: Among | None = None,
) -> FaceAnswer:
    """Who is nearest to a face with this unit vector (d,), of all or of these people, and whether that is a
    match.

    Raises CorruptGallery.
    """
    matches = nearest_people(gallery, index, vector, max(top, COMPARED), among, rule.by)
    gap = matches[0].score - matches[1].score if len(matches) > 1 else None
    risk = (
        None if rule.stored is None or not matches else rule.stored.share_above(matches[0].score, rule.faces)
    )
    risk_is: Bound = "about"
    if rule.stored is not None and matches:
        risk_is = rule.stored.bound(matches[0].score, rule.faces)
    decision, other = _decision(matches, rule.limit)
    return FaceAnswer(
        face.number,
        face.of,
        face.box,
        decision,
        matches[:top],
        gap,
        rule.limit,
        rule.fpir,
        risk,
        rule.by,
        rule.fpir_is,
        risk_is,
        ambiguous_with=other,
    )


def undecided(face: Cropped) -> FaceAnswer:
    """The answer while nobody is enrolled."""
    return FaceAnswer(face.number, face.of, face.box, "undecided", ())


def _decision(matches: Sequence[Match], limit: float | None) -> tuple[Decision, str | None]:
    """What is believed, and who else it may be. matches: best first."""
    if limit is None or not matches:
        return "undecided", None
    first, *others = matches
    if first.score < limit:
        return "unknown", None
    for other in others:
        if _has_the_same_picture(first, other):
            return "ambiguous", other.person
    if others and first.score - others[0].score < AMBIGUOUS_GAP:
        return "ambiguous", others[0].person
    return "match", None


def _has_the_same_picture(first: Match, other: Match) -> bool:
    """Whether the picture that was asked about is enrolled under both names."""
    a, b = first.support[0].score, other.support[0].score
    return min(a, b) >= SAME_PICTURE and abs(a - b) < AMBIGUOUS_GAP
