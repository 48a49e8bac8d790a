"""JPEG XL, where pillow-jxl-plugin is installed. It decodes a file when it is opened, so its size is read
here before that.
"""

from __future__ import annotations

import importlib
import io

from PIL import Image

NAME = "JPEG XL"
PACKAGE = "pillow_jxl"
MISSING = "a JPEG XL picture, which needs a package more: pip install 'facesearch[jxl]'"
_BOX = b"\0\0\0\x0cJXL \r\n\x87\n"
_STREAM = b"\xff\x0a"
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
MOST_BOXES = 1000


def is_jxl(data: bytes) -> bool:
    return data.startswith((_BOX, _STREAM))


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height, by the head alone (ISO/IEC 18181-1, D.2), not turned. Raises ValueError."""
    stream = _codestream(data)
    if not stream.startswith(_STREAM) or len(stream) < 12:
        raise ValueError("no JPEG XL picture in it")
    bits, at = int.from_bytes(stream[2:12], "little"), 0

    def read(count: int) -> int:
        nonlocal at
        value = bits >> at & (1 << count) - 1
        at += count
        return value

    def side() -> int:
        return 8 * (1 + read(5)) if small else 1 + read((9, 13, 18, 30)[read(2)])

    small = read(1)
    h = side()
    ratio = read(3)
    return (side() if not ratio else h * _RATIOS[ratio - 1][0] // _RATIOS[ratio - 1][1]), h


def _codestream(data: bytes) -> bytes:
    """The first bytes of the picture itself, in a file of boxes or without."""
    if data.startswith(_STREAM):
        return data[:12]
    at = 0
    for _ in range(MOST_BOXES):
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            start = at + head + 4 * (kind == b"jxlp")
            return data[start : start + 12]
        if size < head or at + size >= len(data):
            break
        at += size
    return b""


def is_there() -> bool:
    """Whether the plugin is; it is imported now."""
    try:
        importlib.import_module(PACKAGE)
    except ImportError:
        return False
    return True


def opened(data: bytes) -> tuple[Image.Image, int]:
    """The decoded picture, and EXIF's orientation where it still has to be turned: libjxl turns by its own
    stream, but a JPEG that was packed without loss comes back as it was.
    """
    image = Image.OPEN["JXL"][0](io.BytesIO(data), "")
    image.load()
    return image, image.getexif().get(0x0112, 1) if getattr(image, "jpeg", False) else 1
