"""A foreign encoder on onnxruntime."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from facesearch.errors import BadCheckpoint, DeviceMissing, PackageMissing, said_of
from facesearch.faces.align import scaled
from facesearch.faces.crop import CROP_PX, GEOMETRY
from facesearch.files import sha256_of
from facesearch.model.runtime import numbers
from facesearch.records import F32, U8

BATCH = 64
PREPROCESS = {"imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)), "arcface": ((127.5,) * 3, (127.5,) * 3)}
"""Mean and spread a channel, RGB, that foreign encoders were trained with."""


class OnnxRuntime:
    """A foreign encoder: takes [n, 3, h, w] or [1, 3, h, w] floats, gives vectors of any size. Flip-averaged here."""

    def __init__(self, model: Path, device: str, preprocess: str) -> None:
        """Raises NotFound, PackageMissing, BadCheckpoint, DeviceMissing."""
        try:
            import onnxruntime
        except ImportError as error:
            raise PackageMissing("onnxruntime", "onnx", f"the ONNX encoder {model.name}") from error
        wanted = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
        if wanted not in onnxruntime.get_available_providers():
            raise DeviceMissing(device, f"this onnxruntime offers {', '.join(onnxruntime.get_available_providers())} only")
        onnxruntime.set_default_logger_severity(3)
        try:
            self._session = onnxruntime.InferenceSession(str(model), providers=[wanted])
        except Exception as error:
            raise BadCheckpoint(model, f"onnxruntime cannot load it ({said_of(model, error)})") from error
        entry, answer = self._session.get_inputs()[0], self._session.get_outputs()[0]
        if len(entry.shape) != 4 or entry.shape[1] != 3 or len(answer.shape) != 2:
            raise BadCheckpoint(model, f"it takes {entry.shape} and gives {answer.shape}; expected [n, 3, h, w] to [n, d]")
        self.entry = entry.name
        self.at_once = entry.shape[0] if isinstance(entry.shape[0], int) and entry.shape[0] > 0 else 0
        """How many photos the network takes at a time; 0: any number."""
        self._size = entry.shape[2] if isinstance(entry.shape[2], int) else CROP_PX
        mean, spread = PREPROCESS[preprocess]
        self._mean = np.array(mean, np.float32).reshape(1, 3, 1, 1)
        self._spread = np.array(spread, np.float32).reshape(1, 3, 1, 1)
        self.encoder_id = onnx_id(sha256_of(model), preprocess)
        self.notes: dict[str, Any] = {}
        self.dimension = int(self._run(np.zeros((1, 3, self._size, self._size), np.float32)).shape[1])
        self.words = f"{model.name} {self.encoder_id[:12]} on onnxruntime, CPU" if wanted.startswith("CPU") else f"{model.name} on GPU"

    def embed(self, crops: U8) -> F32:
        out = np.empty((len(crops), self.dimension), np.float32)
        for start in range(0, len(crops), BATCH):
            pixels = self.pixels(crops[start : start + BATCH])
            total = _unit(self._run(pixels)) + _unit(self._run(np.ascontiguousarray(pixels[:, :, :, ::-1])))
            out[start : start + BATCH] = _unit(total)
        return numbers(out, self.words)

    def pixels(self, crops: U8) -> F32:
        """crops (n, 112, 112, 3) uint8 -> (n, 3, s, s) float32 as the network wants them."""
        part = np.stack([scaled(crop, self._size) for crop in crops])
        pixels: F32 = (part.transpose(0, 3, 1, 2).astype(np.float32) - self._mean) / self._spread
        return pixels

    def _run(self, pixels: F32) -> F32:
        step = self.at_once or len(pixels)
        parts = [self._session.run(None, {self.entry: pixels[i : i + step]})[0] for i in range(0, len(pixels), step)]
        return np.concatenate(parts).astype(np.float32, copy=False)


def cpu_session(model: bytes) -> Any:
    """An onnxruntime session on the CPU that leaves the cores to others between its runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_id(sha256: str, preprocess: str) -> str:
    """The id of a foreign encoder: the hash of its file, with all else that decides its vectors."""
    return hashlib.sha256(json.dumps([GEOMETRY, "onnx", preprocess, sha256]).encode()).hexdigest()


def _unit(vectors: F32) -> F32:
    unit: F32 = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
