"""One of our encoders as a standard ONNX file, for other programs; checked against the network in torch.
Needs torch.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from facesearch.encoder.checkpoint import load_encoder
from facesearch.encoder.openvino_runtime import Engine
from facesearch.errors import BadCheckpoint, OutputExists, writing
from facesearch.faces.engine import import_openvino
from facesearch.files import new_file_beside, replace_file

OPSET = 17
LEAST_COSINE = 0.9999
CHECKED = 8


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """What was written. takes, gives: shapes, 0 for any number of photos; lowest_cosine: to torch's vectors,
    of the pictures it was checked with."""

    path: Path
    bytes: int
    encoder: str
    takes: tuple[int, int, int, int]
    gives: tuple[int, int]
    lowest_cosine: float


def write_onnx(weights: Path, out: Path) -> OnnxFile:
    """The network of an encoder as ONNX: pixels (n, 3, s, s) float32 RGB, less ImageNet's mean, over its
    spread (what `--preprocess imagenet` feeds), to embeddings (n, d) float32, not of length 1.

    Raises OutputExists, NotFound, PickleRefused, CannotWrite; BadCheckpoint when the file gives other vectors
    than torch.
    """
    if out.exists():
        raise OutputExists(out, "would be overwritten")
    encoder, meta = load_encoder(weights)
    size = encoder.config.size_px
    pixels = torch.randn(CHECKED, 3, size, size, generator=torch.Generator().manual_seed(0))
    with writing(out):
        fresh, opened = new_file_beside(out)
        opened.close()
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # the exporter that needs no further package is called old
            torch.onnx.export(
                encoder.backbone,
                (pixels[:2],),
                str(fresh),
                dynamo=False,
                opset_version=OPSET,
                input_names=["pixels"],
                output_names=["embedding"],
                dynamic_axes={"pixels": {0: "n"}, "embedding": {0: "n"}},
            )
            wanted = F.normalize(encoder.backbone(pixels)).numpy()
        data = fresh.read_bytes()
    finally:
        fresh.unlink(missing_ok=True)
    engine = Engine(import_openvino(), precision="float32")
    found = np.array(engine.compiled(engine.read(data)).create_infer_request().infer([pixels.numpy()])[0])
    lowest = float((wanted * found / np.linalg.norm(found, axis=1, keepdims=True)).sum(1).min())
    if not lowest >= LEAST_COSINE:
        raise BadCheckpoint(
            weights,
            f"as ONNX it gives other vectors than torch (lowest cosine {lowest:.5f}); nothing was written",
        )
    replace_file(out, data)
    return OnnxFile(
        out, len(data), meta["encoder_id"], (0, 3, size, size), (0, encoder.config.embedding_size), lowest
    )
