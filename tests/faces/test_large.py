"""Pictures that do not fit into the room for one: reduced by a whole number, read by parts, or refused."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from facesearch.encoder.stream import detected
from facesearch.faces import bands, decoding, photos, rgb, webp
from facesearch.faces.budget import LARGE_FILE_BYTES, Budget
from facesearch.faces.decoding import Decoded, decode
from facesearch.faces.photos import read_photo
from facesearch.records import Photo

W, H = 331, 257


def picture(mode: str = "RGB") -> Image.Image:
    """Large shapes and some noise."""
    y, x = np.mgrid[:H, :W]
    pixels = np.stack([x * 255 // W, y * 255 // H, (x + y) % 200], axis=2).astype(np.uint8)
    pixels += np.random.default_rng(1).integers(0, 20, pixels.shape, np.uint8)
    image = Image.fromarray(pixels)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray((x % 256).astype(np.uint8)))
    return image.quantize(64) if mode == "P" else image.convert(mode)


def saved(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (image or picture()).save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Room for a fifth of the picture as Pillow holds it, and bands of a few rows."""
    room = W * H * 7 // 5
    monkeypatch.setattr(decoding, "ROOM", room)
    monkeypatch.setattr(decoding, "LEAST_ROOM", room)
    monkeypatch.setattr(decoding, "MOST_HELD", 100 * W * H)
    monkeypatch.setattr(rgb, "STRIP_PIXELS", 5 * W)
    yield room


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {"quality": 95}),
    "progressive": ("JPEG", {"quality": 95, "progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 95}),
    "tiff": ("TIFF", {}),
    "lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "bmp": ("BMP", {}),
    "avif": ("AVIF", {"quality": 95}),
    "heic": ("HEIF", {"quality": 95}),
}


@pytest.mark.parametrize("turn", [1, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_is_the_mean_of_whole_squares(kind: str, turn: int, small_room: int):
    name, options = KINDS[kind]
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    image = picture()
    if turn > 1 and name != "BMP":
        exif = image.getexif()
        exif[0x0112] = turn
        options = {**options, "exif": exif.tobytes()}
    whole = ImageOps.exif_transpose(image)
    decoded = decode(saved(name, image, **options))
    assert isinstance(decoded, Decoded), decoded
    assert decoded.size == whole.size
    h, w = decoded.pixels.shape[:2]
    factor = round(whole.width / w)
    assert factor > 1 and (w, h) == (-(-whole.width // factor), -(-whole.height // factor))
    image = whole if name == "HEIF" else image  # libheif turns it first
    expected = np.asarray(image.reduce(factor)).astype(int)
    expected = np.rot90(expected, -1) if whole.size != image.size else expected
    assert np.abs(decoded.pixels - expected)[1:-1, 1:-1].mean() < 4


def test_what_fits_comes_whole_and_a_photo_tells_its_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.png").write_bytes(saved("PNG"))
    photo = read_photo(tmp_path / "a.png")
    assert isinstance(photo, Photo) and photo.scale == 1.0 and photo.size == (W, H)
    assert np.array_equal(photo.pixels, np.asarray(picture()))
    monkeypatch.setattr(decoding, "ROOM", W * H * 7 // 5)
    monkeypatch.setattr(decoding, "LEAST_ROOM", W * H)
    photo = read_photo(tmp_path / "a.png")
    assert isinstance(photo, Photo) and photo.size == (W, H)
    assert photo.scale == pytest.approx(W / photo.pixels.shape[1]) and photo.scale > 1


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_a_png_read_by_parts_is_the_same(mode: str, small_room: int):
    image = picture(mode)
    clear = {"transparency": 3} if mode == "P" else {"transparency": (9, 9, 9)} if mode == "RGB" else {}
    data = saved("PNG", image, **clear)
    with Image.open(io.BytesIO(data)) as opened:
        parts = bands.read_in_bands(data, opened)
        assert parts is not None
        assert np.array_equal(rgb.upright(parts, (W, H)), rgb.upright(rgb.bands_of(opened), (W, H)))


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("L", {}),
        ("RGBA", {"compression": "tiff_adobe_deflate"}),
        ("CMYK", {}),
        ("RGB", {"compression": "tiff_lzw", "tiffinfo": {278: 7, 317: 2}}),
        ("RGB", {"compression": "packbits", "tiffinfo": {278: 3}}),
        ("P", {"compression": "tiff_lzw"}),
        ("I;16", {"compression": "tiff_lzw", "tiffinfo": {278: 11}}),
        ("RGB", {"big_endian": True}),
        ("RGB", {"compression": "jpeg", "tiffinfo": {278: 16}}),
    ],
)
def test_a_tiff_read_by_parts_is_the_same(mode: str, options: dict[str, Any], small_room: int):
    image = (
        Image.fromarray(np.asarray(picture("L")).astype(np.uint16) * 257) if mode == "I;16" else picture(mode)
    )
    data = saved("TIFF", image, **options)
    with Image.open(io.BytesIO(data)) as opened:
        parts = bands.read_in_bands(data, opened)
        assert parts is not None
        assert np.array_equal(rgb.upright(parts, (W, H)), rgb.upright(rgb.bands_of(opened), (W, H)))


def test_a_tiff_of_tiles_is_read_by_parts(small_room: int):
    tifffile = pytest.importorskip("tifffile")
    out = io.BytesIO()
    tifffile.imwrite(out, np.asarray(picture()), tile=(64, 48), photometric="rgb", compression="zlib")
    with Image.open(io.BytesIO(out.getvalue())) as opened:
        parts = bands.read_in_bands(out.getvalue(), opened)
        assert parts is not None
        assert np.array_equal(rgb.upright(parts, (W, H)), np.asarray(picture()))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_off_is_a_reason_at_any_size(kind: str, small_room: int):
    name, options = KINDS[kind]
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    data = saved(name, **options)
    for cut in (len(data) // 2, len(data) - len(data) // 8, 60):
        answer = decode(data[:cut])
        assert isinstance(answer, str) and answer.isprintable(), cut


def test_a_png_read_by_parts_is_checked(small_room: int):
    data = bytearray(saved("PNG"))
    data[data.index(b"IDAT") + 2000] ^= 1
    assert "damaged" in str(decode(bytes(data)))


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_large_webp_is_the_same_by_opencv(
    mode: str, lossless: bool, in_place: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(webp, "IN_PLACE", in_place and webp.IN_PLACE)
    data = saved("WEBP", picture(mode), lossless=lossless)
    parts = [np.asarray(band) for band in webp.bands(data, (W, H), len(mode))]
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.concatenate(parts), np.asarray(opened))
    with pytest.raises(OSError, match="cannot be decoded"):
        list(webp.bands(data[: len(data) // 2], (W, H), len(mode)))


def test_a_kind_that_cannot_be_read_by_parts_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding, "ROOM", 3 * W * H)
    monkeypatch.setattr(decoding, "MOST_HELD", 3 * W * H)
    assert decode(saved("BMP")) == "a BMP of 0 megapixels; of its kind those of up to 0 are read"
    assert str(decode(saved("JPEG", progressive=True))).startswith("a progressive JPEG of 0 megapixels")
    assert isinstance(decode(saved("JPEG")), Decoded) and isinstance(decode(saved("PNG")), Decoded)


def test_decoded_pixels_count_until_the_crops_are_cut(monkeypatch: pytest.MonkeyPatch):
    """Many are asked for at a time: no more than fit are in memory, also while faces are looked for."""
    data, lock = saved("PNG"), threading.Lock()
    budget = Budget(3 * W * H * 7)
    monkeypatch.setattr(decoding, "DECODING", budget)
    monkeypatch.setattr("facesearch.encoder.stream.DECODING", budget)
    now = most = 0
    left: list[int] = []

    def find(_: int, __: None) -> bool:
        nonlocal now, most
        assert isinstance(decode(data), Decoded)
        with lock:
            now += W * H * 3
            most = max(most, now)
            left.append(budget.total - budget._left)
            assert budget.total - budget._left >= now, "what is held is counted"
        threading.Event().wait(0.005)
        with lock:
            now -= W * H * 3
        return True

    assert all(detected(find, range(40), None, workers=8))
    assert 0 < most <= budget.total and budget._left == budget.total


def test_a_span_holds_one_photo_and_one_large_file_at_a_time():
    budget = Budget(100)
    with budget.span():
        with budget.taken(90) as lease:
            lease.keep = 60
        assert budget._left == 40
        with budget.taken(90) as lease:  # would wait for itself for ever
            lease.keep = 30
        assert budget._left == 70
        budget.large_file(LARGE_FILE_BYTES + 1)
        assert budget._turn.locked() and budget._left == 100
        budget.large_file(LARGE_FILE_BYTES + 1)
    assert not budget._turn.locked() and budget._left == 100
    budget.large_file(LARGE_FILE_BYTES + 1)
    assert not budget._turn.locked(), "outside of a span nothing is held"


def test_of_large_files_one_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for i in range(6):
        (tmp_path / f"{i}.png").write_bytes(saved("PNG") + b"\0" * LARGE_FILE_BYTES)
    now, most, lock = 0, 0, threading.Lock()

    def find(path: Path, _: None) -> bool:
        nonlocal now, most
        data = photos.read_bytes(path)
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        with lock:
            now -= 1
        return isinstance(data, bytes)

    assert all(detected(find, sorted(tmp_path.iterdir()), None, workers=4)) and most == 1
