"""An evaluation against strangers: who is missed, and which strangers get a name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesearch.datasets.table import Dataset
from facesearch.evaluation.given import Embedder, EnrolledPhotos, LeftOut
from facesearch.evaluation.results import FPIRS, OPEN, WORST_ERRORS, Evaluation, WorstError
from facesearch.gallery.calibration import within_gallery
from facesearch.metrics.bootstrap import enough_trials, mean_over_people
from facesearch.metrics.openset import (
    Searches,
    best_candidates,
    det_curve,
    fnir_difference,
    mean_templates,
    open_set_point,
    without,
)
from facesearch.metrics.people import resemblances
from facesearch.records import F32, I64, Bools

ENROLLED_STRANGERS = 50
POOREST, POOREST_FPIR = (0.05, 0.1), 0.01
"""The shares of searches that are refused, and at which rate of strangers named the rest is measured."""
BY_PHOTO, BY_TEMPLATE = "", " by mean template"
"""What a figure's name says of how a person is scored."""


@dataclass(frozen=True)
class _OpenSet:
    """Strangers' photos, dealt into people who are enrolled by their first half, and strangers.

    rows, vectors, people of the split `open`; inside: of people who are enrolled; enrolled_half: their
    enrolled photos. gallery: all that is enrolled, with whose it is.
    """

    extra: Dataset
    rows: I64
    vectors: F32
    people: NDArray[np.str_]
    inside: Bools
    enrolled_half: Bools
    gallery: F32
    gallery_people: NDArray[np.str_]

    def search(self, gallery: F32, whose: NDArray[np.generic]) -> tuple[Searches, I64]:
        """Of these searches the strangers' best rows too."""
        probes, numbers = self.inside & ~self.enrolled_half, np.arange(len(gallery))
        score, row = best_candidates(self.vectors[probes], gallery, numbers)
        stranger, stranger_row = best_candidates(self.vectors[~self.inside], gallery, numbers)
        right = whose[row.astype(np.int64)] == self.people[probes]
        searches = Searches(score, right, self.people[probes], stranger, self.people[~self.inside])
        return searches, stranger_row.astype(np.int64)


def measure_open_set(
    enrolled: EnrolledPhotos | None,
    extra: Dataset | None,
    embed: Embedder,
    seed: int,
    fpir: float,
    result: Evaluation,
    *,
    with_photos: bool,
) -> None:
    """Add the figures of searches by strangers and by enrolled people, by photo and by template, their curves
    and the worst errors. Raises LeftOut.
    """
    world = _open_set(enrolled, extra, embed, seed)
    best, nearest = world.search(world.gallery, world.gallery_people)
    template, _ = world.search(*mean_templates(world.gallery, world.gallery_people))
    _open_figures(best, template, len(world.gallery), seed, result)
    _without_poorest(world, {BY_PHOTO: best, BY_TEMPLATE: template}, embed, seed, result)
    own = within_gallery(world.gallery, world.gallery_people, fpir, seed=seed)
    if own is not None:
        reached = mean_over_people((best.stranger_score >= own.score).astype(float), best.stranger_people)
        name = f"FPIR at a threshold by its own people, {fpir:.1%}"
        result.add(OPEN, name, reached, own.score, "promise against reality")
    result.det, result.det_template = det_curve(best), det_curve(template)
    result.histograms["strangers, best score"] = best.stranger_score
    result.histograms["mated, best score"] = best.mated_score
    resembled = world.gallery_people[nearest]
    result.strangers = resemblances(best.stranger_people, resembled, best.stranger_score)
    assert enrolled is not None, "without it there is no open set"
    _stranger_errors(enrolled, world, best, nearest, result, with_photos=with_photos)


def _open_set(enrolled: EnrolledPhotos | None, extra: Dataset | None, embed: Embedder, seed: int) -> _OpenSet:
    """Raises LeftOut where there are no strangers, or nobody to be mistaken for."""
    if extra is None or not len(extra.where("open")):
        raise LeftOut("no prepared dataset with people of the split 'open' (--strangers)")
    if enrolled is None or not len(enrolled.rows):
        raise LeftOut("no prepared dataset whose train photos are the gallery (--data)")
    rows = extra.where("open")
    vectors, people = embed(extra, rows), extra.people[rows]
    names = np.unique(people)
    if len(names) < 2:
        raise LeftOut(
            f"{len(names)} people of the split 'open' in {extra.folder}: there must be two, one of them a"
            " stranger"
        )
    chosen = np.random.default_rng(seed).permutation(names)[: min(ENROLLED_STRANGERS, len(names) // 2)]
    inside = np.isin(people, chosen)
    turn = np.zeros(len(rows), np.int64)  # 0, 1, 2, ... within each person
    for name in names:
        turn[people == name] = np.arange((people == name).sum())
    half = inside & (turn % 2 == 0)
    if not (inside & ~half).any():
        raise LeftOut(f"nobody enrolled from {extra.folder} has a second photo to be found by")
    gallery = np.vstack([enrolled.vectors, vectors[half]])
    whose = np.concatenate([enrolled.people, people[half]])
    return _OpenSet(extra, rows, vectors, people, inside, half, gallery, whose)


def _open_figures(best: Searches, template: Searches, photos: int, seed: int, result: Evaluation) -> None:
    """Rank-1 and FNIR by best photo and by mean template, and their difference."""
    trials = len(best.stranger_score)
    mated = f"{len(best.mated_score):,} mated"
    note = f"{mated}, {trials:,} non-mated searches, {photos:,} photos enrolled"
    for searches, how, shown in ((best, BY_PHOTO, note), (template, BY_TEMPLATE, "")):
        rank1 = mean_over_people(searches.mated_right.astype(float), searches.mated_people)
        result.add(OPEN, f"rank-1 of mated searches{how}", rank1, None, shown)
        for rate in FPIRS:
            point = open_set_point(searches, rate, seed=seed)
            few = f"too few trials: {trials:,} non-mated searches, {needed_trials(rate):,} needed"
            note = "" if point.enough else few
            result.add(OPEN, f"FNIR at FPIR {rate:.1%}{how}", point.fnir, point.threshold, note)
    for rate in FPIRS:
        if enough_trials(trials, rate):
            less = fnir_difference(template, best, rate, seed=seed)
            shown = "a difference; below 0 the template is better" if rate == FPIRS[0] else ""
            result.add(OPEN, f"FNIR at FPIR {rate:.1%}, template less best photo", less, None, shown)


def _without_poorest(
    world: _OpenSet, ways: Mapping[str, Searches], embed: Embedder, seed: int, result: Evaluation
) -> None:
    """The same figures when the searches are refused of whose photos the encoder seems least sure: those with
    the shortest vectors (Meng et al. 2021, arXiv:2103.06627), strangers and enrolled people alike. Whether
    they are lower tells whether the lengths of this encoder are worth anything.
    """
    lengths = embed.lengths(world.extra, world.rows)
    if not (lengths > 0).all():
        return
    mated, stranger = lengths[world.inside & ~world.enrolled_half], lengths[~world.inside]
    for how, searches in ways.items():
        for share in POOREST:
            least = np.quantile(np.concatenate([mated, stranger]), share)
            left = without(searches, mated >= least, stranger >= least)
            point = open_set_point(left, POOREST_FPIR, seed=seed)
            few = f"too few trials: {len(left.stranger_score):,} non-mated searches are left"
            note = f"of {len(left.mated_score):,} mated searches that are left" if point.enough else few
            name = f"FNIR at FPIR {POOREST_FPIR:.1%}{how} less {share:.0%} shortest vectors"
            result.add(OPEN, name, point.fnir, point.threshold, note)


def _stranger_errors(
    enrolled: EnrolledPhotos,
    world: _OpenSet,
    best: Searches,
    nearest: I64,
    result: Evaluation,
    *,
    with_photos: bool,
) -> None:
    """The strangers with the highest scores, and who they are taken for."""
    extra, stranger_rows = world.extra, world.rows[~world.inside]
    gallery_at = [(enrolled.data, int(i)) for i in enrolled.rows]
    gallery_at += [(extra, int(i)) for i in world.rows[world.enrolled_half]]
    for i in np.argsort(-best.stranger_score, kind="stable")[:WORST_ERRORS]:
        photo, (where, row) = int(stranger_rows[i]), gallery_at[nearest[i]]
        crops = np.stack([extra.crops[photo], where.crops[row]]) if with_photos else None
        person, taken_for = str(best.stranger_people[i]), str(world.gallery_people[nearest[i]])
        files = extra.rows[photo].file, where.rows[row].file
        score = float(best.stranger_score[i])
        result.errors.append(WorstError("stranger", person, taken_for, score, None, *files, crops))


def needed_trials(rate: float) -> int:
    """How many trials speak of a rate: the rule of three."""
    return math.ceil(3 / rate - 1e-9)
