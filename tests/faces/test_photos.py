from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facesearch.errors import NotFound
from facesearch.faces.decoding import Decoded
from facesearch.faces.photos import decode, read_photo, walk
from facesearch.records import Photo, Skipped


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def picture(data: bytes) -> np.ndarray:
    decoded = decode(data)
    assert not isinstance(decoded, str), decoded
    pixels = decoded.pixels
    assert decoded.size == (pixels.shape[1], pixels.shape[0])
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    return pixels


def test_a_cmyk_jpeg_keeps_its_colours():
    red = picture(saved(Image.new("RGB", (16, 16), (200, 30, 30)).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(red.mean(axis=(0, 1)) - (200, 30, 30)).max() < 8


def test_a_16_bit_grey_png_is_scaled_not_cut_off():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    pixels = picture(saved(Image.fromarray(ramp), "PNG"))
    assert pixels[0, 0, 0] == 0 and pixels[7, 7, 0] == 255
    assert np.array_equal(pixels[:, :, 0], np.rint(ramp / 65535 * 255).astype(np.uint8))


def test_a_palette_picture_shows_its_colours():
    image = Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4)
    assert np.abs(picture(saved(image, "GIF")).mean(axis=(0, 1)) - (10, 200, 30)).max() < 4


def test_transparency_is_laid_on_white():
    assert picture(saved(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "PNG")).min() == 255
    half = picture(saved(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"))
    assert abs(int(half[0, 0, 0]) - 127) <= 1


def test_exif_rotation_is_applied():
    image = Image.new("RGB", (20, 10), "black")
    image.paste("white", (0, 0, 10, 10))  # white on the left
    exif = image.getexif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees to stand upright
    pixels = picture(saved(image, "JPEG", exif=exif, quality=95))
    assert pixels.shape[:2] == (20, 10)
    assert pixels[:8].mean() > 240 and pixels[12:].mean() < 15


def test_of_an_animation_the_first_picture_is_taken():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    pixels = picture(saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=10))
    assert tuple(pixels[0, 0]) == (255, 0, 0)


def test_a_bomb_is_refused_by_its_header_without_decoding():
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    def png(w: int, h: int) -> bytes:
        header = struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(b""))
            + chunk(b"IEND", b"")
        )

    for w, h in ((30_000, 30_000), (17_000, 16_000)):
        assert decode(png(w, h)) == "the picture has more than 260 megapixels"
    assert "truncated" in decode(png(100, 100))


def test_a_truncated_picture_is_skipped_with_the_reason(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = saved(Image.fromarray(noise), "JPEG")
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    found = read_photo(tmp_path / "half.jpg")
    assert isinstance(found, Skipped) and "damaged" in found.reason and "truncated" in found.reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "the file is empty"),
        (b"not a picture", "not a picture"),
        (b"%PDF-1.4 ...", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not a picture"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, "not a picture"),
    ],
)
def test_what_is_no_picture_is_said_in_words(text: bytes, words: str):
    assert str(decode(text)).startswith(words)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_every_format_promised_is_read(kind: str):
    assert (
        np.abs(
            picture(saved(Image.new("RGB", (8, 8), (30, 60, 200)), kind)).mean(axis=(0, 1)) - (30, 60, 200)
        ).max()
        < 6
    )


@given(
    st.binary(max_size=200),
    st.integers(0, 400),
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]),
)
def test_no_damage_makes_the_decoder_raise(noise: bytes, at: int, kind: str):
    data = bytearray(saved(Image.new("RGB", (9, 7), "green"), kind))
    data[at : at + len(noise)] = noise
    answer = decode(bytes(data), max_pixels=10_000)
    assert isinstance(answer, str | Decoded)


def test_walk_goes_in_path_order_and_passes_over_what_is_hidden(tmp_path: Path):
    for name in ("b/2.jpg", "b/1.PNG", "a/9.jpeg", "a/notes.txt", ".hidden/1.jpg", "a/.1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [path.relative_to(tmp_path).as_posix() for path in walk(tmp_path) if isinstance(path, Path)] == [
        "a/9.jpeg", "b/1.PNG", "b/2.jpg",
    ]  # fmt: skip


def test_walk_says_which_folder_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # As root no folder is closed, so the refusal is made at the system call.
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.jpg").write_bytes(b"x")
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = list(walk(tmp_path))
    assert tmp_path / "a.jpg" in found
    assert any(isinstance(item, Skipped) and "permission denied" in item.reason for item in found)


def test_a_place_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(NotFound, match="nowhere"):
        list(walk(tmp_path / "nowhere"))


def test_the_hash_is_of_the_files_bytes(tmp_path: Path):
    import hashlib

    data = saved(Image.new("RGB", (4, 4)), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    photo = read_photo(tmp_path / "a.png")
    assert isinstance(photo, Photo) and photo.sha256 == hashlib.sha256(data).hexdigest()
