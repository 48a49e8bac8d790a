"""Whatever a decoder raises, and whatever is wrong with a file: one skipped photo, the others stay."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from facesearch.api.inputs import read
from facesearch.encoder.stream import read_faces
from facesearch.faces.decoding import PILLOWS, Decoded
from facesearch.faces.photos import decode, read_photo
from facesearch.records import Photo, Skipped


def saved(kind: str) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(out, kind)
    return out.getvalue()


class Odd(Exception):
    """What a decoder's author thought of."""


class Mute(Exception):
    """One that cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("kind", PILLOWS)
def test_no_damage_to_any_format_is_more_than_a_reason(kind: str):
    whole, dice = saved(kind), random.Random(kind)
    assert not isinstance(decode(whole), str)
    for _ in range(60):
        data = bytearray(whole[: dice.randrange(1, len(whole) + 1)])
        for _ in range(dice.randrange(6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        answer = decode(bytes(data), max_pixels=1_000_000)
        assert isinstance(answer, Decoded) or (answer and answer.isprintable())


def test_a_cut_off_avif_is_skipped_beside_a_good_photo(tmp_path: Path):
    whole = saved("AVIF")
    (tmp_path / "bad.avif").write_bytes(whole[: len(whole) - 40])
    (tmp_path / "good.png").write_bytes(saved("PNG"))
    found = [read_photo(path) for path in sorted(tmp_path.iterdir())]
    assert isinstance(found[0], Skipped) and "damaged" in found[0].reason
    assert isinstance(found[1], Photo)


@pytest.mark.parametrize(
    "error",
    [
        Odd("odd"),
        Mute(),
        RuntimeError("a\x1b[2Jb\nc"),
        AssertionError(),
        RecursionError("deep"),
        NotImplementedError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        StopIteration(),
        MemoryError(),
        BufferError("b"),
        LookupError("x" * 5000),
    ],
)
def test_whatever_a_decoder_raises_is_one_skipped_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def load(self: object) -> None:
        raise error

    (tmp_path / "a.png").write_bytes(saved("PNG"))
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    for found in (read_photo(tmp_path / "a.png"), read(Image.open(tmp_path / "a.png"))):
        assert isinstance(found, Skipped) and found.reason.startswith("the picture is damaged: ")
        assert found.reason.isprintable() and len(found.reason) < 300
    assert isinstance(read_faces(tmp_path / "a.png", None), Skipped)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_who_stops_the_run_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
):
    def load(self: object) -> None:
        raise stop

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    with pytest.raises(stop):
        decode(saved("PNG"))
