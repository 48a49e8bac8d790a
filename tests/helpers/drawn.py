"""Drawn photos, and encoders that read their colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facesearch.faces.detect import YUNET
from facesearch.records import F32, U8


class ColourEncoder:
    """Reads the mean colour of a crop's four quarters: 12 numbers about 127.5, brought to length 1."""

    def __init__(self, name: str = "colours") -> None:
        self.encoder_id = name.ljust(64, "0")
        self.dimension = 12
        self.words = f"{name} for tests"
        self.notes: dict[str, Any] = {}
        self.seen = 0

    def embed(self, crops: U8) -> F32:
        self.seen += len(crops)
        h, w = crops.shape[1] // 2, crops.shape[2] // 2
        quarters = [crops[:, y : y + h, x : x + w].mean(axis=(1, 2)) for y in (0, h) for x in (0, w)]
        vectors = np.concatenate(quarters, axis=1).astype(np.float32) - 127.4
        unit: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return unit


def save_colour(
    path: Path, colour: str | tuple[int, int, int], size: tuple[int, int] = (112, 112), shade: int = 0
) -> Path:
    """Write a picture of one colour; shade changes its lower half, so that photos of one person differ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    if shade:
        image.paste((shade, shade, shade), (0, size[1] * 3 // 4, size[0], size[1]))
    image.save(path)
    return path


class WideEncoder(ColourEncoder):
    """Another encoder: the same colours in another order, and twice as many numbers."""

    def __init__(self) -> None:
        super().__init__("wide")
        self.dimension = 24

    def embed(self, crops: U8) -> F32:
        vectors = super().embed(crops)
        return (np.hstack([vectors[:, ::-1], vectors]) / np.sqrt(2)).astype(np.float32)


def another_yunet(folder: Path) -> Path:
    """The shipped network in another file."""
    path = folder / "another.onnx"
    path.write_bytes(YUNET.read_bytes() + b"\x32\x01x")  # ONNX field 6: words about the model
    return path


def own(album: Path, person: int, shot: int) -> Path:
    """A photo of the drawn album."""
    return album / f"p{person:03d}" / f"{shot:02d}.png"
