"""Crops to unit vectors, with the engine that fits the weights: torch for ours, onnxruntime for foreign encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facesearch.errors import BadCheckpoint, DeviceMissing, PackageMissing
from facesearch.faces.align import CROP_PX, GEOMETRY, scaled
from facesearch.files import sha256_of
from facesearch.records import F32, U8

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 64
PREPROCESS = {"imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)), "arcface": ((127.5,) * 3, (127.5,) * 3)}
"""Mean and spread a channel, RGB, that foreign encoders were trained with."""


class Runtime(Protocol):
    """An encoder ready to use. words says what it is and where it runs; notes is what its file tells of its making."""

    encoder_id: str
    dimension: int
    words: str
    notes: dict[str, Any]

    def embed(self, crops: U8) -> F32:
        """crops (n, 112, 112, 3) uint8 RGB -> (n, d) float32 rows of length 1, flip-averaged where the encoder says so."""
        ...


class TorchRuntime:
    """One of our encoders, on CPU or GPU, in bfloat16 where the device computes in it, channels last."""

    def __init__(self, weights: Path, device: str) -> None:
        """Raises NotFound, PickleRefused, BadCheckpoint, DeviceMissing."""
        import torch

        from facesearch.model.checkpoint import load_encoder
        from facesearch.model.device import choose_device

        encoder, meta = load_encoder(weights)
        self._device = choose_device(device)
        self._encoder = encoder.to(self._device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.encoder_id: str = meta["encoder_id"]
        self.dimension = encoder.config.embedding_size
        self.notes: dict[str, Any] = meta.get("notes", {})
        self.words = f"{encoder.config.backbone} {self.encoder_id[:12]} on {self._device.words}"

    def embed(self, crops: U8) -> F32:
        import torch
        from torch.nn import functional as F

        out = np.empty((len(crops), self.dimension), np.float32)
        with torch.inference_mode():
            for start in range(0, len(crops), BATCH):
                part = crops[start : start + BATCH]
                total = F.normalize(self.embeddings(part))
                if self._encoder.config.flip_average:
                    total = total + F.normalize(self.embeddings(part[:, :, ::-1]))
                out[start : start + BATCH] = F.normalize(total).numpy()
        return out

    def embeddings(self, crops: U8) -> Tensor:
        """One pass for crops (n, 112, 112, 3) uint8: the network's own output (n, d) float32 on the CPU, not normalised."""
        import torch

        from facesearch.model.encoder import as_pixels

        with torch.inference_mode(), self._device.autocast():
            raw = torch.from_numpy(np.ascontiguousarray(crops)).to(self._device.torch)
            vectors: Tensor = self._encoder(as_pixels(raw, self._encoder.config.size_px))
            return vectors.cpu()


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
            raise BadCheckpoint(model, f"onnxruntime cannot load it ({str(error).splitlines()[0][:200]})") from error
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
        self.encoder_id = _onnx_id(sha256_of(model), preprocess)
        self.notes: dict[str, Any] = {}
        self.dimension = int(self._run(np.zeros((1, 3, self._size, self._size), np.float32)).shape[1])
        self.words = f"{model.name} {self.encoder_id[:12]} on onnxruntime, CPU" if wanted.startswith("CPU") else f"{model.name} on GPU"

    def embed(self, crops: U8) -> F32:
        out = np.empty((len(crops), self.dimension), np.float32)
        for start in range(0, len(crops), BATCH):
            pixels = self.pixels(crops[start : start + BATCH])
            total = _unit(self._run(pixels)) + _unit(self._run(np.ascontiguousarray(pixels[:, :, :, ::-1])))
            out[start : start + BATCH] = _unit(total)
        return out

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


def load_runtime(weights: Path, *, device: str = "auto", preprocess: str = "imagenet") -> Runtime:
    """Make an encoder ready. preprocess, imagenet or arcface, is for ONNX files, which do not say it themselves."""
    if weights.suffix.lower() == ".onnx":
        return OnnxRuntime(weights, device, preprocess)
    return TorchRuntime(weights, device)


def _onnx_id(sha256: str, preprocess: str) -> str:
    import hashlib

    return hashlib.sha256(json.dumps([GEOMETRY, "onnx", preprocess, sha256]).encode()).hexdigest()


def _unit(vectors: F32) -> F32:
    unit: F32 = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
