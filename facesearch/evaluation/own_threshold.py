"""How a gallery as it stands does at the threshold that it has: who is missed, which strangers get a name.

The other sections measure the encoder in galleries that they put together themselves, at the threshold that
serves best there. This one changes nothing: the gallery's own faces, its own way to score, its own threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facesearch.datasets.table import Dataset
from facesearch.errors import shown
from facesearch.evaluation.given import Embedder, LeftOut
from facesearch.evaluation.results import NAN, OWN, Evaluation, OwnGallery
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store
from facesearch.metrics.bootstrap import Rate, enough_trials, mean_over_people
from facesearch.metrics.openset import Searches, det_curve, mean_templates
from facesearch.records import F32, I64, Bools, ScoredBy

MOST_FACES = 200_000
"""So many are compared at once; a larger gallery is left out."""
AT_ONCE = 256
ENROLLED_STRANGERS = 50


def measure_own(
    gallery: Store | None,
    data: Dataset | None,
    extra: Dataset | None,
    ir: Dataset | None,
    embed: Embedder,
    split: str,
    seed: int,
    result: Evaluation,
) -> None:
    """Add the figures of the gallery at its own threshold. Raises LeftOut."""
    threshold = None if gallery is None else gallery.notes.threshold()
    if gallery is None or threshold is None:
        raise LeftOut("there is no gallery here" if gallery is None else "the gallery has no threshold")
    if gallery.encoder_id != embed.runtime.encoder_id:
        raise LeftOut(f"{shown(gallery.folder)} was made by another encoder than the one that is measured")
    enrolled = _Enrolled.of(gallery, threshold.by)
    before = len(result.figures)
    if data is not None:
        _own_people(enrolled, data, split, embed, threshold, result)
    if extra is not None:
        _newcomers(enrolled, extra, embed, threshold, seed, result)
    for dataset, part in ((extra, "open"), (ir, "query")):
        if dataset is not None:
            _strangers(enrolled, dataset, part, embed, threshold, result)
    if len(result.figures) == before:
        raise LeftOut(f"nobody of {shown(gallery.folder)} is in the data, and no stranger to it")
    people, faces = len(np.unique(enrolled.people)), len(enrolled.people)
    generation, mark = gallery.notes.moment
    result.own = OwnGallery(faces, people, threshold.by, threshold.score, threshold.fpir, generation, mark)


@dataclass(frozen=True)
class _Enrolled:
    """A whole gallery. vectors (n, d), people (n,) whose they are; rows of each content hash."""

    vectors: F32
    people: NDArray[np.str_]
    rows: dict[str, list[int]]
    by: ScoredBy

    @classmethod
    def of(cls, gallery: Store, by: ScoredBy) -> _Enrolled:
        if not 0 < len(gallery) <= MOST_FACES:
            raise LeftOut(f"{len(gallery):,} faces; it is done for galleries of 1 to {MOST_FACES:,}")
        faces, vectors = gallery.faces.enrolled()
        rows: dict[str, list[int]] = {}
        for row, face in enumerate(faces):
            rows.setdefault(face.sha256, []).append(row)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)  # float16 on disk
        return cls(vectors / lengths, np.array([face.person for face in faces], np.str_), rows, by)

    def search(self, probes: F32, sha256: NDArray[np.str_]) -> tuple[F32, NDArray[np.str_]]:
        """Of each probe (q, d) with this content (q,) the best score and whose it is, its own file left
        out.
        """
        names = np.unique(self.people)
        against, owner = self.vectors, self.people
        if self.by == "mean-template":
            against, owner = mean_templates(self.vectors, self.people)[0], names
        best, who = np.empty(len(probes), np.float32), np.empty(len(probes), names.dtype)
        for start in range(0, len(probes), AT_ONCE):
            cosines = probes[start : start + AT_ONCE] @ against.T
            for i, content in enumerate(sha256[start : start + AT_ONCE].tolist()):
                self._leave_out(cosines[i], probes[start + i], self.rows.get(content, []), owner)
            first = cosines.argmax(axis=1)
            best[start : start + AT_ONCE] = cosines[np.arange(len(first)), first]
            who[start : start + AT_ONCE] = owner[first]
        return best, who

    def _leave_out(self, cosines: F32, probe: F32, own: list[int], owner: NDArray[np.str_]) -> None:
        if self.by == "best-photo":
            cosines[own] = -2
            return
        for person in {str(self.people[row]) for row in own}:
            rest = np.setdiff1d(np.flatnonzero(self.people == person), own)
            template = mean_templates(self.vectors[rest], self.people[rest])[0] if len(rest) else None
            cosines[owner == person] = -2 if template is None else float(template[0] @ probe)


def _own_people(
    enrolled: _Enrolled, data: Dataset, split: str, embed: Embedder, threshold: Threshold, result: Evaluation
) -> None:
    """Photos of enrolled people, each searched without its own file."""
    rows = data.where(split)
    others = [_others(enrolled, str(data.people[i]), str(data.sha256[i])) for i in rows]
    rows = rows[np.array(others, np.bool_)] if len(rows) else rows
    if not len(rows):
        return
    best, who = enrolled.search(embed(data, rows), data.sha256[rows])
    missed = (who != data.people[rows]) | (best < threshold.score)
    note = f"photos of {data.folder.name}, {split}; own file left out; the encoder may know them"
    _add(result, "FNIR of enrolled people", missed, data.people[rows], threshold, note)


def _others(enrolled: _Enrolled, person: str, content: str) -> bool:
    """Whether a person has an enrolled photo besides this one."""
    own = enrolled.rows.get(content, [])
    return bool((np.delete(enrolled.people, own) == person).any()) if own else person in enrolled.people


def _newcomers(
    enrolled: _Enrolled, extra: Dataset, embed: Embedder, threshold: Threshold, seed: int, result: Evaluation
) -> None:
    """Half the photos of some of the split `open` enrolled beside the gallery; their other photos, and all
    other people's of the split, are searched.
    """
    rows = _unknown(enrolled, extra, "open")
    names = np.unique(extra.people[rows])
    if len(names) < 2:
        return
    people, vectors = extra.people[rows], embed(extra, rows)
    chosen = np.random.default_rng(seed).permutation(names)[: min(ENROLLED_STRANGERS, len(names) // 2)]
    inside, turn = np.isin(people, chosen), np.zeros(len(rows), np.int64)
    for name in names:
        turn[people == name] = np.arange((people == name).sum())
    half: Bools = inside & (turn % 2 == 0)
    asked = inside & ~half
    both = _Enrolled(
        np.vstack([enrolled.vectors, vectors[half]]),
        np.concatenate([enrolled.people, people[half]]),
        {},
        enrolled.by,
    )
    if not asked.any():
        return
    best, who = both.search(vectors[asked], extra.sha256[rows][asked])
    strange, _ = both.search(vectors[~inside], extra.sha256[rows][~inside])
    right = who == people[asked]
    note = f"{len(chosen)} people of {extra.folder.name}, open, enrolled beside it by half of their photos"
    _add(result, "FNIR of newcomers", ~right | (best < threshold.score), people[asked], threshold, note)
    result.det_own = det_curve(Searches(best, right, people[asked], strange, people[~inside]))


def _strangers(
    enrolled: _Enrolled, data: Dataset, part: str, embed: Embedder, threshold: Threshold, result: Evaluation
) -> None:
    rows = _unknown(enrolled, data, part)
    if not len(rows):
        return
    people = data.people[rows]
    best, _ = enrolled.search(embed(data, rows), data.sha256[rows])
    note = f"all photos of {len(np.unique(people))} people of {data.folder.name}, {part}"
    if threshold.on_strangers and (len(rows), len(np.unique(people))) == (
        threshold.searches,
        threshold.people,
    ):
        note += "; as many as the threshold was set on: if they are the same, no test of it"
    name = f"FPIR of {'strangers' if part == 'open' else 'further strangers'}, {threshold.fpir:.1%} promised"
    _add(result, name, best >= threshold.score, people, threshold, note)


def _unknown(enrolled: _Enrolled, data: Dataset, part: str) -> I64:
    """Rows of the split whose people are not enrolled, by name or by content."""
    rows = data.where(part)
    known = {str(data.people[i]) for i in rows if str(data.sha256[i]) in enrolled.rows}
    known |= set(np.unique(enrolled.people).tolist())
    return rows[~np.isin(data.people[rows], sorted(known))] if len(rows) else rows


def _add(
    result: Evaluation, name: str, happened: Bools, people: NDArray[np.str_], threshold: Threshold, note: str
) -> None:
    rate = mean_over_people(happened.astype(float), people)
    if name.startswith("FPIR") and not enough_trials(len(happened), threshold.fpir):
        rate = Rate(NAN, NAN, NAN, len(happened))
    result.add(OWN, name, rate, threshold.score, note)
