"""Decoding is bounded: in bytes for all callers together, in pieces and passes, to what photographs are."""

from __future__ import annotations

import io
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from facesearch.faces import decoding, rgb
from facesearch.faces.budget import Budget
from facesearch.faces.decoding import NO_PICTURE, PIECES, PLAIN_PPM, SCANS, decode
from facesearch.faces.rgb import bands_of, top_of, upright


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8))
    (image or noise).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("head", [b"P1", b"P2", b"P3"])
def test_plain_ppm_is_refused_before_a_comment_is_read(head: bytes):
    assert decode(head + b"\n# " + b"x" * 1_000_000 + b"\n1 1\n255\n0 0 0\n") == PLAIN_PPM
    assert decode(head + b"#\n1 1\n255\n0 0 0\n") == PLAIN_PPM


@pytest.mark.parametrize("data", [b"Pf\n1 1\n-1\n\0\0\0\0", b"Py\n", b"P7\nWIDTH 1", b"P0CMYK\n1 1\n255\n"])
def test_kinds_of_ppm_that_no_photograph_is_in_are_refused(data: bytes):
    assert decode(data) == NO_PICTURE


def with_comments(gif: bytes, blocks: int) -> bytes:
    table = 3 * 2 ** ((gif[10] & 7) + 1) if gif[10] & 0x80 else 0
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * blocks + b"\0"
    return gif[: 13 + table] + comment + gif[13 + table :]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize(
    "data",
    [
        b"P6\n" + b"#\n" * 100_000 + b"1 1\n255\n\0\0\0",
        b"P6\n#" + b"x" * 1_000_000 + b"\n1 1\n255\n\0\0\0",
        with_comments(saved("GIF", Image.new("P", (4, 4))), 20_000),
        b"\xff\xd8" + b"\xff\xfe\0\2" * 100_000 + saved("JPEG")[2:],
        saved("PNG")[:33] + chunk(b"tEXt", b"a\0b") * 50_000 + saved("PNG")[33:],
    ],
    ids=["ppm lines", "ppm line", "gif", "jpeg", "png"],
)
def test_a_head_of_endless_pieces_is_given_up(data: bytes):
    assert PIECES in str(decode(data))


def test_a_photograph_with_much_said_about_it_is_read():
    assert not isinstance(decode(with_comments(saved("GIF", Image.new("P", (4, 4))), 200)), str)
    whole = saved("JPEG")
    assert not isinstance(decode(whole[:2] + (b"\xff\xe2\xff\xff" + b"\0" * 65533) * 100 + whole[2:]), str)


def test_decoders_that_are_slow_are_refused():
    rle = bytearray(saved("BMP", Image.new("L", (8, 8))))
    rle[30] = 1  # said to be run-length encoded
    assert "photographs are not in" in str(decode(bytes(rle)))
    assert "photographs are not in" in str(decode(b"P6\n2 2\n1000\n" + b"\0" * 24))


def test_a_jpeg_of_many_passes_is_refused_and_a_common_progressive_one_read():
    progressive = saved("JPEG", progressive=True)
    assert not isinstance(decode(progressive), str) and decoding._scans(progressive) > 3
    at = progressive.index(b"\xff\xda")
    again = progressive[at : progressive.index(b"\xff\xc4", at)]
    assert decode(progressive[:-2] + again * 200 + b"\xff\xd9").endswith(SCANS)  # type: ignore[union-attr]


def test_a_tiff_whose_tile_is_larger_than_itself_counts_as_its_tile():
    image = Image.open(io.BytesIO(saved("TIFF")))
    image.tag_v2[322], image.tag_v2[323] = 60_000, 60_000  # type: ignore[attr-defined]
    assert decoding._refused(image, 1, 1_000_000).endswith("megapixels")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F", "YCbCr"])
def test_every_mode_is_converted_strip_by_strip(mode: str, monkeypatch: pytest.MonkeyPatch):
    ramp = np.linspace(0, 255, 50 * 30).astype(np.uint8).reshape(50, 30)
    if mode in ("I;16", "I", "F"):
        image = Image.fromarray(ramp.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]) * 257)
    else:
        image = Image.fromarray(ramp).convert(mode)
    whole = upright(bands_of(image), image.size, top=top_of(image))
    monkeypatch.setattr(rgb, "STRIP_PIXELS", 70)
    assert np.array_equal(upright(bands_of(image), image.size, top=top_of(image)), whole) and whole.shape == (
        50,
        30,
        3,
    )
    if mode not in ("1", "P"):
        assert np.abs(whole.mean(axis=2) - ramp).max() <= 3


def test_16_bit_grey_takes_no_more_than_its_weight():
    data = saved("PNG", Image.fromarray(np.zeros((2000, 2000), np.uint16)))
    tracemalloc.start()
    assert not isinstance(decode(data), str)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 2000 * 5, "NumPy's part: the result, and strips"


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_turn_of_exif_is_as_pillow_makes_it(turn: int):
    from PIL import ImageOps

    image = Image.fromarray(np.random.default_rng(2).integers(0, 255, (4, 6, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = turn
    data = saved("PNG", image, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    decoded = decode(data)
    assert not isinstance(decoded, str) and np.array_equal(decoded.pixels, np.asarray(expected))
    assert decoded.size == expected.size


def in_threads(count: int, work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_all_callers_together_stay_within_the_budget(monkeypatch: pytest.MonkeyPatch):
    data, lock = saved("PNG"), threading.Lock()
    with Image.open(io.BytesIO(data)) as image:
        one = len(data) + image.width * image.height * (4 + 3)
    monkeypatch.setattr(decoding, "DECODING", Budget(2 * one + 1))
    now = most = 0
    real = PngImagePlugin.PngImageFile.load
    meet = threading.Barrier(2)

    def load(self: PngImagePlugin.PngImageFile) -> object:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        meet.wait(10)  # two are always there at once
        done = real(self)
        with lock:
            now -= 1
        return done

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    in_threads(8, lambda: decode(data))
    assert most == 2


def test_the_budget_is_given_back_and_lets_the_largest_in_alone():
    budget = Budget(10)
    with pytest.raises(RuntimeError), budget.taken(1_000):
        assert budget._left == 0
        raise RuntimeError
    assert budget._left == 10
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with budget.taken(6):
            inside.set()
            leave.wait(10)

    def large() -> None:
        with budget.taken(8):
            order.append("large")

    def late() -> None:
        with budget.taken(5):
            order.append("small")

    holder = threading.Thread(target=first)
    holder.start()
    inside.wait(10)
    waiting = threading.Thread(target=large)
    waiting.start()
    while len(budget._waiting) < 1:
        pass
    small = threading.Thread(target=late)
    small.start()
    leave.set()
    for thread in (holder, waiting, small):
        thread.join(10)
    assert order == ["large", "small"] and budget._left == 10, "who came first is not passed by small ones"


def test_a_small_picture_is_made_within_the_budget():
    big = Image.fromarray(np.random.default_rng(3).integers(0, 255, (600, 900, 3), np.uint8))
    for kind in ("JPEG", "PNG"):
        small = decode(saved(kind, big), longest_px=320)
        assert not isinstance(small, str) and small.pixels.shape == (213, 320, 3)
        assert small.size == (900, 600)
    exif = big.getexif()
    exif[0x0112] = 6
    turned = decode(saved("JPEG", big, exif=exif), longest_px=320)
    assert not isinstance(turned, str) and turned.pixels.shape == (320, 213, 3)
    assert turned.size == (600, 900)
