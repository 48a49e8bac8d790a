"""Whether a gallery's faces were found as those that are asked for now."""

from __future__ import annotations

from facesearch.faces.found_by import ALIGNED, BY_HAND, KNOWN
from facesearch.gallery.store.store import Store

SILENT = {"", ALIGNED, BY_HAND, KNOWN}


def other_detectors(gallery: Store, name: str, *, whose: str = "this query's") -> str:
    """A sentence where faces of the gallery were found by another detector than the one of this name; else
    empty.

    whose: the owner of that one, in words. Nothing is said of crops that no detector made, on either side.
    Raises CorruptGallery.
    """
    silent = SILENT | {name}
    if name in SILENT or gallery.notes.detectors() <= silent:
        return ""
    counts = gallery.faces.detectors()
    others = {other: faces for other, faces in counts.items() if other not in silent}
    if not others:
        return ""
    found, total = sum(others.values()), sum(counts.values())
    were = "face was" if total == 1 else "faces were"
    by = "another detector" if len(others) == 1 else "other detectors"
    return (
        f"{found:,} of {total:,} {were} found by {by} ({', '.join(others)}) than {whose} ({name}): "
        "crops differ slightly, so scores may too."
    )
