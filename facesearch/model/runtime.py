"""Which engine turns crops into vectors: the fastest that is right for the weights and the machine, chosen once and said aloud."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from facesearch.errors import EngineUnfit, NotNumbers
from facesearch.records import F32, U8, Tell

ENGINES = ("auto", "openvino", "torch", "onnxruntime")


class Runtime(Protocol):
    """An encoder ready to use. words says what it is and where it runs; notes is what its file tells of its making."""

    encoder_id: str
    dimension: int
    words: str
    notes: dict[str, Any]

    def embed(self, crops: U8) -> F32:
        """crops (n, 112, 112, 3) uint8 RGB -> (n, d) float32 rows of length 1, flip-averaged where the encoder says so.

        Raises NotNumbers.
        """
        ...


def numbers(vectors: F32, words: str) -> F32:
    """The vectors, which an encoder described by words gave. Raises NotNumbers when any is none."""
    if not np.isfinite(vectors).all():
        raise NotNumbers(words)
    return vectors


def load_runtime(
    weights: Path, *, device: str = "auto", preprocess: str = "imagenet", engine: str = "auto", tell: Tell = lambda line: None
) -> Runtime:
    """Make an encoder ready. preprocess, imagenet or arcface, is for ONNX files, which do not say it themselves.

    engine auto: for our weights torch on a GPU, else OpenVINO where it is installed, else torch on the CPU; for ONNX files
    onnxruntime. All give the same vectors (cosine 0.999 and better), so that galleries do not care. Raises NotFound,
    PickleRefused, BadCheckpoint, DeviceMissing, PackageMissing, EngineUnfit.
    """
    return loader_for(weights, device=device, preprocess=preprocess, engine=engine, tell=tell)()


def loader_for(weights: Path, *, device: str, preprocess: str, engine: str, tell: Tell) -> Callable[[], Runtime]:
    """Choose the engine and import it now; what is returned makes it ready, and is fit for a thread, since it computes outside Python.

    (Two threads that both import hinder each other more than they gain.) Raises as load_runtime, partly when it is called.
    """
    foreign = weights.suffix.lower() == ".onnx"
    if engine == "auto":
        engine = "onnxruntime" if foreign else "openvino" if _openvino_serves(device) else "torch"
    if foreign != (engine == "onnxruntime"):
        raise EngineUnfit(engine, weights, "onnxruntime" if foreign else "torch or openvino")
    if engine == "openvino":
        from facesearch.model import openvino_runtime

        return openvino_runtime.loader_for(weights, device, tell)
    if engine == "torch":
        from facesearch.model.torch_runtime import TorchRuntime

        return lambda: TorchRuntime(weights, device)
    from facesearch.model.onnx_runtime import OnnxRuntime

    return lambda: OnnxRuntime(weights, device, preprocess)


def _openvino_serves(device: str) -> bool:
    """Whether OpenVINO is there and no GPU is wanted or likely. Asking torch for a GPU costs two seconds, the driver's files none."""
    drivers = ("/dev/nvidiactl", "/dev/dxg", os.path.expandvars(r"%SystemRoot%\System32\nvcuda.dll"))
    gpu = device.startswith("cuda") or (device == "auto" and any(os.path.exists(path) for path in drivers))  # noqa: PTH110
    return not gpu and find_spec("openvino") is not None
