"""YuNet's network (Wu et al. 2023, Machine Intelligence Research 20) on OpenVINO: squares of 640 pixels to
faces.

All that is looked at is brought to this one shape: it is compiled once, and its memory is bounded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from facesearch.faces.engine import import_openvino
from facesearch.records import F32, U8

SIDE_PX = 640
STRIDES = (8, 16, 32)
OVERLAP = 0.3
"""Of two boxes that share more of their area than this, the one with the higher score is kept."""


class FaceNetwork:
    """A face network for one thread; `another` is for the next one, and both share what was compiled."""

    def __init__(self, model: bytes) -> None:
        """model: all that is in its .onnx file. Raises ValueError for what is no YuNet."""
        self._shared = _Compiled(model)
        self._begin()

    def another(self) -> FaceNetwork:
        other = object.__new__(FaceNetwork)
        other._shared = self._shared
        other._begin()
        return other

    def find(self, square: U8, floor: float) -> F32:
        """square (640, 640, 3) uint8 RGB -> (n, 15) float32: box x, y, w, h, five landmarks x, y, score; all
        with a score of at least floor, best first, in the square's pixels.
        """
        if self._process != os.getpid():  # a fork leaves OpenVINO's threads behind
            self._begin()
        out = self._request.infer([square[None]], share_inputs=True)
        rows = np.concatenate(
            [_rows(stride, [out[number][0] for number in self._ports[stride]], floor) for stride in STRIDES]
        )
        spread = np.ptp(rows[:, 4:14].reshape(-1, 5, 2), axis=1).max(axis=1, initial=0)
        rows = rows[np.isfinite(rows).all(axis=1) & (spread > 0)]
        best: F32 = rows[without_doubles(rows, floor)]
        return best

    def _begin(self) -> None:
        self._process = os.getpid()
        compiled, self._ports = self._shared.get()
        self._request = compiled.create_infer_request()


class _Compiled:
    """A model that is compiled once in each process."""

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._lock, self._process = threading.Lock(), 0
        self._made: tuple[Any, dict[int, list[int]]] | None = None

    def get(self) -> tuple[Any, dict[int, list[int]]]:
        if self._process != os.getpid():
            self._process, self._lock, self._made = os.getpid(), threading.Lock(), None
        with self._lock:
            if self._made is None:
                self._made = self._compile()
            return self._made

    def _compile(self) -> tuple[Any, dict[int, list[int]]]:
        openvino = import_openvino()
        core = openvino.Core()
        try:
            model = core.read_model(self._model)
            model.reshape([1, 3, SIDE_PX, SIDE_PX])
            compiled = core.compile_model(_of_bytes(openvino, model), "CPU", _settings())
        except RuntimeError as error:
            raise ValueError("OpenVINO cannot load it") from error
        numbers = {name: i for i, port in enumerate(compiled.outputs) for name in port.names}
        try:
            names = ("cls", "obj", "bbox", "kps")
            return compiled, {s: [numbers[f"{name}_{s}"] for name in names] for s in STRIDES}
        except KeyError as error:
            raise ValueError(f"it has no output {error}") from error


def _settings() -> dict[str, Any]:
    """One thread a picture, and as many pictures at once as there are cores. float32: landmarks are
    measures.
    """
    cores = os.cpu_count() or 1
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": cores,
        "NUM_STREAMS": cores,
        "ENABLE_CPU_PINNING": False,
    }


def _of_bytes(openvino: Any, model: Any) -> Any:
    """The model with its entry as pictures come: (1, h, w, 3) uint8 RGB, where it wants (1, 3, h, w) float32
    BGR.
    """
    entry = openvino.preprocess.PrePostProcessor(model)
    colours = openvino.preprocess.ColorFormat
    tensor = entry.input().tensor()
    tensor.set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    tensor.set_color_format(colours.RGB)
    entry.input().model().set_layout(openvino.Layout("NCHW"))
    entry.input().preprocess().convert_color(colours.BGR).convert_element_type(openvino.Type.f32)
    return entry.build()


def _rows(stride: int, grids: Sequence[F32], floor: float) -> F32:
    """The faces of one of the three grids: a cell tells where a face lies from its corner, in strides."""
    cls, obj, bbox, kps = grids
    score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
    there = np.flatnonzero(score >= floor)
    across = SIDE_PX // stride
    corner = np.stack([there % across, there // across], axis=1).astype(np.float32)
    size = np.exp(np.minimum(bbox[there, 2:], 20)) * stride
    middle = (corner + bbox[there, :2]) * stride
    points = (corner[:, None] + kps[there].reshape(-1, 5, 2)) * stride
    parts = [middle - size / 2, size, points.reshape(-1, 10), score[there, None]]
    return np.concatenate(parts, axis=1).astype(np.float32)


def without_doubles(rows: F32, floor: float = 0.0) -> list[int]:
    """The numbers of those rows (n, 15) that no better one covers, best first."""
    if not len(rows):
        return []
    kept = cv2.dnn.NMSBoxes(rows[:, :4].tolist(), rows[:, 14].tolist(), floor, OVERLAP)
    return [int(number) for number in np.asarray(kept).ravel()]
