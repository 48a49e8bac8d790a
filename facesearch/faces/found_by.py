"""What found the face that a crop shows, in a word or two: crops of two detectors differ slightly."""

from __future__ import annotations

ALIGNED = "aligned"
"""Nothing did: the photo was taken as a crop."""
KNOWN = "known"
"""Nothing did: its landmarks came with the photo."""
BY_HAND = "by hand"
"""Nothing did: a person drew a box, and no landmarks were found in it."""
SHIPPED = "yunet 2026may"
SHIPPED_BEFORE = "yunet"
"""How datasets and albums call the shipped detector that were made before detectors had names of their own.
"""


def current_name(found_by: str) -> str:
    """What a dataset or an album says, as it is said now."""
    return SHIPPED if found_by == SHIPPED_BEFORE else found_by


def name_before(found_by: str) -> str:
    """The way back, for digests of what was done before."""
    return SHIPPED_BEFORE if found_by == SHIPPED else found_by
