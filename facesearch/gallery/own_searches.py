"""What a gallery's own photos, each searched among all others, miss at its threshold: with all of them, and
without the poorest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from facesearch.answers import OwnSearches
from facesearch.faces.quality import quality_of
from facesearch.gallery.store.rows import Threshold
from facesearch.gallery.store.store import Store
from facesearch.metrics.audit import own_scores
from facesearch.records import F32, I64, Bools

POOREST = 0.05
FEWEST = 100
"""Of fewer photos five in a hundred say nothing."""
SEARCHED = 2000
MOST_FACES = 50_000
"""All are compared with all, in memory."""
AT_ONCE = 256


def own_searches(
    gallery: Store, threshold: Threshold, notes: Mapping[str, Any], *, seed: int = 0
) -> OwnSearches | None:
    """Search up to SEARCHED photos whose quality is known, of people with several, among everybody's others.
    notes: of the encoder. By templates the photo is left out of its own person's. None where these are fewer
    than FEWEST, and of galleries of more than MOST_FACES.

    Raises CorruptGallery.
    """
    if len(gallery) > MOST_FACES or not gallery.notes.has_seen_column():
        return None
    ids, vectors, people = gallery.faces.vectors()
    seen, found_by = gallery.faces.seen(ids.tolist()), gallery.faces.found_by(ids.tolist())
    found = [quality_of(seen.get(i), found_by.get(i, ""), notes) for i in ids.tolist()]
    quality = np.array([np.nan if one is None else one for one in found])
    _, codes = np.unique(np.array(people), return_inverse=True)
    asked = np.flatnonzero((np.bincount(codes)[codes] > 1) & ~np.isnan(quality))
    if len(asked) < FEWEST:
        return None
    asked = np.random.default_rng(seed).permutation(asked)[:SEARCHED]
    miss = _missed if threshold.by == "best-photo" else _missed_by_templates
    missed = miss(vectors, codes, asked, threshold.score)
    left = quality[asked] >= np.quantile(quality[asked], POOREST)
    return OwnSearches(len(asked), POOREST, float(missed.mean()), float(missed[left].mean()))


def _missed(vectors: F32, codes: I64, asked: I64, limit: float) -> Bools:
    """Of which photos (q,) the nearest other photo is not their person's, or lies below the limit."""
    out = []
    for start in range(0, len(asked), AT_ONCE):
        part = asked[start : start + AT_ONCE]
        cosines = vectors[part] @ vectors.T
        cosines[np.arange(len(part)), part] = -2
        best = cosines.argmax(axis=1)
        out.append((codes[best] != codes[part]) | (cosines[np.arange(len(part)), best] < limit))
    missed: Bools = np.concatenate(out)
    return missed


def _missed_by_templates(vectors: F32, codes: I64, asked: I64, limit: float) -> Bools:
    """The same where a person's score is by the mean of their photos; of the searched photo's own person by
    the mean of the others.
    """
    each = np.arange(len(codes))
    templates, own = own_scores(vectors, codes, each, np.ones(len(codes), np.bool_))
    out = []
    for start in range(0, len(asked), AT_ONCE):
        part = asked[start : start + AT_ONCE]
        cosines = vectors[part] @ templates.T
        cosines[np.arange(len(part)), codes[part]] = np.nan_to_num(own[part])
        best = cosines.argmax(axis=1)
        out.append((best != codes[part]) | (cosines[np.arange(len(part)), best] < limit))
    missed: Bools = np.concatenate(out)
    return missed
