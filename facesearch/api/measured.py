"""How far an open gallery's answers can be trusted: its threshold with the shares of strangers along scores,
and what `facesearch evaluate` or the encoder's card measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facesearch.answers import ThresholdInfo
from facesearch.api.gallery import Gallery
from facesearch.errors import CannotRead
from facesearch.files import read_json
from facesearch.gallery.calibration import is_stale
from facesearch.gallery.describe import CARD, is_of, threshold_info
from facesearch.gallery.store.store import Store
from facesearch.records import DEFAULT_WAY, ScoredBy

DATA, PAGE = "evaluation.json", "index.html"
CARD_SPLIT = "val"
NEWCOMERS = "open"
"""Whose people the gallery's DET curve is of: beside the gallery, and strangers."""
OWN, TEMPLATE = "the gallery at its own threshold", " by mean template"
DIFFERENCE = "less best photo"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the strangers' curve.

    Attributes:
        score: A cosine.
        share: The share of strangers' searches with a candidate at or above it.
    """

    score: float
    share: float


@dataclass(frozen=True, slots=True)
class DetPoint:
    """A point of the DET curve.

    Attributes:
        fpir: The share of strangers' searches that get a name.
        fnir: The share of enrolled people's searches that are missed then.
    """

    fpir: float
    fnir: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far a gallery's answers can be trusted.

    Attributes:
        threshold: The threshold in use; None where there is none.
        stale: The gallery has outgrown it.
        faces: Faces enrolled now.
        growth: Faces enrolled now to those when the threshold was set, by which shares grow.
        curve: The shares of strangers along scores.
        det: What is missed at which rate, where this gallery was measured as it is now.
        det_split: The split whose people were asked about for that.
    """

    threshold: ThresholdInfo | None
    stale: bool
    faces: int
    growth: float
    curve: tuple[CurvePoint, ...]
    det: tuple[DetPoint, ...]
    det_split: str | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that was measured, with its 95 % interval.

    Attributes:
        section: The part of the evaluation it belongs to.
        name: Its name.
        value: The figure; None where it could not be measured.
        low: Lower end of the interval.
        high: Upper end of the interval.
        trials: How many searches or pairs it was measured with.
        threshold: The score it was measured at; None where there is none.
        note: What else should be known.
        meaning: What it is, in plain words.
    """

    section: str
    name: str
    value: float | None
    low: float | None
    high: float | None
    trials: int
    threshold: float | None
    note: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured of the encoder that answers here.

    Attributes:
        source: "report": the report that `facesearch evaluate` wrote. "card": the card that came with the
            encoder.
        encoder: The encoder in words.
        split: The part of the data it was measured on.
        same_encoder: It is about the encoder that answers here.
        page: The whole report can be seen at /report.
        figures: The figures.
        left_out: What could not be measured, with the reason.
    """

    source: Literal["report", "card"]
    encoder: str
    split: str
    same_encoder: bool
    page: bool
    figures: tuple[Figure, ...]
    left_out: tuple[str, ...]


def calibration(gallery: Gallery, report: Path) -> Calibration:
    """The threshold in use, the shares of strangers along scores, and the misses along those shares.

    Args:
        gallery: The gallery.
        report: The folder that evaluate wrote.

    Raises:
        CannotRead: The report cannot be read.
        CorruptGallery: The gallery is damaged.
    """
    with gallery.store() as store:
        threshold, faces = (None, 0) if store is None else (store.notes.threshold(), len(store))
        det, split = _det(report, gallery.encoder.id, store)
    return Calibration(
        threshold=threshold_info(threshold),
        stale=threshold is not None and is_stale(threshold, faces),
        faces=faces,
        growth=faces / threshold.faces if threshold and threshold.faces else 1.0,
        curve=tuple(CurvePoint(score, share) for score, share in (threshold.curve if threshold else ())),
        det=det,
        det_split=split,
    )


def evaluation(gallery: Gallery, report: Path, meaning: Callable[[str], str]) -> Evaluation | None:
    """The figures of a report, or of the encoder's card where there is no report about this encoder.

    Of two ways to score only the gallery's own is told, and of a gallery at its own threshold only this very
    one as it is now.

    Args:
        gallery: The gallery.
        report: The folder that evaluate wrote.
        meaning: Says in words what a figure of a name is.

    Returns:
        The figures; None where nothing was measured.

    Raises:
        CannotRead: The report cannot be read.
        CorruptGallery: The gallery is damaged.
    """
    encoder_id = gallery.encoder.id
    with gallery.store() as store:
        data = _report(report)
        by: ScoredBy = DEFAULT_WAY if store is None else store.notes.scored_by
        if data is not None and data["encoder_id"] == encoder_id:
            same = store is not None and is_of(data.get("gallery"), store)
            told = [entry for entry in _by(data["figures"], by) if same or entry["section"] != OWN]
            return Evaluation(
                source="report",
                encoder=str(data["encoder"]),
                split=str(data["split"]),
                same_encoder=True,
                page=(report / PAGE).is_file(),
                figures=tuple(_figure(entry, meaning) for entry in told),
                left_out=tuple(map(str, data["left_out"])),
            )
    entries = _card(encoder_id)
    if entries is None:
        return None
    return Evaluation(
        source="card",
        encoder=encoder_id[:12],
        split=CARD_SPLIT,
        same_encoder=True,
        page=False,
        figures=tuple(_figure(entry, meaning) for entry in _by(entries, by)),
        left_out=(),
    )


def _by(entries: list[dict[str, Any]], by: ScoredBy) -> list[dict[str, Any]]:
    """Those of one way to score: of a figure that is there by both ways the other one is left out, and so is
    their difference.
    """
    names = (str(entry["name"]) for entry in entries)
    also = {name.replace(TEMPLATE, "") for name in names if TEMPLATE in name}

    def belongs(name: str) -> bool:
        if DIFFERENCE in name:
            return False
        if TEMPLATE in name:
            return by == "mean-template"
        return by == "best-photo" or name not in also

    return [entry for entry in entries if belongs(str(entry["name"]))]


def _det(report: Path, encoder_id: str, store: Store | None) -> tuple[tuple[DetPoint, ...], str | None]:
    """FPIR and FNIR of this very gallery as it is now, rising by FPIR; none where nobody measured it."""
    data = _report(report)
    if data is None or store is None or data["encoder_id"] != encoder_id:
        return (), None
    curve = data["curves"].get("det_gallery")
    if not curve or not is_of(data.get("gallery"), store):
        return (), None
    pairs = sorted(zip(curve["fpir"], curve["fnir"], strict=True), key=lambda pair: (pair[0], -pair[1]))
    return tuple(DetPoint(x, y) for x, y in pairs), NEWCOMERS


def _report(folder: Path) -> dict[str, Any] | None:
    path = folder / DATA
    if not path.is_file():
        return None
    data = read_json(path)
    wanted = {"figures", "encoder", "encoder_id", "split", "left_out", "curves"}
    if not isinstance(data, dict) or not wanted <= data.keys():
        raise CannotRead(path, "it is no evaluation of facesearch")
    return data


def _card(encoder_id: str) -> list[dict[str, Any]] | None:
    if not CARD.is_file():
        return None
    card = read_json(CARD)
    if not isinstance(card, dict) or card.get("encoder_id") != encoder_id:
        return None
    figures: list[dict[str, Any]] = card["metrics"]["shipped"][CARD_SPLIT]
    return figures


def _figure(entry: dict[str, Any], meaning: Callable[[str], str]) -> Figure:
    rate, name = entry["rate"], entry["name"]
    return Figure(
        section=entry["section"],
        name=name,
        value=rate["value"],
        low=rate["low"],
        high=rate["high"],
        trials=rate["trials"],
        threshold=entry["threshold"],
        note=entry["note"],
        meaning=meaning(name),
    )
