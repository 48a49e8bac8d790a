"""HEIC, which phones write: pillow-heif and its libheif, imported when the first such file comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from PIL import Image

from facesearch.faces.rgb import rows_of

NAME = "HEIC"
PACKAGE = "pillow_heif"
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_MAYBE = frozenset({b"mif1", b"msf1", b"mif2"})
AVIF = frozenset({b"avif", b"avis"})
LONGEST_FTYP = 512


def brands_of(data: bytes) -> list[bytes]:
    """What a file of ISO's base media format calls itself, its own brand first; none of another file."""
    if data[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(data[:4], "big"), LONGEST_FTYP, len(data))
    return [data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))]


def is_heif(data: bytes) -> bool:
    """Whether a file calls itself HEIC or HEIF. What calls itself AVIF alone is read by Pillow."""
    brands = set(brands_of(data))
    return bool(brands & _BRANDS) or (bool(brands & _MAYBE) and not brands & AVIF)


class Heif:
    """The first picture of a file. Its size is known at once, its pixels are decoded by `bands`.

    libheif turns the picture upright by the file's own box, so what EXIF says of turning is not done again.
    """

    def __init__(self, data: bytes) -> None:
        """Raises what libheif says of a damaged file: ValueError, SyntaxError, RuntimeError, EOFError."""
        import pillow_heif

        file = pillow_heif.open_heif(data, convert_hdr_to_8bit=True, remove_stride=False)
        self._image: Any = file[file.primary_index]
        self.size: tuple[int, int] = self._image.size
        self.mode: str = self._image.mode

    def bands(self) -> Iterator[Image.Image]:
        """Rows, without a copy of the picture beside libheif's own."""
        image = self._image
        image.load()
        (w, h), stride, data, mode = image.size, image.stride, memoryview(image.data), image.mode
        if (w, h) != self.size:
            raise ValueError("its pixels are of another size than it says")
        rows = rows_of(w)
        for y in range(0, h, rows):
            end = min(h, y + rows)
            yield Image.frombytes(
                mode, (w, end - y), bytes(data[y * stride : end * stride]), "raw", mode, stride
            )
