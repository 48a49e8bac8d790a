"""How well each person of a gallery stands apart from everybody else, by the vectors alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesearch.evaluation.audit import labelled_gallery
from facesearch.gallery.store.store import Store
from facesearch.metrics.audit import fit


@dataclass(frozen=True, slots=True)
class Separation:
    """separation: the mean, over the person's photos, of the score with the person's other photos less that
    with the nearest other person; below 0 the photos are closer to somebody else. None for a single photo.
    nearest: to whom most photos come closest, None in a gallery of one person.
    """

    name: str
    photos: int
    separation: float | None
    nearest: str | None


def separations(gallery: Store) -> list[Separation]:
    """Everybody enrolled, the worst separated first, whoever has a single photo last. Copies of one file
    count once.

    Scores are with mean vectors, each photo without itself, as in the audit.
    """
    data = labelled_gallery(gallery)
    if not len(data):
        return []
    names, codes = np.unique(data.people, return_inverse=True)
    _, contents = np.unique(data.sha256, return_inverse=True)
    fitted = fit(data.vectors, codes, contents, np.ones(len(data), np.bool_))
    found = []
    order = np.argsort(codes, kind="stable")
    for name, rows in zip(
        names.tolist(), np.split(order, np.flatnonzero(np.diff(codes[order])) + 1), strict=True
    ):
        margins = (fitted.own - fitted.other)[rows]
        known = margins[np.isfinite(margins)]
        nearest = None if len(names) < 2 else str(names[np.bincount(fitted.who[rows]).argmax()])
        separation = None if nearest is None or not len(known) else float(known.mean())
        found.append(Separation(name, len(rows), separation, nearest))
    return sorted(
        found, key=lambda person: (person.separation is None, person.separation or 0.0, person.name)
    )
