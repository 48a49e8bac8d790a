"""How good a photo of a face is for recognising it. Pure functions of what was seen of it.

Which facts count was measured (scripts/quality.py): the detector's score sorts best, of people that no
encoder was trained as well; then how far the face is turned away. Size and sharpness say something of photos
that are far poorer than those that people are enrolled with. How long the encoder's vector was counts only
for encoders whose file tells the lengths of ordinary photos: of some it sorts best of all, of others it only
tells which people they were trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from facesearch.faces.align import TEMPLATE
from facesearch.faces.fit import fit_of
from facesearch.faces.found_by import ALIGNED, KNOWN, SHIPPED
from facesearch.records import Seen

SCORES = (
    *((0.0, 0.7), (0.001, 0.862), (0.005, 0.888), (0.01, 0.895), (0.02, 0.903), (0.05, 0.913)),
    *((0.1, 0.917), (0.2, 0.921), (0.5, 0.928), (0.9, 0.937), (1.0, 0.96)),
)
"""(share, score): so many ordinary photos have at most this score by the detector that is shipped. Of 1,308
photos of 50 people of CelebA; those of 50 others and of wild/ give the same to 0.01."""
YAWS = (
    *((0.0, 2.5), (0.001, 1.64), (0.005, 1.19), (0.01, 1.05), (0.02, 0.82), (0.05, 0.66)),
    *((0.1, 0.51), (0.2, 0.37), (0.5, 0.15), (0.9, 0.02), (1.0, 0.0)),
)
"""(share, yaw): so many of the same photos are turned away by at least this much, to either side."""
UNKNOWN_SCORE = 1.0
"""Of a face whose detector's score was not kept."""
NOT_FOUND = ("", ALIGNED, KNOWN)
"""Where no detector took part, landmarks may be those of all photos alike."""
POOR = 0.01
"""A photo whose quality is below is poor."""
SMALL_PX = 20.0
"""Of the box's shorter side. At 16 px a face's vector has a cosine of 0.8 with that of the same photo whole,
at 11 px of 0.6."""
BLURRED = 7.0
"""Variance of the crop's Laplacian. No one of 4,436 ordinary photos has less than 11; what is blurred so that
its vector keeps a cosine of 0.8 has 3."""


def quality_of(seen: Seen | None, found_by: str, notes: Mapping[str, Any]) -> float | None:
    """The share of ordinary photos that are poorer, 0 to 1: 0.05 is poorer than 95 % of them. found_by: what
    found the face (faces/found_by.py); notes: of the encoder. None where nothing is known of the face: a crop
    that no detector found, by an encoder that does not tell.
    """
    known = _shares(seen, found_by, notes).values()
    return _of_all(min(known), len(known)) if known else None


def poor_because(seen: Seen | None, found_by: str, notes: Mapping[str, Any]) -> tuple[str, ...]:
    """Why a face is poor, in words; empty where it is not. See quality_of."""
    if seen is None:
        return ()
    shares = _shares(seen, found_by, notes)
    below = {fact for fact, share in shares.items() if _of_all(share, len(shares)) < POOR}
    reasons = {
        "small": found_by not in NOT_FOUND and min(seen.box[2:]) < SMALL_PX,
        "blurred": 0 < seen.sharpness < BLURRED,
        "turned away": "yaw" in below,
        "the detector is unsure": "score" in below,
        "the encoder is unsure": "length" in below,
    }
    return tuple(words for words, so in reasons.items() if so)


def _shares(seen: Seen | None, found_by: str, notes: Mapping[str, Any]) -> dict[str, float]:
    """Of each fact that is known the share of ordinary photos that are poorer by it."""
    if seen is None:
        return {}
    known = {}
    if found_by == SHIPPED and seen.score < UNKNOWN_SCORE:
        known["score"] = _share(seen.score, SCORES)
    if found_by not in NOT_FOUND and len(seen.landmarks) == len(TEMPLATE) and len(set(seen.landmarks)) > 1:
        known["yaw"] = _share(abs(fit_of(np.array(seen.landmarks, np.float32)).yaw), YAWS)
    lengths = _table(notes.get("lengths"))
    if seen.length > 0 and lengths is not None:
        known["length"] = _share(seen.length, lengths)
    return known


def _table(noted: Any) -> Sequence[Sequence[float]] | None:
    """(share, value) pairs of an encoder's file, which may say anything; None for what is no such table."""
    try:
        table = np.array(noted, np.float64)
    except (TypeError, ValueError):
        return None
    right = table.ndim == 2 and table.shape[1] == 2 and len(table) > 1
    rising = right and bool((np.diff(table, axis=0) >= 0).all()) and 0 <= table[0, 0] <= table[-1, 0] <= 1
    return table.tolist() if rising else None


def _of_all(lowest: float, facts: int) -> float:
    """The share of photos whose lowest of so many shares is below this one, as of facts that have nothing to
    do with each other (Sidak 1967)."""
    return float(1 - (1 - lowest) ** facts)


def _share(value: float, table: Sequence[Sequence[float]]) -> float:
    """Read from (share, value), shares rising and values rising or falling; 0 and 1 past its ends."""
    shares, values = np.array(table, np.float64).T
    turn = 1 if values[-1] >= values[0] else -1
    return float(np.interp(turn * value, turn * values, shares))
