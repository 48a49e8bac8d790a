"""Very large PNG and TIFF files a band of rows at a time, so that the whole picture is never in memory.

Each band becomes a small file of the same format, which Pillow reads as any other.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from facesearch.faces.rgb import rows_of

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Bytes a pixel of a PNG of eight bits, by its kind of colour."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIECE, PACKED_PIECE = 2**20, 2**16
TRUNCATED = "image file is truncated"

W, H, PACKING, OFFSETS, ROWS, COUNTS, PLANES = 256, 257, 259, 273, 278, 279, 284
TILE_W, TILE_H, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
KEPT = (W, 258, PACKING, 262, 266, 277, PLANES, 317, 320, 338, 339, 347, 530, 531, 532, TILE_W, TILE_H)
"""Tags that say how a TIFF's pixels are stored."""
LARGEST_BAND = 32 * 2**20
"""Bytes of one strip or row of tiles, decoded; a larger one is not read by parts."""


def read_in_bands(data: bytes, image: Image.Image) -> Iterator[Image.Image] | None:
    """The rows of a picture file from the top; None for a kind that has to be read whole. image: the opened
    file, of which only the head is read.
    """
    if isinstance(image, PngImageFile):
        return _png(data)
    if isinstance(image, TiffImageFile):
        return _tiff(data, image)
    return None


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of the rows; Pillow tells those of a TIFF as it turns it."""
    return (image.tag_v2[W], image.tag_v2[H]) if isinstance(image, TiffImageFile) else image.size


def turn_of(data: bytes, image: Image.Image) -> int:
    """EXIF's orientation of a file of which only the head is read: Pillow decodes a PNG to look for it."""
    if not isinstance(image, PngImageFile):
        return int(image.getexif().get(0x0112, 1))
    exif, at = Image.Exif(), len(SIGNATURE)
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"eXIf":
            exif.load(b"Exif\0\0" + data[at + 8 : at + 8 + size])
            break
        at += 12 + size
    return int(exif.get(0x0112, 1))


# ---- PNG: a row is stored as its difference from the one above, so a band begins with that one once more


def _png(data: bytes) -> Iterator[Image.Image] | None:
    w, h, depth, colour, packing, filters, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if depth != 8 or colour not in SAMPLES or packing or filters or interlaced:
        return None
    return _png_bands(data, w, h, colour)


def _png_bands(data: bytes, w: int, h: int, colour: int) -> Iterator[Image.Image]:
    a_row, rows = 1 + w * SAMPLES[colour], rows_of(w)
    before, said, above = bytearray(), b"", b""
    pixels = _unpacked(data)
    for y in range(0, h, rows):
        count = min(rows, h - y)
        while len(before) < count * a_row:
            piece = next(pixels, None)
            if piece is None:
                raise OSError(TRUNCATED)
            if isinstance(piece, tuple):  # of the head: what the colours are
                said += _chunk(*piece)
            else:
                before += piece
        packed = zlib.compress(bytes(above) + bytes(before[: count * a_row]), 0)
        del before[: count * a_row]
        head = struct.pack(">IIBBBBB", w, count + bool(above), 8, colour, 0, 0, 0)
        file = SIGNATURE + _chunk(b"IHDR", head) + said + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
        band: Image.Image = PngImageFile(io.BytesIO(file))
        band.load()
        if above:
            band = band.crop((0, 1, w, count + 1))
        above = b"\0" + band.crop((0, count - 1, w, count)).tobytes()
        yield band


def _unpacked(data: bytes) -> Iterator[bytes | tuple[bytes, bytes]]:
    """The stored rows, some at a time; before them the chunks that say what colours are."""
    unpack, at = zlib.decompressobj(), len(SIGNATURE)
    view = memoryview(data)
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = view[at + 8 : at + 8 + size]
        end = at + 12 + size
        if end > len(data):
            kind = b"cut off" if kind == b"IDAT" else kind
        elif zlib.crc32(body, zlib.crc32(kind)) != struct.unpack_from(">I", data, end - 4)[0]:
            raise SyntaxError(f"broken PNG file (bad checksum in {kind!r})")
        if kind in (b"PLTE", b"tRNS"):
            yield kind, bytes(body)
        if kind in (b"IDAT", b"cut off"):
            for start in range(0, len(body), PACKED_PIECE):
                rest = bytes(body[start : start + PACKED_PIECE])
                while rest and not unpack.eof:
                    yield unpack.decompress(rest, PIECE)
                    rest = unpack.unconsumed_tail
        if kind == b"IEND":
            return
        at = end


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


# ---- TIFF: it is stored in strips or rows of tiles


def _tiff(data: bytes, image: TiffImageFile) -> Iterator[Image.Image] | None:
    tags: Any = image.tag_v2
    w, h = stored_size(image)
    tiled = TILE_W in tags
    offsets, counts = (
        (tags.get(TILE_OFFSETS), tags.get(TILE_COUNTS)) if tiled else (tags.get(OFFSETS), tags.get(COUNTS))
    )
    if data[2:4] not in (b"*\0", b"\0*") or not offsets or not counts or len(offsets) != len(counts):
        return None
    if tags.get(PLANES, 1) != 1:
        return None
    rows, across = (tags[TILE_H], -(-w // tags[TILE_W])) if tiled else (min(h, tags.get(ROWS, h)), 1)
    if rows < 1 or len(offsets) != -(-h // rows) * across:
        return None
    pieces = list(zip(offsets, counts, strict=True))
    if not tiled and tags.get(PACKING, 1) == 1:
        pieces, rows = _by_rows(pieces, rows, h)
    if rows * w * 8 > LARGEST_BAND:
        return None
    return _tiff_bands(data, tags, pieces, (rows, across, h))


def _by_rows(pieces: list[tuple[int, int]], rows: int, h: int) -> tuple[list[tuple[int, int]], int]:
    """Strips that are not packed, cut to rows."""
    found = []
    for number, (start, count) in enumerate(pieces):
        n = min(rows, h - number * rows)
        a_row = count // n
        found += [(start + i * a_row, a_row) for i in range(n)]
    return found, 1


def _tiff_bands(
    data: bytes, tags: Any, pieces: list[tuple[int, int]], shape: tuple[int, int, int]
) -> Iterator[Image.Image]:
    rows, across, h = shape
    together = max(1, rows_of(tags[W]) // rows)
    for y in range(0, h, rows * together):
        own = pieces[y // rows * across : (y // rows + together) * across]
        if any(start + count > len(data) for start, count in own):
            raise OSError(TRUNCATED)
        band = TiffImageFile(io.BytesIO(_tiff_file(data, tags, own, (rows, min(rows * together, h - y)))))
        band.load()
        yield band


def _tiff_file(data: bytes, tags: Any, pieces: list[tuple[int, int]], rows: tuple[int, int]) -> bytes:
    """A TIFF of some rows: rows (a strip's, all)."""
    tiled = TILE_W in tags
    ifd = ImageFileDirectory_v2(data[:4] + b"\0\0\0\0")
    for tag in KEPT:
        if tag in tags:
            ifd.tagtype[tag] = tags.tagtype[tag]
            ifd[tag] = tags[tag]
    where, sizes = (TILE_OFFSETS, TILE_COUNTS) if tiled else (OFFSETS, COUNTS)
    ifd[H] = rows[1]
    if not tiled:
        ifd[ROWS] = rows[0]
    for tag in (H, ROWS, where, sizes):
        ifd.tagtype[tag] = 4
    ifd[sizes] = tuple(count for _, count in pieces)
    ifd[where] = tuple(0 for _ in pieces)
    start, places = 8 + len(ifd.tobytes(8)) if tiled else 0, []  # to strips Pillow adds what stands before
    for _, count in pieces:
        places.append(start)
        start += count
    ifd[where] = tuple(places)
    order = "<" if data[:2] == b"II" else ">"
    body = b"".join(data[at : at + count] for at, count in pieces)
    return data[:4] + struct.pack(order + "I", 8) + ifd.tobytes(8) + body
