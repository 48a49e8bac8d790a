"""HEIC and JPEG XL: upright once, the first picture, judged by the head, and never more than a reason."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps

from facesearch.faces import heif, jxl
from facesearch.faces.decoding import Decoded, decode
from facesearch.faces.photos import read_photo, walk
from facesearch.records import Photo

pillow_heif.register_heif_opener()  # to write them
W, H = 96, 64


def picture() -> Image.Image:
    """Another colour in each corner, so that every turn looks different."""
    pixels = np.zeros((H, W, 3), np.uint8)
    pixels[:32, :48], pixels[:32, 48:], pixels[32:, :48] = (200, 40, 40), (40, 200, 40), (40, 40, 200)
    return Image.fromarray(pixels)


def heic(image: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (image or picture()).save(out, "HEIF", quality=90, **options)
    return out.getvalue()


def jpeg_xl(image: Image.Image | None = None, **options: Any) -> bytes:
    pytest.importorskip("pillow_jxl")
    out = io.BytesIO()
    (image or picture()).save(out, "JXL", **options)
    return out.getvalue()


def read(data: bytes) -> Decoded:
    decoded = decode(data)
    assert isinstance(decoded, Decoded), decoded
    return decoded


def near(pixels: np.ndarray, image: Image.Image) -> bool:
    whole = np.asarray(image.convert("RGB")).astype(int)
    return pixels.shape == whole.shape and float(np.abs(pixels - whole).mean()) < 6


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_heic_with_a_turn_is_turned_once(turn: int):
    image = picture()
    exif = image.getexif()
    exif[0x0112] = turn
    decoded, expected = read(heic(image, exif=exif.tobytes())), ImageOps.exif_transpose(image)
    assert near(decoded.pixels, expected) and decoded.size == expected.size


def test_what_exif_alone_says_of_turning_is_not_done_to_a_heic():
    """As phones write it: the box turns, and EXIF says the same once more."""
    image = picture()
    exif = image.getexif()
    exif[0x0112] = 6
    data = heic(image, exif=exif.tobytes())
    at = data.index(b"irot")
    assert near(read(data[: at + 4] + b"\0" + data[at + 5 :]).pixels, image)


def test_ten_bits_alpha_grey_and_tiles_are_read():
    ramp = np.linspace(0, 65535, W).astype(np.uint16)[None, :, None].repeat(H, 0).repeat(3, 2)
    out = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (W, H), ramp.tobytes()).save(out, quality=95)
    assert pillow_heif.open_heif(out.getvalue(), convert_hdr_to_8bit=False).mode == "RGB;16"
    assert np.abs(read(out.getvalue()).pixels[:, :, 0].mean(axis=0) - np.linspace(0, 255, W)).max() < 6
    clear = picture().convert("RGBA")
    clear.putalpha(0)
    assert read(heic(clear)).pixels.min() > 250, "transparency is laid on white"
    assert near(read(heic(picture().convert("L"))).pixels, picture().convert("L"))
    assert near(read(heic(tile_size=64)).pixels, picture())


def test_of_several_pictures_the_first_one_is_taken_and_no_thumbnail():
    file = pillow_heif.from_pillow(Image.new("RGB", (W, H), "white"))
    file.add_from_pillow(picture())
    out = io.BytesIO()
    file.save(out, quality=90, primary_index=1)
    assert near(read(out.getvalue()).pixels, picture())
    image = picture().resize((480, 320))
    image.info["thumbnails"] = [96]
    assert read(heic(image)).size == (480, 320)


@pytest.mark.parametrize("make", [heic, jpeg_xl])
def test_its_size_is_judged_before_it_is_decoded(make: Any, monkeypatch: pytest.MonkeyPatch):
    data = make()

    def decoded(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(heif.Heif, "bands", decoded)
    monkeypatch.setattr(jxl, "opened", decoded)
    assert decode(data, max_pixels=W * H - 1) == "the picture has more than 0 megapixels"


@pytest.mark.parametrize("make", [heic, jpeg_xl])
def test_damage_is_a_reason(make: Any):
    whole, dice = make(), random.Random("heic")
    for cut in range(0, len(whole) - 1, 7):
        answer = decode(whole[:cut], max_pixels=1_000_000)
        assert isinstance(answer, Decoded) or (answer and answer.isprintable())
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        answer = decode(bytes(data), max_pixels=1_000_000)
        assert isinstance(answer, Decoded) or (answer and answer.isprintable())


def test_several_threads_read_at_once():
    data, answers = heic(), []
    threads = [threading.Thread(target=lambda: answers.append(decode(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and all(near(answer.pixels, picture()) for answer in answers)


@pytest.mark.parametrize("size", [(W, H), (512, 256), (300, 200), (1000, 100), (37, 41)])
@pytest.mark.parametrize("boxed", [False, True])
def test_the_size_of_a_jpeg_xl_is_read_from_its_head(size: tuple[int, int], boxed: bool):
    image = picture().resize(size)
    data = jpeg_xl(image, use_container=boxed)
    assert jxl.size_of(data) == size
    assert near(read(data).pixels, image)


def test_a_jpeg_xl_without_the_plugin_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    data = jpeg_xl()
    monkeypatch.setattr(jxl, "is_there", lambda: False)
    assert "pip install 'facesearch[jxl]'" in str(decode(data))


@pytest.mark.parametrize("make", [heic, jpeg_xl])
@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a.jxl", "a.jpg", "a"])
def test_they_are_photos_whatever_they_are_called(tmp_path: Path, make: Any, name: str):
    (tmp_path / name).write_bytes(make())
    assert list(walk(tmp_path)) == [tmp_path / name]
    photo = read_photo(tmp_path / name)
    assert isinstance(photo, Photo) and near(photo.pixels, picture())


def test_neither_is_imported_before_such_a_file_comes():
    code = (
        "import io, sys; from PIL import Image; from facesearch.faces.decoding import decode;"
        "out = io.BytesIO(); Image.new('RGB', (8, 8)).save(out, 'JPEG'); decode(out.getvalue());"
        "print({'pillow_heif', '_pillow_heif', 'pillow_jxl'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
