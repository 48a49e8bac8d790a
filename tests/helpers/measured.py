"""What a report of evaluate says of the gallery that it measured."""

from __future__ import annotations

from typing import Any

from facesearch.gallery.store.store import Store


def measured(store: Store, **given: Any) -> dict[str, Any]:
    """A report's note of this gallery as it is now."""
    threshold, (generation, mark) = store.notes.threshold(), store.notes.moment
    assert threshold is not None
    noted = {"faces": len(store), "people": 2, "by": threshold.by, "threshold": threshold.score}
    return noted | {"fpir": threshold.fpir, "generation": generation, "mark": mark} | given
