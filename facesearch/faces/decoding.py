"""A picture file's bytes to upright RGB, in bounded memory and time, whatever program made the file.

Only formats that photographs are in are read, only by decoders that are compiled, and in no more pieces and
passes than photographs have. What all decoding in this process takes together is bounded by `DECODING`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import struct
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import cv2
from PIL import Image, UnidentifiedImageError

from facesearch.faces import heif, jxl, webp
from facesearch.faces.bands import read_in_bands, stored_size, turn_of
from facesearch.faces.budget import DECODING, ROOM, Lease
from facesearch.faces.rgb import GREY_16, SIDEWAYS, bands_of, top_of, upright
from facesearch.records import U8, scale_of

for _plugin in (
    "Jpeg",
    "Png",
    "WebP",
    "Gif",
    "Bmp",
    "Tiff",
    "Ppm",
    "Avif",
):  # Image.init() would load forty, at every start
    with contextlib.suppress(ImportError):  # this Pillow was built without it
        importlib.import_module(f"PIL.{_plugin}ImagePlugin")
PILLOWS = tuple(
    name for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF") if name in Image.OPEN
)
"""Formats that are read by Pillow itself."""
FORMATS = (
    *PILLOWS,
    *(name for name, package in (("HEIF", heif.PACKAGE), ("JXL", jxl.PACKAGE)) if find_spec(package)),
)
"""All formats that are read here; none of the packages is imported yet."""
MAX_PIXELS = 260_000_000
"""Above this a picture is refused from its header alone. Phones write 200 megapixels."""
MOST_HELD = 320 * 2**20
"""Bytes that a decoder may hold which cannot read by parts or at a smaller size: it then works alone."""
LEAST_ROOM = 64 * 2**20
"""For what is reduced, of a picture whose decoder fills the room."""
NO_PICTURE = (
    "not a picture that can be read (JPEG, HEIC, PNG, WebP, GIF, BMP, TIFF, binary PPM, AVIF, JPEG XL)"
)
PLAIN_PPM = "a plain PPM, in which numbers are written as text; only binary ones are read"
SLOW = "its kind of {} is one that photographs are not in"
TOO_HEAVY = "a {} of {} megapixels; of its kind those of up to {} are read"
PIECES = "it is in more pieces than photographs are"
SCANS = "it is built up in more passes than photographs are"

HEADER_READS = 5_000
"""Pieces in which Pillow may read a file's head; those of photographs are some hundreds."""
BYTES_A_READ = 64
"""After the head, as many bytes a piece at least, on average."""
MOST_SCANS, MOST_SCANNED = 100, 1_200_000_000
"""Passes of a progressive JPEG; and pixels in all of them together, which is what takes time."""
HALVED_PX = 2240
"""So long a JPEG is when it may come at half its size: a photo of four megapixels."""
LONGEST_DAMAGE = 200

_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
"""Bytes in which Pillow holds a pixel; 4 in every other mode."""
_BESIDE = {"WEBP": 12, "AVIF": 8, "TIFF": 8}
"""Bytes a pixel that a format's decoder holds beside it, at most."""
_HEIF, _JXL = 5, 12
"""Bytes a pixel of the decoders that Pillow has no part in."""
_RGB = 3


@dataclass(frozen=True, slots=True)
class Decoded:
    """pixels (h, w, 3) uint8 RGB, upright. size: width and height of the upright original, from which they
    are reduced by one factor where it is too large to be kept whole. halved: there would be room for more.
    """

    pixels: U8
    size: tuple[int, int]
    halved: bool = False

    @property
    def scale(self) -> float:
        """Pixels of the original to one of `pixels`."""
        return scale_of(self.size, self.pixels)


class TooManyPieces(Exception):
    """A file makes its reader read more often than photographs do."""


class _Counted(io.BytesIO):
    """A file in memory that may be read so many times."""

    left = HEADER_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise TooManyPieces(PIECES)
        return super().read(size)


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, longest_px: int | None = None, half: bool = False
) -> Decoded | str:
    """Decode a picture file's bytes to (h, w, 3) uint8 RGB, or say in words why it cannot be done.

    A picture that does not fit into ROOM is reduced by a whole number, its pixels averaged. longest_px: the
    longer side wanted, of a picture that is larger; a JPEG is not even decoded whole for it. half: a JPEG
    that is longer than HALVED_PX may come at half its size.
    """
    if not data:
        return "the file is empty"
    if re.match(rb"P[123][\s#]", data):
        return PLAIN_PPM
    if re.match(rb"P[^456]", data):
        return NO_PICTURE
    wanted = Wanted(max_pixels, longest_px, half)
    try:
        with _pillow_is_quiet():
            if heif.is_heif(data):
                return _heif(data, wanted)
            if jxl.is_jxl(data):
                return _jxl(data, wanted)
            return _by_pillow(data, wanted)
    except UnidentifiedImageError:
        return NO_PICTURE
    except Exception as error:  # noqa: BLE001 -- whatever a decoder raises is this one picture's fault
        return damage(error)


def shape_of(data: bytes) -> tuple[tuple[int, int], int]:
    """Width and height of the picture as it is stored, and EXIF's orientation, which turns it upright: 1
    where its decoder does. By its head alone where there is one. Raises ValueError where it is no picture.
    """
    try:
        with _pillow_is_quiet():
            if heif.is_heif(data):
                return heif.Heif(data).size, 1
            if not jxl.is_jxl(data):
                with _opened(_Counted(data)) as image:
                    return stored_size(image), turn_of(data, image)
    except Exception as error:
        raise ValueError(damage(error)) from error
    decoded = decode(data)
    if isinstance(decoded, str):
        raise ValueError(decoded)
    return decoded.size, 1


def pixels_of(image: Image.Image, *, max_pixels: int = MAX_PIXELS) -> Decoded | str:
    """A Pillow image as (h, w, 3) uint8 RGB, upright, or why it cannot be had: it may be of a file that is
    cut off, and is read only now.
    """
    try:
        if refused := _refused(image, 1, max_pixels):
            return refused
        held = _pixels(image) * _held(image)
        source = _Source(image.format or image.mode, image.size, _weight(image), held)
        plan = _planned(source, Wanted(max_pixels))
        if isinstance(plan, str):
            return plan
        with DECODING.taken(plan.weight) as lease:
            image.load()
            return _done(image, bands_of(image), source, plan, lease)
    except Exception as error:  # noqa: BLE001 -- whatever a decoder raises is this one picture's fault
        return damage(error)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller takes: how many pixels at most, and how long a longer side is enough."""

    max_pixels: int
    longest_px: int | None = None
    half: bool = False


@dataclass(frozen=True, slots=True)
class _Source:
    """A picture before it is decoded: its format's name, its size as stored, the bytes that decoding takes at
    its peak, and those that are held while it is converted, both however small the result is."""

    name: str
    size: tuple[int, int]
    peak: int
    held: int

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]


@dataclass(frozen=True, slots=True)
class _Plan:
    """By what a picture is reduced while it is converted, and the bytes that it takes at its peak."""

    factor: int
    weight: int
    longest_px: int | None = None


def _planned(source: _Source, wanted: Wanted) -> _Plan | str:
    """The smallest reduction with which a picture fits into ROOM, or why there is none: its decoder alone
    may take more than MOST_HELD.
    """
    worst = max(source.peak, source.held)
    if worst > MOST_HELD:
        most = MOST_HELD * source.pixels // worst // 1_000_000
        return TOO_HEAVY.format(source.name, round(source.pixels / 1_000_000), most)
    factor, room = 1, max(ROOM - source.held, LEAST_ROOM)
    while _RGB * source.pixels > room * factor**2:
        factor += 1
    if wanted.longest_px is not None:  # twice as long as wanted, for a good mean
        factor = max(factor, max(source.size) // (2 * wanted.longest_px))
    weight = max(source.peak, source.held + _RGB * source.pixels // factor**2)
    return _Plan(factor, weight, wanted.longest_px)


def _done(
    image: Image.Image | None,
    bands: Iterable[Image.Image],
    source: _Source,
    plan: _Plan,
    lease: Lease,
    turn: int | None = None,
) -> Decoded:
    """The rows of a picture as pixels, upright; image: says how it is turned, and what is white."""
    if turn is None:
        turn = image.getexif().get(0x0112, 1) if image is not None else 1
    top = GREY_16 if image is None else top_of(image)
    pixels = _small(upright(bands, source.size, turn, plan.factor, top), plan.longest_px)
    lease.keep = pixels.nbytes
    return Decoded(pixels, source.size[::-1] if turn in SIDEWAYS else source.size)


def _by_pillow(data: bytes, wanted: Wanted) -> Decoded | str:
    file = _Counted(data)
    with _opened(file) as image:
        image.seek(0)
        scans = _scans(data) if image.format in ("JPEG", "MPO") else 1
        if refused := _refused(image, scans, wanted.max_pixels):
            return refused
        file.left = HEADER_READS + len(data) // BYTES_A_READ
        if image.format in ("JPEG", "MPO"):
            return _jpeg(data, image, scans, wanted)
        held = _pixels(image) * _held(image) + len(data)
        source = _Source(image.format or "", image.size, _weight(image) + len(data), held)
        banded = None
        if max(source.peak, held + _RGB * source.pixels) > ROOM:
            source, banded = _leaner(data, image, source)
        plan = _planned(source, wanted)
        if isinstance(plan, str):
            return plan
        with DECODING.taken(plan.weight) as lease:
            if banded is not None:
                return _done(None, banded, source, plan, lease, turn_of(data, image))
            image.load()
            return _done(image, bands_of(image), source, plan, lease)


def _leaner(data: bytes, image: Any, source: _Source) -> tuple[_Source, Iterator[Image.Image] | None]:
    """The same picture by a way that holds less than Pillow does, as bands of rows, where there is one."""
    if image.format == "WEBP" and not image.is_animated:
        channels = 4 if image.mode == "RGBA" else 3
        peak, held = (len(data) + source.pixels * n for n in webp.bytes_a_pixel(data, channels))
        return replace(source, peak=peak, held=held), webp.bands(data, image.size, channels)
    banded = read_in_bands(data, image)
    if banded is not None:
        source = replace(source, peak=len(data), held=len(data), size=stored_size(image))
    return source, banded


def _jpeg(data: bytes, image: Any, scans: int, wanted: Wanted) -> Decoded | str:
    """A JPEG's own decoder reduces it by 2, 4 or 8 while it decodes."""
    size, pixels, held = image.size, image.size[0] * image.size[1], _held(image)
    fixed = _coefficients(image) if scans > 1 else 0
    if fixed + len(data) > MOST_HELD:
        most = max(0, MOST_HELD - len(data)) * pixels // fixed // 1_000_000
        return TOO_HEAVY.format("progressive JPEG", round(pixels / 1_000_000), most)
    room, reduced = ROOM - len(data), 1
    while reduced < 8 and not (
        pixels * (held + _RGB) <= room * reduced**2
        and pixels * held <= max(room - fixed, LEAST_ROOM) * reduced**2
    ):
        reduced *= 2
    if wanted.longest_px is not None:
        while reduced < 8 and max(size) >= 2 * reduced * wanted.longest_px:
            reduced *= 2
    halved = wanted.half and reduced == 1 and max(size) > HALVED_PX
    reduced = 2 if halved else reduced
    if reduced > 1:
        image.draft("RGB", (size[0] // reduced, size[1] // reduced))
    now = _Source("JPEG", image.size, 0, 0)
    weight = len(data) + max(fixed + now.pixels * held, now.pixels * (held + _RGB))
    with DECODING.taken(weight) as lease:
        turn = image.getexif().get(0x0112, 1)
        image.load()
        done = _done(image, bands_of(image), now, _Plan(1, weight, wanted.longest_px), lease, turn)
    return Decoded(done.pixels, size[::-1] if turn in SIDEWAYS else size, halved)


def _coefficients(image: Any) -> int:
    """Bytes of those of a JPEG of several passes, which are kept until the last one, at any reduction."""
    samples = [(h, v) for _, h, v, *_ in image.layer]
    most: int = max(h for h, _ in samples) * max(v for _, v in samples)
    pixels: int = image.size[0] * image.size[1]
    samples_a_block: int = sum(h * v for h, v in samples)
    return pixels * 2 * samples_a_block // max(1, most)


def _heif(data: bytes, wanted: Wanted) -> Decoded | str:
    picture = heif.Heif(data)
    source = _Source(heif.NAME, picture.size, 0, 0)
    if min(source.size) < 1:
        return "the picture has no pixels"
    if source.pixels > wanted.max_pixels:
        return _too_large(wanted.max_pixels)
    held = len(data) + source.pixels * len(picture.mode)
    source = replace(source, peak=len(data) + source.pixels * _HEIF, held=held)
    plan = _planned(source, wanted)
    if isinstance(plan, str):
        return plan
    with DECODING.taken(plan.weight) as lease:
        return _done(None, picture.bands(), source, plan, lease)


def _jxl(data: bytes, wanted: Wanted) -> Decoded | str:
    source = _Source(jxl.NAME, jxl.size_of(data), 0, 0)
    if source.pixels > wanted.max_pixels:
        return _too_large(wanted.max_pixels)
    if not jxl.is_there():
        return jxl.MISSING
    peak, held = len(data) + source.pixels * _JXL, len(data) + source.pixels * 4
    source = replace(source, peak=peak, held=held)
    plan = _planned(source, wanted)
    if isinstance(plan, str):
        return plan
    with DECODING.taken(plan.weight) as lease:
        image, turn = jxl.opened(data)
        if image.size[0] * image.size[1] != source.pixels:
            raise ValueError("its pixels are of another size than it says")
        return _done(image, bands_of(image), replace(source, size=image.size), plan, lease, turn)


def _opened(file: _Counted) -> Image.Image:
    """As Image.open does, without its own limit of pixels, which is lower than ours. Raises
    UnidentifiedImageError.
    """
    prefix = file.read(16)
    for name in PILLOWS:
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(prefix)
        if isinstance(accepted, str) or not accepted:
            continue
        file.seek(0)
        with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
            return factory(file, "")
    raise UnidentifiedImageError


def damage(error: Exception) -> str:
    """What a decoder's own error says of a picture, in one printable line. Decoders raise what they like: a
    damaged AVIF a RuntimeError, a header that promises too much a MemoryError.
    """
    try:
        said = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 -- even its words may be broken
        said = ""
    said = "".join(filter(str.isprintable, said))[:LONGEST_DAMAGE]
    return f"the picture is damaged: {said or type(error).__name__}"


def _small(pixels: U8, longest_px: int | None) -> U8:
    h, w = pixels.shape[:2]
    if longest_px is None or max(h, w) <= longest_px:
        return pixels
    shrink = longest_px / max(h, w)
    size = (max(1, round(w * shrink)), max(1, round(h * shrink)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _refused(image: Image.Image, scans: int, max_pixels: int) -> str:
    """Why a picture is not decoded, by its header alone; empty when it may be."""
    w, h = image.size
    if min(w, h) < 1:
        return "the picture has no pixels"
    if _pixels(image) > max_pixels:
        return _too_large(max_pixels)
    if any(tile[0] in Image.DECODERS for tile in getattr(image, "tile", ())):
        return SLOW.format(image.format)  # those that are written in Python take minutes
    if scans > MOST_SCANS or scans * w * h > max(MOST_SCANNED, w * h):
        return SCANS
    return ""


def _pixels(image: Image.Image) -> int:
    """How many the decoder makes room for: a TIFF's tile may be larger than the picture."""
    (w, h), tags = image.size, getattr(image, "tag_v2", {})
    tile_w, tile_h = tags.get(322, 1), tags.get(323, 1)
    if isinstance(tile_w, int) and isinstance(tile_h, int):
        return max(w * h, tile_w * tile_h)
    return w * h


def _held(image: Image.Image) -> int:
    """Bytes a pixel that a decoded picture takes in Pillow."""
    return _STORED.get(image.mode, 4)


def _weight(image: Image.Image) -> int:
    """Bytes that decoding it takes at its peak, at most, beside the result."""
    return _pixels(image) * (_held(image) + _BESIDE.get(image.format or "", 0))


def _too_large(max_pixels: int) -> str:
    return f"the picture has more than {max_pixels // 1_000_000} megapixels"


_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
_START, _END, _SCAN, _ALONE = 0xD8, 0xD9, 0xDA, 0x01


def _scans(data: bytes) -> int:
    """Passes over the picture in a JPEG file; more than MOST_SCANS where they cannot be counted."""
    if data.count(b"\xff\xda") < 2:
        return 1
    scans, at = 0, 0
    for _ in range(HEADER_READS):
        found = _MARKER.search(data, at)
        if found is None or found[1][0] == _END:
            return scans
        at, code = found.end(), found[1][0]
        scans += code == _SCAN
        if code not in (_START, _ALONE):
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return MOST_SCANS + 1


PILLOWS_WARNINGS: Any = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


@contextlib.contextmanager
def _pillow_is_quiet() -> Iterator[None]:
    """Pillow warns of large pictures and odd EXIF, about which we have rules of our own.

    warnings.catch_warnings belongs to the whole process: in several threads at once it would leave the
    filters of another one behind, and keep all else silent meanwhile. Here each thread puts one entry in and
    takes one out, which are all alike.
    """
    warnings.filters.insert(0, PILLOWS_WARNINGS)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # somebody has put other filters there meanwhile
            warnings.filters.remove(PILLOWS_WARNINGS)  # type: ignore[attr-defined]
