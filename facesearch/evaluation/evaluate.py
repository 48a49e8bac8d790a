"""Measure an encoder as PROTOCOL says: closed set, open set 1:N, identification rate, pairs. A result of
rates and curves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facesearch.datasets.table import Dataset
from facesearch.encoder.runtime import Runtime
from facesearch.errors import NothingToDo
from facesearch.evaluation.given import Embedder, EnrolledPhotos, LeftOut
from facesearch.evaluation.open_set import measure_open_set, needed_trials
from facesearch.evaluation.own_threshold import measure_own
from facesearch.evaluation.pairs import PairTrial, run_pairs
from facesearch.evaluation.results import (
    CLOSED,
    FPRS,
    IDENTIFICATION,
    NAN,
    PAIRS,
    SECTIONS,
    WORST_ERRORS,
    Evaluation,
    WorstError,
)
from facesearch.gallery.store.store import Store
from facesearch.metrics.bootstrap import Rate, enough_trials, interval, mean_over_people
from facesearch.metrics.pairs import curve_replicates
from facesearch.metrics.people import confusions, per_person, worst_share
from facesearch.metrics.retrieval import RANKS, ClosedSet, closed_set
from facesearch.metrics.verification import Curve, identification_pairs
from facesearch.records import F32, F64, I64, Bools
from facesearch.training.run_folder import CLASSIFIER

PAIR_REPLICATES = 200


def evaluate(
    data: Dataset | None,
    extra: Dataset | None,
    ir: Dataset | None,
    embed: Embedder,
    *,
    split: str,
    weights: Path,
    seed: int,
    fpir: float,
    pairs: PairTrial | None = None,
    with_photos: bool = False,
    sections: Collection[str] = tuple(SECTIONS),
    gallery: Store | None = None,
) -> Evaluation:
    """Measure on `split` of data against its train photos; strangers from extra's split `open`; pairs from
    ir; LFW's pairs; gallery as it stands, at its own threshold.

    A part that lacks its data is left out and named in `skipped`; sections: only these keys of SECTIONS, and
    no word about the others. with_photos: the worst errors keep their crops. Raises NothingToDo when nothing
    at all could be measured.
    """
    result = Evaluation(embed.runtime.words, embed.runtime.encoder_id, split)
    enrolled = None
    if data is not None and not {"closed", "open"}.isdisjoint(sections):
        rows = data.where("train")
        enrolled = EnrolledPhotos(data, rows, embed(data, rows))
    parts: dict[str, Callable[[], None]] = {
        "closed": lambda: _closed(enrolled, embed, split, weights, result, with_photos=with_photos),
        "open": lambda: measure_open_set(enrolled, extra, embed, seed, fpir, result, with_photos=with_photos),
        "gallery": lambda: measure_own(gallery, data, extra, ir, embed, split, seed, result),
        "ir": lambda: _identification(ir, embed, seed, result),
        "pairs": lambda: _pairs(pairs, embed, seed, result),
    }
    for key, measure in parts.items():
        if key in sections:
            try:
                measure()
            except LeftOut as why:
                result.skipped.append(f"{SECTIONS[key]}: {why}")
    if not result.figures:
        raise NothingToDo("evaluate", "nothing can be measured", "\n".join(result.skipped))
    return result


def _closed(
    enrolled: EnrolledPhotos | None,
    embed: Embedder,
    split: str,
    weights: Path,
    result: Evaluation,
    *,
    with_photos: bool,
) -> None:
    if enrolled is None:
        raise LeftOut("no prepared dataset with the splits train and val (--data)")
    data, train, gallery = enrolled.data, enrolled.rows, enrolled.vectors
    rows = data.where(split)
    if not len(rows):
        raise LeftOut(
            f"no photo in the split {split!r} of {data.folder}; it has {', '.join(np.unique(data.splits))}"
        )
    if not len(train):
        raise LeftOut(f"no photo in the split 'train' of {data.folder} to be found")
    probes = embed(data, rows)
    found = closed_set(
        probes, data.people[rows], data.sha256[rows], gallery, enrolled.people, data.sha256[train]
    )
    if not len(found.probe):
        raise LeftOut(f"nobody in the split {split!r} of {data.folder} has a train photo to be found")
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
    add(
        "rank-1, mean template less best photo",
        by_template - right,
        "a difference; above 0 the template is better",
    )
    add("precision@1", right, "the nearest photo: the same as rank-1 by best photo")
    add("R-precision", found.r_precision)
    add("MAP@R", found.map_at_r)
    add("MAP@R, averaged over people", found.map_at_r, macro=True)
    named, why = _named_by_classifier(weights, data, rows, embed.runtime)
    if named is None:
        result.skipped.append(f"classifier top-1: {why}")
    else:
        result.add(
            CLOSED,
            "classifier top-1, no margin",
            mean_over_people(named.astype(float), data.people[rows]),
            None,
            "no flip",
        )
    _by_person(enrolled, rows, found, result, with_photos=with_photos)
    _closed_curves(enrolled, probes, data.people[rows], found, result)


def _closed_curves(
    enrolled: EnrolledPhotos, probes: F32, people: NDArray[np.str_], found: ClosedSet, result: Evaluation
) -> None:
    """CMC curves, and the scores of pairs of one person and of two."""
    result.cmc = np.array([found.within(k).mean() for k in range(1, RANKS + 1)])
    result.cmc_template = np.array([(found.template_rank <= k).mean() for k in range(1, RANKS + 1)])
    same = people[:, None] == enrolled.people[None, :]
    cosines = probes @ enrolled.vectors.T
    draw = np.random.default_rng(0)
    result.histograms["same person"] = draw.permutation(cosines[same])[:50_000]
    result.histograms["different people"] = draw.permutation(cosines[~same])[:50_000]


def _by_person(
    enrolled: EnrolledPhotos, rows: I64, found: ClosedSet, result: Evaluation, *, with_photos: bool
) -> None:
    data, gallery_people = enrolled.data, enrolled.people
    people, best = data.people[rows][found.probe], gallery_people[found.best_row]
    result.people = per_person(people, best, gallery_people)
    rates = np.array([person.rank1.value for person in result.people])
    for share in (0.05, 0.1):
        rate = worst_share(rates, share)
        result.add(
            CLOSED,
            f"rank-1 of the worst {share:.0%} of people",
            rate,
            None,
            f"{rate.trials} of {len(rates)} people, each one trial",
        )
    result.confusions = confusions(people, best, found.best_score, found.own_score)
    wrong = np.flatnonzero(people != best)
    for i in wrong[np.argsort(-found.best_score[wrong], kind="stable")][:WORST_ERRORS]:
        photo, nearest = int(rows[found.probe[i]]), int(enrolled.rows[found.best_row[i]])
        crops = np.stack([data.crops[photo], data.crops[nearest]]) if with_photos else None
        score, own = float(found.best_score[i]), float(found.own_score[i])
        files = data.rows[photo].file, data.rows[nearest].file
        result.errors.append(
            WorstError("wrong name", str(people[i]), str(best[i]), score, own, *files, crops)
        )


def _identification(ir: Dataset | None, embed: Embedder, seed: int, result: Evaluation) -> None:
    if ir is None:
        raise LeftOut("no prepared celebA_ir dataset (--ir)")
    queries, distractors = ir.where("query"), ir.where("distractor")
    if not len(queries) or not len(distractors):
        raise LeftOut(f"{ir.folder} has no splits query and distractor: not the identification-rate set")
    vectors = embed(ir, np.concatenate([queries, distractors]))
    pairs = identification_pairs(vectors[: len(queries)], ir.people[queries], vectors[len(queries) :])
    positives = int(pairs.same.sum())
    negatives = len(pairs.same) - positives
    if not positives:
        raise LeftOut(f"nobody in {ir.folder} has two query photos")
    curve = Curve(pairs.scores, pairs.same)
    whole = curve.roc()
    replicates = curve_replicates(
        curve,
        pairs.same,
        pairs.first,
        pairs.second,
        len(pairs.people),
        lambda roc: [roc.eer, *(roc.at_fpr(rate)[0] for rate in FPRS)],
        replicates=PAIR_REPLICATES,
        seed=seed,
    )
    note = f"{positives:,} same-person, {negatives:,} different pairs, {len(pairs.people)} people"
    for k, rate in enumerate(FPRS, 1):
        tpr, threshold = whole.at_fpr(rate)
        enough = enough_trials(negatives, rate)
        figure = (
            Rate(tpr, *interval(replicates[:, k]), positives) if enough else Rate(NAN, NAN, NAN, positives)
        )
        few = (
            "" if enough else f"too few trials: {negatives:,} different pairs, {needed_trials(rate):,} needed"
        )
        result.add(IDENTIFICATION, f"TPR at FPR {rate:g}", figure, threshold, note if k == 1 else few)
    result.add(IDENTIFICATION, "equal error rate", Rate(whole.eer, *interval(replicates[:, 0]), positives))
    thin = np.unique(np.linspace(0, len(whole.fpr) - 1, 5000).astype(int))
    result.roc = (whole.fpr[thin], whole.tpr[thin])


def _pairs(trial: PairTrial | None, embed: Embedder, seed: int, result: Evaluation) -> None:
    if trial is None:
        raise LeftOut("no list of pairs (--pairs pairs.txt --pairs-photos DIR)")
    try:
        found = run_pairs(trial, embed.runtime, embed.progress, seed=seed)
    except NothingToDo as error:
        raise LeftOut(f"{error.where}: {error.reason}") from error
    result.pairs = found
    measured, same = found.measured, int(found.is_same.sum())
    lost = (
        f"; {found.pairs_left_out} pairs left out, {len(found.left_out)} photos without a usable face"
        if found.left_out
        else ""
    )
    note = (
        f"{same:,} same-person, {len(found.scores) - same:,} different pairs, {found.people:,} people,"
        f" {found.photos:,} photos{lost}"
    )
    spread = f"± {measured.standard_error:.4f} standard error over {len(measured.fold)} folds; "
    result.add(
        PAIRS,
        "accuracy, mean over folds",
        measured.accuracy,
        float(measured.fold_threshold.mean()),
        spread + note,
    )
    result.add(PAIRS, "area under the ROC curve", measured.auc)
    result.add(PAIRS, "equal error rate", measured.eer)
    for point in measured.points:
        pairs, needed = len(found.scores) - same, needed_trials(point.far)
        few = "" if point.enough else f"too few trials: {pairs:,} different pairs, {needed:,} needed"
        result.add(PAIRS, f"TAR at FAR {point.far:.1%}", point.tar, point.threshold, few)


def _named_by_classifier(
    weights: Path, data: Dataset, rows: I64, runtime: Runtime
) -> tuple[Bools | None, str]:
    """Which photos the run's own classifier names rightly; or None, and why that cannot be told."""
    none = f"no {CLASSIFIER} of this encoder beside {weights.name}"
    if not weights.with_name(CLASSIFIER).is_file():
        return None, none
    try:
        from facesearch.training.run_weights import classifier_right
    except ModuleNotFoundError:
        return None, "it needs the package torch: pip install 'facesearch[train]'"
    return classifier_right(weights, data, rows, runtime), none
