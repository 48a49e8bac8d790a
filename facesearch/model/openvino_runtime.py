"""One of our encoders on OpenVINO, the fastest engine on a CPU. torch is needed once, to export; then not even imported.

The exported network takes crops and gives unit vectors: scaling, both mirror images and normalisation are inside. It is
kept in the user's cache as OpenVINO has compiled it, one file for an encoder, a kind of processor and a precision, with its
hash in its name, and made again when that does not fit.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facesearch.errors import BadCheckpoint, CannotWrite, DeviceMissing, PackageMissing
from facesearch.files import make_folder, replace_file
from facesearch.model.runtime import numbers
from facesearch.model.weights_file import encoder_meta
from facesearch.records import F32, U8, Tell

BATCH = 64
GRAPH = 1
"""Version of what _export puts around the network."""
KEPT = ".compiled"


def loader_for(weights: Path, device: str, tell: Tell) -> Callable[[], OpenVinoRuntime]:
    """Import OpenVINO; what is returned makes the encoder ready to run.

    Raises NotFound, PickleRefused, BadCheckpoint, DeviceMissing, PackageMissing.
    """
    if device not in ("auto", "cpu"):
        raise DeviceMissing(device, "the engine openvino computes on the CPU", "Pass --engine torch for a GPU, or --device cpu.")
    meta = encoder_meta(weights)
    openvino = import_openvino(weights)
    return lambda: OpenVinoRuntime(weights, meta, openvino, tell)


class OpenVinoRuntime:
    """An encoder of ours on the CPU, in bfloat16 where the processor computes in it, else float32. loader_for makes one."""

    def __init__(self, weights: Path, meta: dict[str, Any], openvino: Any, tell: Tell) -> None:
        """openvino: the package. Raises BadCheckpoint."""
        self.encoder_id: str = meta["encoder_id"]
        self.notes: dict[str, Any] = meta.get("notes", {})
        core = openvino.Core()
        bf16 = wants_bf16(core)
        compiled, self._memory = _compiled(weights, self.encoder_id, core, bf16, openvino, tell)
        self._request = compiled.create_infer_request()
        self.dimension = int(compiled.output(0).partial_shape[1].get_length())
        threads = compiled.get_property("INFERENCE_NUM_THREADS")
        precision = "bfloat16" if bf16 else "float32"
        self.words = f"{meta['config']['backbone']} {self.encoder_id[:12]} on OpenVINO, CPU, {threads} threads, {precision}"

    def embed(self, crops: U8) -> F32:
        out = np.empty((len(crops), self.dimension), np.float32)
        for start in range(0, len(crops), BATCH):
            part = np.ascontiguousarray(crops[start : start + BATCH])
            out[start : start + BATCH] = self._request.infer([_padded(part)])[0][: len(part)]
        return numbers(out, self.words)


def _padded(crops: U8) -> U8:
    """Crops (n, ...) repeated to the next power of two: each new number of crops costs OpenVINO 70 ms of preparation."""
    n = len(crops)
    size = 1 << (n - 1).bit_length()
    return crops if n == size else np.concatenate([crops, np.broadcast_to(crops[-1:], (size - n, *crops.shape[1:]))])


def import_openvino(weights: Path) -> Any:
    """The package, without two parts of it that it does without: its telemetry, since importing openvino would tell its makers
    so, and this program talks to nobody; and its model converter, which takes longer to import than all the rest."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    converter = "openvino.tools.ovc"
    absent = converter not in sys.modules
    if absent:
        sys.modules[converter] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise PackageMissing("openvino", "fast", f"running {weights.name} on the engine openvino") from error
    finally:
        if absent:
            del sys.modules[converter]
    return openvino


def wants_bf16(core: Any) -> bool:
    told = os.environ.get("FACESEARCH_BF16")
    return told == "1" if told in ("0", "1") else "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _compiled(weights: Path, encoder_id: str, core: Any, bf16: bool, openvino: Any, tell: Tell) -> tuple[Any, object]:
    """The network ready to run, and the memory it reads: as it is kept, else exported, compiled, and kept where anything can be."""
    settings = {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32", "PERFORMANCE_HINT": "LATENCY"}
    processor = [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    here = f"{encoder_id[:16]}-{_short_hash(processor, settings)}-"
    now = f"{here}{_short_hash(encoder_id, openvino.__version__, GRAPH)}-"
    folder = _folder()
    for path in folder.glob(f"{now}*{KEPT}"):
        try:
            memory = np.memmap(path, np.uint8, "c")
            if hashlib.sha256(memory.data).hexdigest() == path.stem.removeprefix(now):  # in one call, so that other threads go on
                data = openvino.Tensor(memory, shared_memory=True)
                return core.import_model(data, "CPU", settings), data
        except (OSError, RuntimeError, ValueError):  # empty, deleted meanwhile, or not to OpenVINO's taste after all
            pass
    tell(f"exporting the encoder for OpenVINO, once; kept in {folder}")
    compiled = core.compile_model(_export(weights, encoder_id, openvino), "CPU", settings)
    try:
        make_folder(folder)
        data = compiled.export_model().getvalue()
        kept = folder / f"{now}{hashlib.sha256(data).hexdigest()}{KEPT}"
        replace_file(kept, data)
        for old in folder.glob(f"{here}*{KEPT}"):
            if old != kept:
                old.unlink(missing_ok=True)
    except (OSError, RuntimeError, CannotWrite):
        pass
    return compiled, None


def _folder() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("facesearch") / "engines"


def _short_hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _export(weights: Path, encoder_id: str, openvino: Any) -> Any:
    """The whole way from crops (n, 112, 112, 3) uint8 to unit vectors (n, d) as an OpenVINO model. Raises BadCheckpoint."""
    import warnings

    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    from facesearch.faces.crop import CROP_PX
    from facesearch.model.checkpoint import load_encoder
    from facesearch.model.encoder import UnitVectors

    encoder, meta = load_encoder(weights)
    if meta["encoder_id"] != encoder_id:
        raise BadCheckpoint(weights, "it was replaced while it was being read")
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated, and what the frontend of this OpenVINO reads
        example = torch.zeros((2, CROP_PX, CROP_PX, 3), dtype=torch.uint8)
        decoder = TorchScriptPythonDecoder(UnitVectors(encoder).eval(), example_input=example)
        frontend = FrontEndManager().load_by_framework("pytorch")
        network = frontend.convert(frontend.load(decoder))
    network.reshape([-1, CROP_PX, CROP_PX, 3])
    return network
