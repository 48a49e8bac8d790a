"""What a file is, by its first bytes and not by its suffix: a picture that is read, a picture or a video that
is not, or something else. Nothing that looks like a photo is passed over without a word.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from facesearch.faces.decoding import FORMATS
from facesearch.faces.heif import AVIF, brands_of, is_heif
from facesearch.files import open_regular
from facesearch.records import Skipped, not_read

HEAD = 1024
"""Bytes of a file that tell what it is."""

SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "webp", "gif", "bmp", "tif", "tiff"),
        *("ppm", "pgm", "pnm", "avif", "heic", "heif", "hif", "jxl"),
    )
)
"""Of pictures that are read: such a file is opened when it is read, and not before that."""
RAW, VIDEO = "RAW", "video"
RAW_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "iiq", "k25", "kdc", "mef", "mos"),
        *("mrw", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
_WORDS = {"HEIF": "HEIC", "JXL": "JPEG XL"}
"""How formats are called that need a package, where it is not there."""

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\xff\x0a", "JXL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"II\xbc", "JPEG XR"),
    (b"8BPS", "Photoshop"),
    (b"gimp xcf", "GIMP"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance"),
    (b"BPG\xfb", "BPG"),
    (b"qoif", "QOI"),
    (b"AT&TFORM", "DjVu"),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"MMOR", RAW),
    (b"IIU\0", RAW),
    (b"FOVb", RAW),
    (b"\0MRM", RAW),
    (b"II\x1a\0\0\0HEAP", RAW),
    (b"\x1a\x45\xdf\xa3", VIDEO),  # Matroska, WebM
    (b"\0\0\x01\xba", VIDEO),  # MPEG
    (b"\0\0\x01\xb3", VIDEO),
    (b"FLV\x01", VIDEO),
    (b".RMF", VIDEO),
    (b"\x06\x0e\x2b\x34", VIDEO),  # MXF
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_BRANDS = {
    b"crx ": RAW,
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ", b"aax ", b"jp2 ", b"jpx "), ""),
}
"""What a file of ISO's base media format is that is no picture, by its brand; of any other brand it is a
video."""
_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_VIDEO_SUFFIXES = frozenset([".mov", ".mp4", ".qt", ".m4v", ".3gp", ".3g2"])
_SVG = re.compile(rb"\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<(?:\w+:)?svg[\s>]", re.DOTALL)


def kind_of(head: bytes, suffix: str = "") -> str:
    """What a file is that starts so: a picture's format as Pillow calls it, or another's name; RAW, video;
    empty for what is none of them. suffix tells RAW files from the TIFF files that they pretend to be.
    """
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head.startswith(_TIFF):
        return RAW if suffix.lower() in RAW_SUFFIXES or _is_raw_tiff(head) else "TIFF"
    if head[4:8] == b"ftyp":
        return _of_brand(head)
    if head[4:8] in _QUICKTIME and suffix.lower() in _VIDEO_SUFFIXES:
        return VIDEO
    if head.startswith(b"RIFF"):
        return {b"WEBP": "WEBP", b"AVI ": VIDEO}.get(head[8:12], "")
    if head.startswith(_ASF):
        return "" if suffix.lower() == ".wma" else VIDEO
    if head.startswith(b"OggS"):
        return VIDEO if b"\x80theora" in head else ""
    if (
        head.startswith(b"BM")
        and head[6:10] == b"\0\0\0\0"
        and head[14:15] in b"\x0c\x28\x34\x38\x40\x6c\x7c"
    ):
        return "BMP"
    if re.match(rb"P[1-6][\s#]\s*[\d#]", head) and b"\0" not in head[:3]:
        return "PPM"
    if _SVG.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "SVG"
    return VIDEO if _is_transport_stream(head) else ""


def wrong_kind(data: bytes, suffix: str) -> str:
    """What a file is, by all its bytes, that is no picture that is read; empty for one, or for none."""
    kind = kind_of(data[:HEAD], suffix)
    if kind == "TIFF" and _is_raw_tiff(data):
        kind = RAW
    return "" if kind in FORMATS else kind


def skipped_as(path: Path, kind: str) -> Skipped:
    """A file of this kind, which is not read."""
    advice = "; the extra facesearch[jxl] reads them" if kind == "JXL" else ""
    return not_read(path, _WORDS.get(kind, kind), advice)


def is_read_now(reason: str) -> bool:
    """Whether a file that was skipped for this reason is of a kind that is read by now."""
    word = Skipped(Path(), reason).unread
    return next((kind for kind, said in _WORDS.items() if said == word), word) in FORMATS


Facts = tuple[int, int]
"""Bytes and time of a file: what changes with its content."""


@dataclass(slots=True)
class Judge:
    """Says of files what they are, and opens none that is as it was. known: what was found before; found:
    what has been found now, or is still so.
    """

    known: Mapping[Path, tuple[Facts, str]] = field(default_factory=dict)
    found: dict[Path, tuple[Facts, str]] = field(default_factory=dict)

    def __call__(self, path: Path) -> str:
        """What the regular file at this path is: see kind_of. Raises OSError."""
        facts = path.stat()
        state = (facts.st_size, facts.st_mtime_ns)
        before = self.known.get(path) or self.found.get(path)
        if before is not None and before[0] == state:
            self.found[path] = before
            return before[1]
        kind = kind_of(_head(path, facts.st_mode), path.suffix)
        self.found[path] = (state, kind)
        return kind

    def look(self, path: Path) -> Path | Skipped | None:
        """The file as a photo to be read, or why a photo is not; None for what is no picture and no video."""
        if path.suffix.lower() in SUFFIXES:
            return path
        kind = self(path)
        if kind in FORMATS:
            return path
        return skipped_as(path, kind) if kind else None


def _head(path: Path, mode: int) -> bytes:
    """The first bytes of a regular file; none of a pipe or a device, which would be waited for."""
    if not stat.S_ISREG(mode):
        return b""
    with open_regular(path) as file:
        return file.read(HEAD)


def _of_brand(head: bytes) -> str:
    """What a file of ISO's base media format is: a picture by any of its brands, else by its first one."""
    if is_heif(head):
        return "HEIF"
    brands = brands_of(head)
    return _BRANDS.get(brands[0], VIDEO) if AVIF.isdisjoint(brands) else "AVIF"


def _is_transport_stream(head: bytes) -> bool:
    """MPEG's packets begin with 0x47, each 188 bytes long, or 192 with a time before it (AVCHD)."""
    if head.isascii() and b"\0" not in head:  # text
        return False
    return any(
        len(head) > first + 3 * step and all(head[first + i * step] == 0x47 for i in range(4))
        for first, step in ((0, 188), (4, 192))
    )


_SUBFILE, _PHOTOMETRIC, _SUB_IFDS, _DNG = 254, 262, 330, 50706
_SENSOR = (32803, 34892)
"""What a sensor saw, as it is or put together to one line."""


def _is_raw_tiff(data: bytes) -> bool:
    """Whether a TIFF holds what a camera's sensor saw: its first picture is then a small preview."""
    if data[8:10] == b"CR" or data[8:12] == b"IIII":
        return True
    tags = dict(_first_tags(data))
    return (
        _DNG in tags or tags.get(_PHOTOMETRIC) in _SENSOR or (_SUB_IFDS in tags and tags.get(_SUBFILE) == 1)
    )


def _first_tags(data: bytes) -> Iterator[tuple[int, int]]:
    """Number and value of the tags in a TIFF's first directory, as far as it is in data."""
    order = "little" if data[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]

    if number(2, 2) != 42:  # BigTIFF: no camera writes it
        return
    start = number(4, 4)
    for i in range(min(number(start, 2), 512)):
        at = start + 2 + 12 * i
        if at + 12 > len(data):
            return
        kind = number(at + 2, 2)
        yield number(at, 2), number(at + 8, 2 if kind == 3 else 4)
