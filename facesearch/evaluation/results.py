"""What an evaluation gives: figures with intervals, curves, errors; and its sections."""

from __future__ import annotations

from dataclasses import dataclass, field

from facesearch.evaluation.pairs import PairsResult
from facesearch.metrics.bootstrap import Rate
from facesearch.metrics.people import Confusion, PersonRate, Resemblance
from facesearch.records import F32, F64, U8, ScoredBy

FPIRS = (0.1, 0.03, 0.01, 0.003)


FPRS = (0.5, 0.2, 0.1, 0.05, 0.01, 0.001)


WORST_ERRORS = 12


CLOSED, OPEN, OWN, IDENTIFICATION, PAIRS = (
    "closed set",
    "open set 1:N",
    "the gallery at its own threshold",
    "identification rate (pairs)",
    "pairs, LFW protocol",
)


SECTIONS = {"closed": CLOSED, "open": OPEN, "gallery": OWN, "ir": IDENTIFICATION, "pairs": PAIRS}


NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. threshold: the score at which a rate was read, where there is one; note: what to
    know of it.
    """

    section: str
    name: str
    rate: Rate
    threshold: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class WorstError:
    """A photo whose best candidate is somebody else. kind: 'wrong name' (closed set) or 'stranger' (open
    set).

    photo, nearest: their files as the datasets name them; own_score: of the true person's nearest photo, None
    for a stranger. crops (2, 112, 112, 3) uint8, photo and nearest, only where they were asked for: then the
    result holds photos.
    """

    kind: str
    person: str
    taken_for: str
    score: float
    own_score: float | None
    photo: str
    nearest: str
    crops: U8 | None = None


@dataclass(frozen=True, slots=True)
class OwnGallery:
    """Which gallery was measured at its own threshold: its size, way to score, threshold and the rate that
    was promised; generation and mark are of its state then.
    """

    faces: int
    people: int
    by: ScoredBy
    threshold: float
    fpir: float
    generation: int
    mark: str


@dataclass
class Evaluation:
    """figures in reading order; curves (x, y) for the plots; histograms: scores by kind; skipped: rows that
    lack data.

    people worst first; confusions most frequent first; strangers by the highest score; errors: the highest
    wrong scores.
    """

    encoder: str
    encoder_id: str
    split: str
    figures: list[Figure] = field(default_factory=list)
    cmc: F64 | None = None
    cmc_template: F64 | None = None
    roc: tuple[F64, F64] | None = None
    det: tuple[F64, F64] | None = None
    det_template: tuple[F64, F64] | None = None
    det_own: tuple[F64, F64] | None = None
    own: OwnGallery | None = None
    histograms: dict[str, F32] = field(default_factory=dict)
    people: list[PersonRate] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    strangers: list[Resemblance] = field(default_factory=list)
    errors: list[WorstError] = field(default_factory=list)
    pairs: PairsResult | None = None
    skipped: list[str] = field(default_factory=list)

    def add(
        self, section: str, name: str, rate: Rate, threshold: float | None = None, note: str = ""
    ) -> None:
        self.figures.append(Figure(section, name, rate, threshold, note))
