"""Measure an encoder as PROTOCOL says: closed set, open set 1:N, identification rate, pairs. A result of rates and curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facesearch.errors import NothingToDo
from facesearch.faces.table import Dataset
from facesearch.gallery.calibration import within_gallery
from facesearch.jobs.pairs import PairsResult, PairTrial, run_pairs
from facesearch.jobs.run_folder import CLASSIFIER
from facesearch.jobs.vectors import dataset_vectors
from facesearch.metrics.bootstrap import Rate, enough_trials, interval, mean_over_people
from facesearch.metrics.openset import Searches, best_candidates, det_curve, fnir_difference, mean_templates, open_set_point
from facesearch.metrics.pairs import curve_replicates
from facesearch.metrics.people import Confusion, PersonRate, Resemblance, confusions, per_person, resemblances, worst_share
from facesearch.metrics.retrieval import RANKS, ClosedSet, closed_set
from facesearch.metrics.verification import Curve, identification_pairs
from facesearch.model.runtime import Runtime
from facesearch.records import F32, F64, I64, U8, Bools, Progress

FPIRS = (0.1, 0.03, 0.01, 0.003)
FPRS = (0.5, 0.2, 0.1, 0.05, 0.01, 0.001)
ENROLLED_STRANGERS = 50
PAIR_REPLICATES = 200
WORST_ERRORS = 12
CLOSED, OPEN, IDENTIFICATION, PAIRS = "closed set", "open set 1:N", "identification rate (pairs)", "pairs, LFW protocol"
SECTIONS = {"closed": CLOSED, "open": OPEN, "ir": IDENTIFICATION, "pairs": PAIRS}
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. threshold: the score at which a rate was read, where there is one; note: what to know of it."""

    section: str
    name: str
    rate: Rate
    threshold: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class WorstError:
    """A photo whose best candidate is somebody else. kind: 'wrong name' (closed set) or 'stranger' (open set).

    photo, nearest: their files as the datasets name them; own_score: of the true person's nearest photo, None for a
    stranger. crops (2, 112, 112, 3) uint8, photo and nearest, only where they were asked for: then the result holds photos.
    """

    kind: str
    person: str
    taken_for: str
    score: float
    own_score: float | None
    photo: str
    nearest: str
    crops: U8 | None = None


@dataclass
class Evaluation:
    """figures in reading order; curves (x, y) for the plots; histograms: scores by kind; skipped: rows that lack data.

    people worst first; confusions most frequent first; strangers by the highest score; errors: the highest wrong scores.
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
    histograms: dict[str, F32] = field(default_factory=dict)
    people: list[PersonRate] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    strangers: list[Resemblance] = field(default_factory=list)
    errors: list[WorstError] = field(default_factory=list)
    pairs: PairsResult | None = None
    skipped: list[str] = field(default_factory=list)

    def add(self, section: str, name: str, rate: Rate, threshold: float | None = None, note: str = "") -> None:
        self.figures.append(Figure(section, name, rate, threshold, note))


@dataclass(frozen=True)
class Embedder:
    """Where vectors come from: a runtime, what a gallery of its encoder knows already, and a bar to show."""

    runtime: Runtime
    known: dict[str, F32]
    progress: Progress

    def __call__(self, dataset: Dataset, rows: I64) -> F32:
        return dataset_vectors(dataset, rows, self.runtime, self.known, self.progress)


@dataclass(frozen=True)
class _Enrolled:
    """The gallery of the closed set: its dataset, the rows that are enrolled, their vectors."""

    data: Dataset
    rows: I64
    vectors: F32

    @property
    def people(self) -> NDArray[np.str_]:
        return self.data.people[self.rows]


def evaluate(
    data: Dataset | None, extra: Dataset | None, ir: Dataset | None, embed: Embedder, *, split: str, weights: Path, seed: int, fpir: float,
    pairs: PairTrial | None = None, with_photos: bool = False, sections: Collection[str] = tuple(SECTIONS),
) -> Evaluation:  # fmt: skip
    """Measure on `split` of data against its train photos; strangers from extra's split `open`; pairs from ir; LFW's pairs.

    A part that lacks its data is left out and named in `skipped`; sections: only these keys of SECTIONS, and no word about
    the others. with_photos: the worst errors keep their crops. Raises NothingToDo when nothing at all could be measured.
    """
    result = Evaluation(embed.runtime.words, embed.runtime.encoder_id, split)
    enrolled = None
    if data is not None and not {"closed", "open"}.isdisjoint(sections):
        rows = data.where("train")
        enrolled = _Enrolled(data, rows, embed(data, rows))
    parts: dict[str, Callable[[], None]] = {
        "closed": lambda: _closed(enrolled, embed, split, weights, result, with_photos=with_photos),
        "open": lambda: _open(enrolled, extra, embed, seed, fpir, result, with_photos=with_photos),
        "ir": lambda: _identification(ir, embed, seed, result),
        "pairs": lambda: _pairs(pairs, embed, seed, result),
    }
    for key, measure in parts.items():
        if key in sections:
            try:
                measure()
            except _LeftOut as why:
                result.skipped.append(f"{SECTIONS[key]}: {why}")
    if not result.figures:
        raise NothingToDo("evaluate", "nothing can be measured", "\n".join(result.skipped))
    return result


class _LeftOut(Exception):
    """A section lacks its data; the text says what."""


def _closed(enrolled: _Enrolled | None, embed: Embedder, split: str, weights: Path, result: Evaluation, *, with_photos: bool) -> None:
    if enrolled is None:
        raise _LeftOut("no prepared dataset with the splits train and val (--data)")
    data, train, gallery = enrolled.data, enrolled.rows, enrolled.vectors
    rows = data.where(split)
    if not len(rows):
        raise _LeftOut(f"no photo in the split {split!r} of {data.folder}; it has {', '.join(np.unique(data.splits))}")
    if not len(train):
        raise _LeftOut(f"no photo in the split 'train' of {data.folder} to be found")
    probes = embed(data, rows)
    found = closed_set(probes, data.people[rows], data.sha256[rows], gallery, enrolled.people, data.sha256[train])
    if not len(found.probe):
        raise _LeftOut(f"nobody in the split {split!r} of {data.folder} has a train photo to be found")
    people = data.people[rows][found.probe]

    def add(name: str, values: F64, note: str = "", *, macro: bool = False) -> None:
        result.add(CLOSED, name, mean_over_people(values, people, macro=macro), None, note)

    right, by_template = found.within(1).astype(float), (found.template_rank <= 1).astype(float)
    size = f"{len(np.unique(enrolled.people))} people, {len(train):,} photos"
    left = f"; {found.left_out} probes left out, nobody to find" if found.left_out else ""
    add("rank-1", right, f"best photo; gallery {size}{left}")
    add("rank-5", found.within(5).astype(float))
    add("rank-10", found.within(10).astype(float))
    add("rank-1, averaged over people", right, macro=True)
    add("rank-1 by mean template", by_template)
    add("rank-1, mean template less best photo", by_template - right, "a difference; above 0 the template is better")
    add("precision@1", right, "the nearest photo: the same as rank-1 by best photo")
    add("R-precision", found.r_precision)
    add("MAP@R", found.map_at_r)
    add("MAP@R, averaged over people", found.map_at_r, macro=True)
    named, why = _named_by_classifier(weights, data, rows, embed.runtime)
    if named is None:
        result.skipped.append(f"classifier top-1: {why}")
    else:
        result.add(CLOSED, "classifier top-1, no margin", mean_over_people(named.astype(float), data.people[rows]), None, "no flip")
    _by_person(enrolled, rows, found, result, with_photos=with_photos)
    result.cmc = np.array([found.within(k).mean() for k in range(1, RANKS + 1)])
    result.cmc_template = np.array([(found.template_rank <= k).mean() for k in range(1, RANKS + 1)])
    same = data.people[rows][:, None] == enrolled.people[None, :]
    cosines = probes @ gallery.T
    draw = np.random.default_rng(0)
    result.histograms["same person"] = draw.permutation(cosines[same])[:50_000]
    result.histograms["different people"] = draw.permutation(cosines[~same])[:50_000]


def _by_person(enrolled: _Enrolled, rows: I64, found: ClosedSet, result: Evaluation, *, with_photos: bool) -> None:
    data, gallery_people = enrolled.data, enrolled.people
    people, best = data.people[rows][found.probe], gallery_people[found.best_row]
    result.people = per_person(people, best, gallery_people)
    rates = np.array([person.rank1.value for person in result.people])
    for share in (0.05, 0.1):
        rate = worst_share(rates, share)
        result.add(
            CLOSED, f"rank-1 of the worst {share:.0%} of people", rate, None, f"{rate.trials} of {len(rates)} people, each one trial"
        )
    result.confusions = confusions(people, best, found.best_score, found.own_score)
    wrong = np.flatnonzero(people != best)
    for i in wrong[np.argsort(-found.best_score[wrong], kind="stable")][:WORST_ERRORS]:
        photo, nearest = int(rows[found.probe[i]]), int(enrolled.rows[found.best_row[i]])
        crops = np.stack([data.crops[photo], data.crops[nearest]]) if with_photos else None
        score, own = float(found.best_score[i]), float(found.own_score[i])
        files = data.rows[photo].file, data.rows[nearest].file
        result.errors.append(WorstError("wrong name", str(people[i]), str(best[i]), score, own, *files, crops))


def _open(
    enrolled: _Enrolled | None, extra: Dataset | None, embed: Embedder, seed: int, fpir: float, result: Evaluation, *, with_photos: bool
) -> None:  # fmt: skip
    if extra is None or not len(extra.where("open")):
        raise _LeftOut("no prepared dataset with people of the split 'open' (--strangers)")
    if enrolled is None or not len(enrolled.rows):
        raise _LeftOut("no prepared dataset whose train photos are the gallery (--data)")
    rows = extra.where("open")
    vectors, people = embed(extra, rows), extra.people[rows]
    names = np.unique(people)
    if len(names) < 2:
        raise _LeftOut(f"{len(names)} people of the split 'open' in {extra.folder}: there must be two, one of them a stranger")
    chosen = np.random.default_rng(seed).permutation(names)[: min(ENROLLED_STRANGERS, len(names) // 2)]
    inside = np.isin(people, chosen)
    turn = np.zeros(len(rows), np.int64)  # 0, 1, 2, ... within each person
    for name in names:
        turn[people == name] = np.arange((people == name).sum())
    first_half = inside & (turn % 2 == 0)
    probes = inside & ~first_half
    if not probes.any():
        raise _LeftOut(f"nobody enrolled from {extra.folder} has a second photo to be found by")
    all_vectors = np.vstack([enrolled.vectors, vectors[first_half]])
    all_people = np.concatenate([enrolled.people, people[first_half]])

    def search(gallery: F32, whose: NDArray[np.generic]) -> tuple[Searches, I64]:
        """Of these searches the strangers' best rows too."""
        score, row = best_candidates(vectors[probes], gallery, np.arange(len(gallery)))
        stranger, stranger_row = best_candidates(vectors[~inside], gallery, np.arange(len(gallery)))
        right = whose[row.astype(np.int64)] == people[probes]
        return Searches(score, right, people[probes], stranger, people[~inside]), stranger_row.astype(np.int64)

    best, nearest = search(all_vectors, all_people)
    template, _ = search(*mean_templates(all_vectors, all_people))
    trials = len(best.stranger_score)
    note = f"{len(best.mated_score):,} mated, {trials:,} non-mated searches, {len(all_vectors):,} photos enrolled"
    for searches, how, shown in ((best, "", note), (template, " by mean template", "")):
        rank1 = mean_over_people(searches.mated_right.astype(float), searches.mated_people)
        result.add(OPEN, f"rank-1 of mated searches{how}", rank1, None, shown)
        for rate in FPIRS:
            point = open_set_point(searches, rate, seed=seed)
            few = "" if point.enough else f"too few trials: {trials:,} non-mated searches, {_needed(rate):,} needed"
            result.add(OPEN, f"FNIR at FPIR {rate:.1%}{how}", point.fnir, point.threshold, few)
    for rate in FPIRS:
        if enough_trials(trials, rate):
            less = fnir_difference(template, best, rate, seed=seed)
            shown = "a difference; below 0 the template is better" if rate == FPIRS[0] else ""
            result.add(OPEN, f"FNIR at FPIR {rate:.1%}, template less best photo", less, None, shown)
    own = within_gallery(all_vectors, all_people, fpir, seed=seed)
    if own is not None:
        reached = mean_over_people((best.stranger_score >= own.score).astype(float), best.stranger_people)
        result.add(OPEN, f"FPIR at the gallery's own threshold for {fpir:.1%}", reached, own.score, "promise against reality")
    result.det, result.det_template = det_curve(best), det_curve(template)
    result.histograms["strangers, best score"] = best.stranger_score
    result.histograms["mated, best score"] = best.mated_score
    resembled = all_people[nearest]
    result.strangers = resemblances(best.stranger_people, resembled, best.stranger_score)
    stranger_rows = rows[~inside]
    gallery_at = [(enrolled.data, int(i)) for i in enrolled.rows] + [(extra, int(i)) for i in rows[first_half]]
    for i in np.argsort(-best.stranger_score, kind="stable")[:WORST_ERRORS]:
        photo, (where, row) = int(stranger_rows[i]), gallery_at[nearest[i]]
        crops = np.stack([extra.crops[photo], where.crops[row]]) if with_photos else None
        score, files = float(best.stranger_score[i]), (extra.rows[photo].file, where.rows[row].file)
        result.errors.append(WorstError("stranger", str(best.stranger_people[i]), str(resembled[i]), score, None, *files, crops))


def _identification(ir: Dataset | None, embed: Embedder, seed: int, result: Evaluation) -> None:
    if ir is None:
        raise _LeftOut("no prepared celebA_ir dataset (--ir)")
    queries, distractors = ir.where("query"), ir.where("distractor")
    if not len(queries) or not len(distractors):
        raise _LeftOut(f"{ir.folder} has no splits query and distractor: not the identification-rate set")
    vectors = embed(ir, np.concatenate([queries, distractors]))
    pairs = identification_pairs(vectors[: len(queries)], ir.people[queries], vectors[len(queries) :])
    positives = int(pairs.same.sum())
    negatives = len(pairs.same) - positives
    if not positives:
        raise _LeftOut(f"nobody in {ir.folder} has two query photos")
    curve = Curve(pairs.scores, pairs.same)
    whole = curve.roc()
    replicates = curve_replicates(
        curve, pairs.same, pairs.first, pairs.second, len(pairs.people), lambda roc: [roc.eer, *(roc.at_fpr(rate)[0] for rate in FPRS)],
        replicates=PAIR_REPLICATES, seed=seed,
    )  # fmt: skip
    note = f"{positives:,} same-person, {negatives:,} different pairs, {len(pairs.people)} people"
    for k, rate in enumerate(FPRS, 1):
        tpr, threshold = whole.at_fpr(rate)
        enough = enough_trials(negatives, rate)
        figure = Rate(tpr, *interval(replicates[:, k]), positives) if enough else Rate(NAN, NAN, NAN, positives)
        few = "" if enough else f"too few trials: {negatives:,} different pairs, {_needed(rate):,} needed"
        result.add(IDENTIFICATION, f"TPR at FPR {rate:g}", figure, threshold, note if k == 1 else few)
    result.add(IDENTIFICATION, "equal error rate", Rate(whole.eer, *interval(replicates[:, 0]), positives))
    thin = np.unique(np.linspace(0, len(whole.fpr) - 1, 5000).astype(int))
    result.roc = (whole.fpr[thin], whole.tpr[thin])


def _pairs(trial: PairTrial | None, embed: Embedder, seed: int, result: Evaluation) -> None:
    if trial is None:
        raise _LeftOut("no list of pairs (--pairs pairs.txt --pairs-photos DIR)")
    try:
        found = run_pairs(trial, embed.runtime, embed.progress, seed=seed)
    except NothingToDo as error:
        raise _LeftOut(f"{error.where}: {error.reason}") from error
    result.pairs = found
    measured, same = found.measured, int(found.is_same.sum())
    lost = f"; {found.pairs_left_out} pairs left out, {len(found.left_out)} photos without a usable face" if found.left_out else ""
    note = f"{same:,} same-person, {len(found.scores) - same:,} different pairs, {found.people:,} people, {found.photos:,} photos{lost}"
    spread = f"± {measured.standard_error:.4f} standard error over {len(measured.fold)} folds; "
    result.add(PAIRS, "accuracy, mean over folds", measured.accuracy, float(measured.fold_threshold.mean()), spread + note)
    result.add(PAIRS, "area under the ROC curve", measured.auc)
    result.add(PAIRS, "equal error rate", measured.eer)
    for point in measured.points:
        few = "" if point.enough else f"too few trials: {len(found.scores) - same:,} different pairs, {_needed(point.far):,} needed"
        result.add(PAIRS, f"TAR at FAR {point.far:.1%}", point.tar, point.threshold, few)


def _needed(rate: float) -> int:
    """How many trials speak of a rate: the rule of three."""
    return math.ceil(3 / rate - 1e-9)


def _named_by_classifier(weights: Path, data: Dataset, rows: I64, runtime: Runtime) -> tuple[Bools | None, str]:
    """Which photos the run's own classifier names rightly; or None, and why that cannot be told."""
    none = f"no {CLASSIFIER} of this encoder beside {weights.name}"
    if not weights.with_name(CLASSIFIER).is_file():
        return None, none
    try:
        from facesearch.jobs.run_weights import classifier_right
    except ModuleNotFoundError:
        return None, "it needs the package torch: pip install 'facesearch[train]'"
    return classifier_right(weights, data, rows, runtime), none
