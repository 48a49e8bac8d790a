"""Boxes x, y, width, height, in whatever unit both are."""

from __future__ import annotations

from collections.abc import Sequence


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (4,), 0 to 1."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(across, 0.0) * max(down, 0.0)
    return float(both / max(a[2] * a[3] + b[2] * b[3] - both, 1e-12))
