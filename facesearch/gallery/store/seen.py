"""How a row keeps what is known of its face: 74 bytes, checked when they are read."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from facesearch.records import Seen

VERSION = 1
_LAYOUT = struct.Struct("<BB17f")
_CHECK = struct.Struct("<I")
BYTES = _LAYOUT.size + _CHECK.size
LANDMARKS = 5


def seen_bytes(seen: Seen) -> bytes:
    """As it is stored. Raises ValueError for what can be no face's."""
    if len(seen.landmarks) not in (0, LANDMARKS):
        raise ValueError(f"a face has {LANDMARKS} landmarks, not {len(seen.landmarks)}")
    points = [value for point in seen.landmarks for value in point] or [0.0] * 2 * LANDMARKS
    values = (*seen.box, *points, seen.score, seen.sharpness, seen.length)
    data = _LAYOUT.pack(VERSION, len(seen.landmarks), *values)
    data += _CHECK.pack(zlib.crc32(data))
    read_seen(data)
    return data


def read_seen(data: object) -> Seen:
    """The way back. The bytes may come from anybody: raises ValueError for what seen_bytes cannot have
    written.
    """
    if not isinstance(data, bytes) or len(data) != BYTES:
        raise ValueError("what is known of the face has another length")
    if _CHECK.unpack(data[_LAYOUT.size :])[0] != zlib.crc32(data[: _LAYOUT.size]):
        raise ValueError("what is known of the face does not fit its checksum")
    version, landmarks, *values = _LAYOUT.unpack(data[: _LAYOUT.size])
    x, y, w, h, *points, score, sharpness, length = values
    right = version == VERSION and landmarks in (0, LANDMARKS) and bool(np.isfinite(values).all())
    if not (right and w > 0 and h > 0 and 0 <= score <= 1 and sharpness >= 0 and length >= 0):
        raise ValueError("what is known of the face can be no face's")
    pairs = tuple(zip(points[::2], points[1::2], strict=True)) if landmarks else ()
    return Seen((x, y, w, h), pairs, score, sharpness, length)
