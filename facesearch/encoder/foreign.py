"""A foreign encoder: an ONNX file whose network takes normalised pixels, whatever engine runs it.
Flip-averaged here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facesearch.encoder.runtime import numbers
from facesearch.encoder.weights_file import PREPROCESS, foreign_id
from facesearch.errors import BadCheckpoint, said_of
from facesearch.faces.align import scaled
from facesearch.faces.crop import CROP_PX
from facesearch.files import sha256_of
from facesearch.records import F32, U8

BATCH = 64


@dataclass(frozen=True, slots=True)
class Ports:
    """The shapes that a network takes and gives, 0 where any size is right, and the kind of numbers that it
    takes.
    """

    takes: Sequence[int]
    gives: Sequence[int]
    kind: str


class Foreign:
    """Takes [n, 3, h, w] or [1, 3, h, w] floats, gives vectors of any size."""

    def __init__(
        self, model: Path, preprocess: str, ports: Ports, run: Callable[[F32], F32], words: str
    ) -> None:
        """run: pixels (n, 3, h, w) float32 -> (n, d), by the engine that words describes. Raises
        BadCheckpoint.
        """
        takes, gives = ports.takes, ports.gives
        fits = (
            len(takes) == 4
            and takes[0] in (0, 1)
            and takes[1] in (0, 3)
            and takes[2] == takes[3]
            and len(gives) == 2
        )
        if not fits:
            raise BadCheckpoint(
                model,
                f"it takes {list(takes)} and gives {list(gives)}; expected [n, 3, s, s] or [1, 3, s, s] to"
                " [n, d]",
            )
        if ports.kind != "float32":
            raise BadCheckpoint(model, f"it takes {ports.kind}; expected float32")
        self.at_once = takes[0]
        """How many photos the network takes at a time; 0: any number."""
        self._size = takes[2] or CROP_PX
        self._network = run
        mean, spread = PREPROCESS[preprocess]
        self._mean = np.array(mean, np.float32).reshape(1, 3, 1, 1)
        self._spread = np.array(spread, np.float32).reshape(1, 3, 1, 1)
        self.encoder_id = foreign_id(sha256_of(model), preprocess)
        self.notes: dict[str, Any] = {}
        try:
            self.dimension = int(self._run(np.zeros((1, 3, self._size, self._size), np.float32)).shape[1])
        except Exception as error:
            raise BadCheckpoint(model, f"it cannot be run ({said_of(model, error)})") from error
        self.words = f"{model.name} {self.encoder_id[:12]} on {words}"

    def embed(self, crops: U8) -> F32:
        return self.measure(crops)[0]

    def measure(self, crops: U8) -> tuple[F32, F32]:
        out, lengths = np.empty((len(crops), self.dimension), np.float32), np.empty(len(crops), np.float32)
        for start in range(0, len(crops), BATCH):
            pixels = self.pixels(crops[start : start + BATCH])
            one, long = _unit(self._run(pixels))
            other, as_long = _unit(self._run(np.ascontiguousarray(pixels[:, :, :, ::-1])))
            out[start : start + BATCH] = _unit(one + other)[0]
            lengths[start : start + BATCH] = (long + as_long) / 2
        return numbers(out, self.words), numbers(lengths, self.words)

    def pixels(self, crops: U8) -> F32:
        """crops (n, 112, 112, 3) uint8 -> (n, 3, s, s) float32 as the network wants them."""
        part = np.stack([scaled(crop, self._size) for crop in crops])
        pixels: F32 = (part.transpose(0, 3, 1, 2).astype(np.float32) - self._mean) / self._spread
        return pixels

    def _run(self, pixels: F32) -> F32:
        step = self.at_once or len(pixels)
        parts = [
            self._network(np.ascontiguousarray(pixels[i : i + step])) for i in range(0, len(pixels), step)
        ]
        return np.concatenate(parts).astype(np.float32, copy=False)


def _unit(vectors: F32) -> tuple[F32, F32]:
    """Rows brought to length 1, and how long they were (n,)."""
    lengths = np.linalg.norm(vectors, axis=1)
    unit: F32 = np.divide(vectors, np.maximum(lengths, 1e-12)[:, None])
    return unit, lengths
