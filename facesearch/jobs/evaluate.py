"""Measure an encoder as PROTOCOL says: closed set, open set 1:N, identification rate. A result of rates and curves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from facesearch.errors import NothingToDo
from facesearch.faces.table import Dataset
from facesearch.gallery.calibration import within_gallery
from facesearch.jobs.run_folder import CLASSIFIER, load_classifier
from facesearch.jobs.vectors import dataset_vectors
from facesearch.metrics.bootstrap import Rate, draw_people, interval, mean_over_people
from facesearch.metrics.openset import Searches, best_candidates, det_curve, open_set_point
from facesearch.metrics.retrieval import RANKS, closed_set
from facesearch.metrics.verification import Curve, identification_pairs
from facesearch.model.runtime import BATCH, Runtime, TorchRuntime
from facesearch.records import F32, F64, I64, Bools, Progress

FPIRS = (0.1, 0.03, 0.01, 0.003)
FPRS = (0.5, 0.2, 0.1, 0.05, 0.01, 0.001)
ENROLLED_STRANGERS = 50
PAIR_REPLICATES = 200


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. threshold: the score at which a rate was read, where there is one; note: what to know of it."""

    section: str
    name: str
    rate: Rate
    threshold: float | None = None
    note: str = ""


@dataclass
class Evaluation:
    """figures in reading order; curves (x, y) for the plots; histograms: scores by kind; skipped: rows that lack data."""

    encoder: str
    encoder_id: str
    split: str
    figures: list[Figure] = field(default_factory=list)
    cmc: F64 | None = None
    roc: tuple[F64, F64] | None = None
    det: tuple[F64, F64] | None = None
    histograms: dict[str, F32] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Embedder:
    """Where vectors come from: a runtime, what a gallery of its encoder knows already, and a bar to show."""

    runtime: Runtime
    known: dict[str, F32]
    progress: Progress

    def __call__(self, dataset: Dataset, rows: I64) -> F32:
        return dataset_vectors(dataset, rows, self.runtime, self.known, self.progress)


def evaluate(
    data: Dataset, extra: Dataset | None, ir: Dataset | None, embed: Embedder, *, split: str, weights: Path, seed: int, fpir: float
) -> Evaluation:
    """Measure on `split` of data against its train photos; strangers from extra's split `open`; pairs from ir.

    A part whose dataset is None is left out and named in `skipped`. Raises NothingToDo when the split has no photo with
    a mate.
    """
    result = Evaluation(embed.runtime.words, embed.runtime.encoder_id, split)
    train = data.where("train")
    gallery = embed(data, train)
    _closed(data, train, gallery, embed, split, weights, result)
    if extra is not None and len(extra.where("open")):
        _open(data, train, gallery, extra, embed, seed, fpir, result)
    else:
        result.skipped.append("open set: no prepared dataset with people of the split 'open' (--strangers)")
    if ir is not None:
        _identification(ir, embed, seed, result)
    else:
        result.skipped.append("identification rate: no prepared celebA_ir dataset (--ir)")
    return result


def _closed(data: Dataset, train: I64, gallery: F32, embed: Embedder, split: str, weights: Path, result: Evaluation) -> None:
    rows = data.where(split)
    if not len(rows):
        raise NothingToDo(str(data.folder), f"no photo in the split {split!r}; it has {', '.join(np.unique(data.splits))}")
    probes = embed(data, rows)
    found = closed_set(probes, data.people[rows], data.sha256[rows], gallery, data.people[train], data.sha256[train])
    if not len(found.probe):
        raise NothingToDo(str(data.folder), f"nobody in the split {split!r} has a train photo to be found")
    people = data.people[rows][found.probe]

    def add(name: str, values: F64, note: str = "", *, macro: bool = False) -> None:
        result.figures.append(Figure("closed set", name, mean_over_people(values, people, macro=macro), None, note))

    size = f"{len(np.unique(data.people[train]))} people, {len(train)} photos"
    left = f"; {found.left_out} probes left out, nobody to find" if found.left_out else ""
    add("rank-1", found.within(1).astype(float), f"best photo; gallery {size}{left}")
    add("rank-5", found.within(5).astype(float))
    add("rank-10", found.within(10).astype(float))
    add("rank-1, averaged over people", found.within(1).astype(float), macro=True)
    add("rank-1 by mean template", (found.template_rank <= 1).astype(float))
    add("precision@1", found.within(1).astype(float), "the nearest photo: the same as rank-1 by best photo")
    add("R-precision", found.r_precision)
    add("MAP@R", found.map_at_r)
    add("MAP@R, averaged over people", found.map_at_r, macro=True)
    right = _classifier_right(weights, data, rows, embed.runtime)
    if right is None:
        result.skipped.append(f"classifier top-1: no {CLASSIFIER} of this encoder beside {weights.name}")
    else:
        rate = mean_over_people(right.astype(float), data.people[rows])
        result.figures.append(Figure("closed set", "classifier top-1, no margin", rate, None, "no flip"))
    result.cmc = np.array([found.within(k).mean() for k in range(1, RANKS + 1)])
    same = data.people[rows][:, None] == data.people[train][None, :]
    cosines = probes @ gallery.T
    draw = np.random.default_rng(0)
    result.histograms["same person"] = draw.permutation(cosines[same])[:50_000]
    result.histograms["different people"] = draw.permutation(cosines[~same])[:50_000]


def _open(data: Dataset, train: I64, gallery: F32, extra: Dataset, embed: Embedder, seed: int, fpir: float, result: Evaluation) -> None:
    rows = extra.where("open")
    vectors, people = embed(extra, rows), extra.people[rows]
    names = np.unique(people)
    enrolled = np.random.default_rng(seed).permutation(names)[: min(ENROLLED_STRANGERS, len(names) // 2)]
    inside = np.isin(people, enrolled)
    turn = np.zeros(len(rows), np.int64)  # 0, 1, 2, ... within each person
    for name in names:
        turn[people == name] = np.arange((people == name).sum())
    first_half = inside & (turn % 2 == 0)
    probes = inside & ~first_half
    all_vectors = np.vstack([gallery, vectors[first_half]])
    all_people = np.concatenate([data.people[train], people[first_half]])
    score, who = best_candidates(vectors[probes], all_vectors, all_people)
    stranger, _ = best_candidates(vectors[~inside], all_vectors, all_people)
    searches = Searches(score, who == people[probes], people[probes], stranger, people[~inside])
    note = f"{len(score)} mated, {len(stranger)} non-mated searches, {len(all_vectors)} photos enrolled"
    rank1 = mean_over_people(searches.mated_right.astype(float), searches.mated_people)
    result.figures.append(Figure("open set 1:N", "rank-1 of mated searches", rank1, None, note))
    for rate in FPIRS:
        point = open_set_point(searches, rate, seed=seed)
        note = "" if point.enough else f"too few trials: {len(stranger)} non-mated searches, {int(np.ceil(3 / rate))} needed"
        result.figures.append(Figure("open set 1:N", f"FNIR at FPIR {rate:.1%}", point.fnir, point.threshold, note))
    own = within_gallery(all_vectors, all_people, fpir, seed=seed)
    if own is not None:
        reached = mean_over_people((stranger >= own.score).astype(float), people[~inside])
        name = f"FPIR at the gallery's own threshold for {fpir:.1%}"
        result.figures.append(Figure("open set 1:N", name, reached, own.score, "promise against reality"))
    result.det = det_curve(searches)
    result.histograms["strangers, best score"] = stranger
    result.histograms["mated, best score"] = score


def _identification(ir: Dataset, embed: Embedder, seed: int, result: Evaluation) -> None:
    queries, distractors = ir.where("query"), ir.where("distractor")
    if not len(queries) or not len(distractors):
        raise NothingToDo(str(ir.folder), "it has no splits query and distractor: not the identification-rate set")
    vectors = embed(ir, np.concatenate([queries, distractors]))
    pairs = identification_pairs(vectors[: len(queries)], ir.people[queries], vectors[len(queries) :])
    curve = Curve(pairs.scores, pairs.same)
    whole = curve.roc()
    draws = draw_people(len(pairs.people), PAIR_REPLICATES, seed).astype(np.float64)
    replicates = np.empty((PAIR_REPLICATES, len(FPRS)))
    for i, drawn in enumerate(draws):
        # A pair of two people counts as often as both were drawn; a distractor is always there.
        weight = drawn[pairs.first] * np.append(drawn, 1.0)[pairs.second]
        weight = np.where(pairs.same, drawn[pairs.first], weight)
        replica = curve.roc(weight)
        replicates[i] = [replica.at_fpr(rate)[0] for rate in FPRS]
    positives = int(pairs.same.sum())
    note = f"{positives} same-person, {len(pairs.same) - positives} different pairs, {len(pairs.people)} people"
    for k, rate in enumerate(FPRS):
        tpr, threshold = whole.at_fpr(rate)
        figure = Rate(tpr, *interval(replicates[:, k]), positives)
        result.figures.append(Figure("identification rate (pairs)", f"TPR at FPR {rate:g}", figure, threshold, note if not k else ""))
    result.figures.append(Figure("identification rate (pairs)", "equal error rate", Rate(whole.eer, float("nan"), float("nan"), positives)))
    thin = np.unique(np.linspace(0, len(whole.fpr) - 1, 5000).astype(int))
    result.roc = (whole.fpr[thin], whole.tpr[thin])


def _classifier_right(weights: Path, dataset: Dataset, rows: I64, runtime: Runtime) -> Bools | None:
    """Whether the training run's own classifier, without the margin, names each photo; None when it is not there."""
    path = weights.with_name(CLASSIFIER)
    if not path.is_file() or not isinstance(runtime, TorchRuntime):
        return None
    head, classes, encoder_id = load_classifier(path)
    if encoder_id != runtime.encoder_id:
        return None
    right = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        with torch.inference_mode():
            best = head(runtime.embeddings(dataset.crops[part])).argmax(1).numpy()
        right.append(classes[best] == dataset.people[part])
    return np.concatenate(right)
