"""Which engine turns crops into vectors: the fastest that is right for the weights and the machine, chosen
once, and said.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from facesearch.errors import DeviceMissing, EngineUnfit, NotNumbers, PackageMissing
from facesearch.records import F32, U8

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
ENGINES = ("auto", "openvino", "torch", "onnxruntime")
Precision = Literal["auto", "float32", "bfloat16"]
"""auto: bfloat16 where the processor or GPU computes in it, else float32."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class Runtime(Protocol):
    """An encoder ready to use. words says what it is and where it runs; notes is what its file tells of its
    making.
    """

    encoder_id: str
    dimension: int
    words: str
    notes: dict[str, Any]

    def embed(self, crops: U8) -> F32:
        """crops (n, 112, 112, 3) uint8 RGB -> (n, d) float32 rows of length 1, flip-averaged where the
        encoder says so.

        Raises NotNumbers.
        """
        ...


@runtime_checkable
class Measuring(Protocol):
    """A runtime that tells as well how long each vector was before it was brought to length 1. All of ours
    are.
    """

    def measure(self, crops: U8) -> tuple[F32, F32]:
        """What embed gives, and lengths (n,) float32: of both mirror images' vectors the mean."""
        ...


def measured(runtime: Runtime, crops: U8) -> tuple[F32, F32]:
    """crops (n, 112, 112, 3) uint8 RGB -> unit vectors (n, d) and the lengths (n,) that the network gave
    them, float32; lengths of 0 where the runtime does not tell them. Poor photos get short vectors (Meng et
    al. 2021, MagFace, arXiv:2103.06627, where a loss is made for it; others have it by themselves).

    Raises NotNumbers.
    """
    if isinstance(runtime, Measuring):
        return runtime.measure(crops)
    return runtime.embed(crops), np.zeros(len(crops), np.float32)


def numbers(vectors: F32, words: str) -> F32:
    """The vectors, which an encoder described by words gave. Raises NotNumbers when any is none."""
    if not np.isfinite(vectors).all():
        raise NotNumbers(words)
    return vectors


def load_runtime(
    weights: Path,
    *,
    device: str = "auto",
    preprocess: str = "imagenet",
    engine: str = "auto",
    threads: int | None = None,
    precision: Precision = "auto",
) -> Runtime:
    """Make an encoder ready. preprocess, imagenet or arcface, is for ONNX files, which do not say it
    themselves.

    engine auto: on a CPU OpenVINO; on a GPU torch for our weights and onnxruntime for ONNX files. All give
    the same vectors (cosine 0.999 and better), so that galleries do not care. threads: of OpenVINO and
    onnxruntime, None for one a core. Raises NotFound, PickleRefused, BadCheckpoint, DeviceMissing,
    PackageMissing, EngineUnfit.
    """
    return loader_for(
        weights, device=device, preprocess=preprocess, engine=engine, threads=threads, precision=precision
    )()


def loader_for(
    weights: Path,
    *,
    device: str,
    preprocess: str,
    engine: str,
    threads: int | None = None,
    precision: Precision = "auto",
) -> Callable[[], Runtime]:
    """Choose the engine and import it now; what is returned makes it ready, and is fit for a thread, since it
    computes outside Python.

    (Two threads that both import hinder each other more than they gain.) Raises as load_runtime, partly when
    it is called.
    """
    if not DEVICE.fullmatch(device):
        raise DeviceMissing(device, "there is no device of that name; known are auto, cpu, cuda and cuda:N")
    foreign = weights.suffix.lower() == ".onnx"
    if engine == "auto":
        engine = (
            "openvino" if not _wants_gpu(device, foreign=foreign) else "onnxruntime" if foreign else "torch"
        )
    if engine == ("torch" if foreign else "onnxruntime"):
        raise EngineUnfit(engine, weights, "openvino or onnxruntime" if foreign else "torch or openvino")
    if engine == "openvino":
        from facesearch.encoder import openvino_runtime

        return openvino_runtime.loader_for(weights, device, preprocess, threads=threads, precision=precision)
    if engine == "torch":
        try:
            from facesearch.encoder.torch_runtime import TorchRuntime
        except ModuleNotFoundError as error:
            raise PackageMissing(
                error.name or "torch", "train", "running an encoder on the engine torch"
            ) from error
        return lambda: TorchRuntime(weights, device, precision)
    from facesearch.encoder.onnx_runtime import load

    return lambda: load(weights, device, preprocess, threads=threads)


def _wants_gpu(device: str, *, foreign: bool) -> bool:
    """Whether a GPU is asked for, or is likely there with what is needed to use it for our weights.

    Asking torch for a GPU costs two seconds, looking for the driver's files none.
    """
    from importlib.util import find_spec

    drivers = ("/dev/nvidiactl", "/dev/dxg", os.path.expandvars(r"%SystemRoot%\System32\nvcuda.dll"))
    there = not foreign and device == "auto" and any(os.path.exists(path) for path in drivers)  # noqa: PTH110
    return device.startswith("cuda") or (there and find_spec("torch") is not None)
