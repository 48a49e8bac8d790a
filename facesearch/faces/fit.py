"""Whether five landmarks can be a face's, how it is rolled and which way it looks. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesearch.faces.align import TEMPLATE, similarity
from facesearch.records import F32

MOST_OFF_PX = 11.0
"""Root mean square distance from the template, in pixels of the crop (112), that a face's landmarks have at
most. Of photos that were turned upright one in a thousand has more."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How landmarks lie in the crop that is cut by them. off_px: their root mean square distance from the
    template; roll_deg: by how much the face is rolled in the photo, clockwise; yaw: where the nose stands
    between the eyes, 0 in the middle, -1 and 1 right below one; ordered: the nose lies between eyes and
    mouth."""

    off_px: float
    roll_deg: float
    yaw: float
    ordered: bool

    @property
    def is_face(self) -> bool:
        return self.ordered and self.off_px <= MOST_OFF_PX


def fit_of(landmarks: F32) -> Fit:
    """landmarks (5, 2) float32 in pixels of any picture. Raises ValueError when they all lie on one point."""
    matrix = similarity(landmarks, TEMPLATE)
    points = landmarks @ matrix[:, :2].T + matrix[:, 2]
    off = float(np.sqrt(((points - TEMPLATE) ** 2).sum(axis=1).mean()))
    roll = float(np.degrees(np.arctan2(-matrix[1, 0], matrix[0, 0])))
    eyes, mouth, nose = points[:2].mean(axis=0), points[3:].mean(axis=0), points[2]
    between = float(np.linalg.norm(points[1] - points[0]))
    yaw = 2 * float(nose[0] - eyes[0]) / max(between, 1e-6)
    ordered = bool(eyes[1] < nose[1] < mouth[1] and points[0, 0] < points[1, 0])
    return Fit(off, roll, yaw, ordered)


def can_be_face(landmarks: F32) -> bool:
    """Whether landmarks can be a face's; of a detector that finds the eyes alone, (2, 2), nobody can tell."""
    return len(landmarks) != len(TEMPLATE) or fit_of(landmarks).is_face
