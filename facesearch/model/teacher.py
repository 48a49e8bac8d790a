"""A teacher for distillation: a foreign ONNX encoder that also shows maps of features on the way to its vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facesearch.errors import BadCheckpoint, PackageMissing
from facesearch.model.onnx_runtime import OnnxRuntime, cpu_session

MIN_MAP = 4
"""Maps of fewer cells a side say too little of where things are."""


class Teacher:
    """runtime gives its vectors as they are used, flip-averaged; look gives one pass, with maps on the way to the vector."""

    def __init__(self, model: Path, preprocess: str = "imagenet", sides: Sequence[int] = ()) -> None:
        """sides: for each, the map whose number of cells a side is nearest by ratio is shown; of several the end of the last
        residual block (a sum), or the last where there is none.

        Raises NotFound, PackageMissing, BadCheckpoint.
        """
        self.runtime = OnnxRuntime(model, "cpu", preprocess)
        try:
            import onnx
        except ImportError as error:
            raise PackageMissing("onnx", "onnx", f"looking into the teacher {model.name}") from error
        network = onnx.shape_inference.infer_shapes(onnx.load(str(model)))
        shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in network.graph.value_info}
        last: dict[int, tuple[bool, str]] = {}  # cells a side -> whether it is a sum, and its name
        for node in network.graph.node:
            shape = shapes.get(node.output[0], [])
            if len(shape) == 4 and min(shape[2:]) >= MIN_MAP:
                is_sum, _ = last.get(shape[2], (False, ""))
                if node.op_type == "Add" or not is_sum:
                    last[shape[2]] = (node.op_type == "Add", node.output[0])
        if not last:
            raise BadCheckpoint(model, "no map of features was found in it; is it a convolutional encoder?")
        chosen = [last[min(last, key=lambda there: abs(math.log(there / side)))][1] for side in sides]
        self.channels = tuple(shapes[name][1] for name in chosen)
        self._wanted = [network.graph.output[0].name, *chosen]
        network.graph.output.extend(value for value in network.graph.value_info if value.name in chosen)
        self._session = cpu_session(network.SerializeToString())

    @property
    def encoder_id(self) -> str:
        return self.runtime.encoder_id

    @property
    def dimension(self) -> int:
        return self.runtime.dimension

    def look(self, crops: Tensor) -> tuple[Tensor, list[Tensor]]:
        """crops (n, 112, 112, 3) uint8 -> vectors (n, d) of length 1 and the maps (n, c, h, w) of all sides, float32 on the CPU."""
        pixels = self.runtime.pixels(crops.cpu().numpy())
        step = self.runtime.at_once or len(pixels)
        parts = [self._session.run(self._wanted, {self.runtime.entry: pixels[i : i + step]}) for i in range(0, len(pixels), step)]
        vectors, *maps = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True))
        return torch.nn.functional.normalize(vectors), maps
