"""Encoders on OpenVINO, which every installation has: ours built from their safetensors, foreign ones read
from their ONNX files.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from facesearch.encoder.foreign import Foreign, Ports
from facesearch.encoder.runtime import Precision, Runtime, numbers
from facesearch.encoder.weights_file import read_encoder, require_whole
from facesearch.errors import BadCheckpoint, DeviceMissing, counted, said_of
from facesearch.faces.engine import import_openvino
from facesearch.records import F32, U8

BATCH = 16
"""Crops at once: 64 take 120 MB more, and 7 % less CPU time."""


def loader_for(
    weights: Path, device: str, preprocess: str, *, threads: int | None, precision: Precision
) -> Callable[[], Runtime]:
    """Import OpenVINO; what is returned makes the encoder ready to run, and is fit for a thread of its own.

    Raises NotFound, PickleRefused, BadCheckpoint, DeviceMissing, PackageMissing, partly when it is called.
    """
    if device not in ("auto", "cpu"):
        raise DeviceMissing(
            device,
            "the engine openvino computes on the CPU",
            "Pass --engine torch for a GPU, or --device cpu.",
        )
    engine = Engine(import_openvino(), threads=threads, precision=precision)
    if weights.suffix.lower() == ".onnx":
        return lambda: _foreign(weights, preprocess, engine)
    return lambda: OpenVinoRuntime(weights, engine)


class Engine:
    """OpenVINO on this CPU: how many threads it takes (None: one a core) and in which precision it
    computes."""

    def __init__(self, openvino: Any, *, threads: int | None = None, precision: Precision = "auto") -> None:
        self.openvino = openvino
        self._core = openvino.Core()
        native = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.bf16 = native if precision == "auto" else precision == "bfloat16"
        self._settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.bf16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads is not None:
            self._settings["INFERENCE_NUM_THREADS"] = threads

    def compiled(self, model: Any) -> Any:
        return self._core.compile_model(model, "CPU", self._settings)

    def read(self, model: Path | bytes) -> Any:
        """An ONNX file or its bytes as a model. Raises RuntimeError."""
        return self._core.read_model(str(model) if isinstance(model, Path) else model)

    def words(self, compiled: Any | None = None) -> str:
        threads = (
            ""
            if compiled is None
            else f"{counted(compiled.get_property('INFERENCE_NUM_THREADS'), 'thread')}, "
        )
        return f"OpenVINO, CPU, {threads}{'bfloat16' if self.bf16 else 'float32'}"


class OpenVinoRuntime:
    """An encoder of ours on the CPU, in bfloat16 where the processor computes in it, else float32. loader_for
    makes one.
    """

    def __init__(self, weights: Path, engine: Engine) -> None:
        """Raises NotFound, PickleRefused, BadCheckpoint."""
        from facesearch.encoder.openvino_graph import build

        tensors, config, meta = read_encoder(weights)
        try:
            with ThreadPoolExecutor(1) as pool:  # both compute outside Python
                whole = pool.submit(require_whole, weights, tensors, config, meta["encoder_id"])
                compiled = engine.compiled(build(tensors, config, engine.openvino))
                whole.result()
        except (
            KeyError,
            ValueError,
            TypeError,
            AttributeError,
            IndexError,
            MemoryError,
            RuntimeError,
        ) as error:
            raise BadCheckpoint(
                weights, f"its tensors do not fit its own description ({said_of(weights, error)})"
            ) from error
        self.encoder_id: str = meta["encoder_id"]
        self.notes: dict[str, Any] = meta.get("notes", {})
        self._request = compiled.create_infer_request()
        self.dimension = int(compiled.output(0).partial_shape[1].get_length())
        if self.dimension != config.embedding_size:
            raise BadCheckpoint(
                weights,
                f"it gives {counted(self.dimension, 'number')}, and its description says"
                f" {config.embedding_size}",
            )
        self.words = f"{config.backbone} {self.encoder_id[:12]} on {engine.words(compiled)}"

    def embed(self, crops: U8) -> F32:
        return self.measure(crops)[0]

    def measure(self, crops: U8) -> tuple[F32, F32]:
        out, lengths = np.empty((len(crops), self.dimension), np.float32), np.empty(len(crops), np.float32)
        for start in range(0, len(crops), BATCH):
            part = np.ascontiguousarray(crops[start : start + BATCH])
            found = self._request.infer([_padded(part)])
            out[start : start + BATCH] = found[0][: len(part)]
            lengths[start : start + BATCH] = found[1][: len(part)]
        return numbers(out, self.words), numbers(lengths, self.words)


def _padded(crops: U8) -> U8:
    """Crops (n, ...) repeated to the next power of two: each new number of crops costs OpenVINO 70 ms of
    preparation.
    """
    n = len(crops)
    size = 1 << (n - 1).bit_length()
    return (
        crops
        if n == size
        else np.concatenate([crops, np.broadcast_to(crops[-1:], (size - n, *crops.shape[1:]))])
    )


def _foreign(weights: Path, preprocess: str, engine: Engine) -> Runtime:
    try:
        model = engine.read(weights)
        if len(model.inputs) != 1 or not model.outputs:
            raise BadCheckpoint(
                weights,
                f"it takes {counted(len(model.inputs), 'input')} and gives {len(model.outputs)};"
                " expected one of each",
            )
        ports = Ports(
            _sizes(model.input(0)), _sizes(model.output(0)), model.input(0).element_type.to_dtype().name
        )
        compiled = engine.compiled(model)
    except RuntimeError as error:
        raise BadCheckpoint(weights, f"OpenVINO cannot load it ({said_of(weights, error)})") from error
    request = compiled.create_infer_request()
    return Foreign(
        weights,
        preprocess,
        ports,
        lambda pixels: np.array(request.infer([pixels])[0]),
        engine.words(compiled),
    )


def _sizes(port: Any) -> list[int]:
    """A port's shape, 0 where any size is right; empty where even their number is not fixed."""
    shape = port.partial_shape
    return [size.get_length() if size.is_static else 0 for size in shape] if shape.rank.is_static else []
