"""A teacher for distillation: a foreign ONNX encoder that also shows what its last map of features looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facesearch.errors import BadCheckpoint, PackageMissing
from facesearch.model.runtime import OnnxRuntime, cpu_session

MIN_MAP = 4
"""The map of features is the network's last tensor of at least so many cells a side."""


class Teacher:
    """runtime gives its vectors as they are used, flip-averaged; look gives one pass, with the map before the vector."""

    def __init__(self, model: Path, preprocess: str = "imagenet") -> None:
        """Raises NotFound, PackageMissing, BadCheckpoint."""
        self.runtime = OnnxRuntime(model, "cpu", preprocess)
        try:
            import onnx
        except ImportError as error:
            raise PackageMissing("onnx", "onnx", f"looking into the teacher {model.name}") from error
        network = onnx.shape_inference.infer_shapes(onnx.load(str(model)))
        maps: dict[str, list[int]] = {}
        for value in network.graph.value_info:
            shape = [size.dim_value for size in value.type.tensor_type.shape.dim]
            if len(shape) == 4 and min(shape[2:]) >= MIN_MAP:
                maps[value.name] = shape
        order = [name for node in network.graph.node for name in node.output if name in maps]
        if not order:
            raise BadCheckpoint(model, "no map of features was found in it; is it a convolutional encoder?")
        self._vector, self._map = network.graph.output[0].name, order[-1]
        self.channels = maps[self._map][1]
        network.graph.output.append(next(value for value in network.graph.value_info if value.name == self._map))
        self._session = cpu_session(network.SerializeToString())

    @property
    def encoder_id(self) -> str:
        return self.runtime.encoder_id

    @property
    def dimension(self) -> int:
        return self.runtime.dimension

    def look(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """crops (n, 112, 112, 3) uint8 -> vectors (n, d) of length 1 and maps (n, c, h, w), float32 on the CPU. One pass."""
        pixels = self.runtime.pixels(crops.cpu().numpy())
        vectors, maps = [], []
        step = self.runtime.at_once or len(pixels)
        for start in range(0, len(pixels), step):
            vector, features = self._session.run([self._vector, self._map], {self.runtime.entry: pixels[start : start + step]})
            vectors.append(vector)
            maps.append(features)
        found = torch.from_numpy(np.concatenate(vectors))
        return torch.nn.functional.normalize(found), torch.from_numpy(np.concatenate(maps))
