"""One of our encoders on OpenVINO, the fastest engine on a CPU. torch is needed once, to export; then not even imported.

The exported network takes crops and gives unit vectors: scaling, both mirror images and normalisation are inside. It is
kept in the user's cache by the encoder's id, with the hashes of its files, and made again when these do not fit.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from facesearch.errors import BadCheckpoint, CannotRead, CannotWrite, DeviceMissing, PackageMissing
from facesearch.files import make_folder, read_json, replace_json, sha256_of
from facesearch.model.weights_file import encoder_meta
from facesearch.records import F32, U8, Tell

BATCH = 64
GRAPH = 1
"""Version of what _export puts around the network."""
MODEL, PARTS, MANIFEST = "model.xml", ("model.xml", "model.bin"), "manifest.json"


class OpenVinoRuntime:
    """An encoder of ours on the CPU, in bfloat16 where the processor computes in it, else float32."""

    def __init__(self, weights: Path, device: str, tell: Tell) -> None:
        """Raises NotFound, PickleRefused, BadCheckpoint, DeviceMissing, PackageMissing."""
        if device not in ("auto", "cpu"):
            raise DeviceMissing(device, "the engine openvino computes on the CPU; --engine torch serves GPUs")
        meta = encoder_meta(weights)
        openvino = _import_openvino(weights)
        self.encoder_id: str = meta["encoder_id"]
        self.notes: dict[str, Any] = meta.get("notes", {})
        core = openvino.Core()
        bf16 = _wants_bf16(core)
        settings = {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32", "PERFORMANCE_HINT": "LATENCY"}
        model = _exported(weights, self.encoder_id, openvino, tell)
        compiled = core.compile_model(str(model) if isinstance(model, Path) else model, "CPU", settings)
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
        return out


def _padded(crops: U8) -> U8:
    """Crops (n, ...) repeated to the next power of two: each new number of crops costs OpenVINO 70 ms of preparation."""
    n = len(crops)
    size = 1 << (n - 1).bit_length()
    return crops if n == size else np.concatenate([crops, np.broadcast_to(crops[-1:], (size - n, *crops.shape[1:]))])


def _import_openvino(weights: Path) -> Any:
    """The package, without its telemetry: importing openvino would tell its makers so, and this program talks to nobody."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise PackageMissing("openvino", "fast", f"running {weights.name} on the engine openvino") from error
    return openvino


def _wants_bf16(core: Any) -> bool:
    import os

    told = os.environ.get("FACESEARCH_BF16")
    return told == "1" if told in ("0", "1") else "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _exported(weights: Path, encoder_id: str, openvino: Any, tell: Tell) -> Any:
    """The path of the exported network, made when it is not there yet; the network itself where nothing can be kept."""
    import platformdirs

    root = platformdirs.user_cache_path("facesearch") / "engines"
    folder = root / f"{encoder_id[:32]}-openvino-{openvino.__version__.partition('-')[0]}-{GRAPH}"
    if _is_whole(folder, encoder_id):
        return folder / MODEL
    tell(f"exporting the encoder for OpenVINO, once; kept in {folder}")
    network = _export(weights, encoder_id, openvino)
    try:
        make_folder(folder)
        openvino.save_model(network, str(folder / MODEL), compress_to_fp16=True)
        for name in PARTS:
            (folder / name).chmod(0o600)
        replace_json(folder / MANIFEST, {"encoder_id": encoder_id, "sha256": {name: sha256_of(folder / name) for name in PARTS}})
    except (OSError, RuntimeError, CannotWrite):
        shutil.rmtree(folder, ignore_errors=True)
        return network
    for old in root.glob(f"{encoder_id[:32]}-openvino-*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return folder / MODEL


def _is_whole(folder: Path, encoder_id: str) -> bool:
    try:
        manifest = read_json(folder / MANIFEST)
        return bool(manifest["encoder_id"] == encoder_id) and all(sha256_of(folder / name) == manifest["sha256"][name] for name in PARTS)
    except (CannotRead, OSError, KeyError, TypeError):
        return False


def _export(weights: Path, encoder_id: str, openvino: Any) -> Any:
    """The whole way from crops (n, 112, 112, 3) uint8 to unit vectors (n, d) as an OpenVINO model. Raises BadCheckpoint."""
    import warnings

    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    from facesearch.faces.align import CROP_PX
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
