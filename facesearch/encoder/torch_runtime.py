"""One of our encoders on torch: on a GPU, and on a CPU where this engine is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from facesearch.encoder.checkpoint import load_encoder
from facesearch.encoder.device import choose_device
from facesearch.encoder.network import UnitVectors, as_pixels
from facesearch.encoder.runtime import Precision, numbers
from facesearch.records import F32, U8

BATCH = 64


class TorchRuntime:
    """One of our encoders, on CPU or GPU: batch norms folded into convolutions, channels last, bfloat16 where
    the device computes in it.
    """

    def __init__(self, weights: Path, device: str, precision: Precision = "auto") -> None:
        """Raises NotFound, PickleRefused, BadCheckpoint, DeviceMissing."""
        encoder, meta = load_encoder(weights)
        self._device = choose_device(device, precision)
        encoder.backbone = _folded(encoder.backbone)
        self._encoder = encoder.to(self._device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.encoder_id: str = meta["encoder_id"]
        self.dimension = encoder.config.embedding_size
        self.notes: dict[str, Any] = meta.get("notes", {})
        self._unit_vectors = UnitVectors(self._encoder)
        self.words = f"{encoder.config.backbone} {self.encoder_id[:12]} on {self._device.words}"

    def embed(self, crops: U8) -> F32:
        return self.measure(crops)[0]

    def measure(self, crops: U8) -> tuple[F32, F32]:
        out, lengths = np.empty((len(crops), self.dimension), np.float32), np.empty(len(crops), np.float32)
        with torch.inference_mode(), self._device.autocast():
            for start in range(0, len(crops), BATCH):
                part = torch.from_numpy(np.array(crops[start : start + BATCH]))
                vectors, long = self._unit_vectors.measured(part.to(self._device.torch))
                out[start : start + BATCH] = vectors.cpu().numpy()
                lengths[start : start + BATCH] = long.cpu().numpy()
        return numbers(out, self.words), numbers(lengths, self.words)

    def embeddings(self, crops: U8) -> Tensor:
        """One pass for crops (n, 112, 112, 3) uint8: the network's own output (n, d) float32 on the CPU, not
        normalised.
        """
        with torch.inference_mode(), self._device.autocast():
            raw = torch.from_numpy(np.array(crops)).to(self._device.torch)
            vectors: Tensor = self._encoder(as_pixels(raw, self._encoder.config.size_px))
            return vectors.cpu()


def _folded(backbone: nn.Module) -> nn.Module:
    """The network with its batch norms within the layers before them. torch's own folding cannot do those
    without weights of their own.
    """
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm1d) and not module.affine:
            module.weight = nn.Parameter(torch.ones(module.num_features))
            module.bias = nn.Parameter(torch.zeros(module.num_features))
    folded: nn.Module = fuse(backbone)
    return folded
