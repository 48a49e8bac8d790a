"""Photographs as people have them, turned: found as upright ones are, and cut as they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facesearch.encoder.openvino_runtime import loader_for
from facesearch.encoder.weights import SHIPPED
from facesearch.faces.align import crop_face
from facesearch.faces.detect import find_faces, load_detector
from facesearch.faces.photos import read_photo
from facesearch.records import F32, U8, Photo
from tests.helpers.places import SHARED

WILD = SHARED / "data" / "wild"
SIMILAR = 0.7
"""Cosine from which a turned photo's vector counts as the upright one's: far above that of other people."""

pytestmark = [pytest.mark.data, pytest.mark.slow, pytest.mark.skipif(not WILD.is_dir(), reason=f"no {WILD}")]


def turned(pixels: U8, degrees: int) -> U8:
    """Clockwise."""
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(pixels, -degrees // 90))
    h, w = pixels.shape[:2]
    side = int(np.hypot(h, w))
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), -degrees, 1)
    matrix[:, 2] += [(side - w) / 2, (side - h) / 2]
    return np.asarray(cv2.warpAffine(pixels, matrix, (side, side)), np.uint8)


def test_what_is_found_upright_is_found_turned():
    detector = load_detector(None)
    runtime = loader_for(SHIPPED, "cpu", "imagenet", threads=None, precision="float32")()
    photos = [read_photo(path) for path in sorted(WILD.rglob("*.jpg"))[::8]]
    pixels = [photo.pixels for photo in photos if isinstance(photo, Photo)]
    assert len(pixels) == 50

    def vectors(degrees: int) -> list[F32 | None]:
        found = []
        for photo in (turned(one, degrees) for one in pixels):
            faces = find_faces(detector, photo)
            found.append(runtime.embed(crop_face(photo, faces[0].landmarks)[None])[0] if faces else None)
        return found

    upright = vectors(0)
    assert sum(one is not None for one in upright) >= 49
    for degrees in (90, 180, 270, 30, 45, 60):
        pairs = [(a, b) for a, b in zip(upright, vectors(degrees), strict=True) if a is not None]
        assert sum(b is not None for _, b in pairs) >= 0.95 * len(pairs)
        same = sum(b is not None and float(a @ b) > SIMILAR for a, b in pairs)
        assert same >= 0.9 * len(pairs), degrees
