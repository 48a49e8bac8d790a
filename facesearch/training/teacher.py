"""A teacher for distillation: a foreign ONNX encoder, run where the student is trained.

On a GPU it is a torch module in the device's own precision (onnx_module.py), compiled where the student is;
on a CPU OpenVINO runs it. A network that torch cannot be made of here stays on the CPU, and the run says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesearch.encoder.device import Device
from facesearch.encoder.network import as_pixels
from facesearch.encoder.openvino_runtime import Engine
from facesearch.encoder.weights_file import PREPROCESS, foreign_id
from facesearch.errors import BadCheckpoint, NotFound, PackageMissing
from facesearch.faces.crop import CROP_PX
from facesearch.faces.engine import import_openvino
from facesearch.files import sha256_of
from facesearch.records import F32, U8, Tell
from facesearch.training.onnx_module import UnreadOperator, load_network, read_network

MIN_MAP = 4
"""Maps of fewer cells a side say too little of where things are."""

Network = Callable[[Tensor], Sequence[Tensor]]
"""pixels (n, 3, s, s) float32 as the file wants them -> vectors (n, d) and maps, on the same device, of any
precision.
"""


class Teacher:
    """look gives its vectors as the network makes them, with maps on the way there; embed those that a
    gallery would hold.
    """

    def __init__(
        self,
        model: Path,
        preprocess: str,
        device: Device,
        *,
        sides: Sequence[int] = (),
        compiled: bool = False,
        at_once: int = 64,
        tell: Tell = lambda line: None,
    ) -> None:
        """sides: for each, the map whose number of cells a side is nearest by ratio is shown; of several the
        end of the last residual block (a sum), or the last where there is none. at_once: how many crops embed
        looks at in one go; look is to be asked for as many, where that is compiled, since a program is made
        for each number.

        Raises NotFound, PackageMissing, BadCheckpoint.
        """
        if not model.is_file():
            raise NotFound(model, "teacher")
        try:
            import onnx
        except ImportError as error:
            raise PackageMissing("onnx", "onnx", f"looking into the teacher {model.name}") from error
        network = onnx.shape_inference.infer_shapes(load_network(model))
        entry = next(
            each
            for each in network.graph.input
            if each.name not in {i.name for i in network.graph.initializer}
        )
        taken = [size.dim_value for size in entry.type.tensor_type.shape.dim]
        given = [size.dim_value for size in network.graph.output[0].type.tensor_type.shape.dim]
        if len(taken) != 4 or taken[1] != 3 or len(given) != 2:
            raise BadCheckpoint(model, f"it takes {taken} and gives {given}; expected [n, 3, h, w] to [n, d]")
        names, self.channels = _maps(model, network, sides)
        self.encoder_id, self.notes = foreign_id(sha256_of(model), preprocess), dict[str, Any]()
        self._device, self._size, self._taken, self._at_once = device, taken[2] or CROP_PX, taken[0], at_once
        mean, spread = PREPROCESS[preprocess]
        self._mean, self._spread = (torch.tensor(v).view(1, 3, 1, 1).to(device.torch) for v in (mean, spread))
        self.words = ""
        self._network = self._made(model, network, names, tell)
        self._often: Network = self._network
        if compiled and isinstance(self._network, _OnDevice):
            self._often = _OnDevice(torch.compile(self._network.module, dynamic=False), self._network.dtype)
        self.dimension = int(
            self.look(torch.zeros(1, 3, self._size, self._size, device=device.torch))[0].shape[1]
        )
        self.words = f"{model.name} {self.encoder_id[:12]} {self.words}"

    @property
    def _on_gpu(self) -> bool:
        return self._device.torch.type == "cuda"

    def _made(self, model: Path, network: Any, names: list[str], tell: Tell) -> Network:
        if self._on_gpu:
            try:
                module = read_network(model, names).eval()
            except UnreadOperator as reason:
                tell(
                    f"the teacher {model.name} looks at the photos on the CPU, and the GPU waits for it:"
                    f" {reason} is not read for it"
                )
            else:
                self.words = f"on {self._device.words}"
                module.to(self._device.torch, self._device.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
                return _OnDevice(module, self._device.dtype)
        network.graph.output.extend(value for value in network.graph.value_info if value.name in names)
        self.words, run = _on_cpu(
            network.SerializeToString(), [network.graph.output[0].name, *names], self._taken
        )
        place = self._device.torch

        def looked(pixels: Tensor) -> list[Tensor]:
            return [torch.from_numpy(found).to(place) for found in run(pixels.cpu().contiguous().numpy())]

        return looked

    @torch.no_grad()
    def look(self, pixels: Tensor, *, often: bool = False) -> tuple[Tensor, list[Tensor]]:
        """pixels (n, 3, s, s) float 0..255, RGB -> vectors (n, d), of any length, and the maps (n, c, h, w)
        of all sides; float32.

        often: it will be asked for the same n many times, which is worth compiling for where that was asked
        for.
        """
        if pixels.shape[-1] != self._size:
            size = (self._size, self._size)
            pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        with torch.autocast(pixels.device.type, enabled=False):
            network = self._often if often else self._network
            vectors, *maps = network((pixels - self._mean) / self._spread)
        return vectors.float(), [each.float() for each in maps]

    def embed(self, crops: U8) -> F32:
        """crops (n, 112, 112, 3) uint8 -> (n, d) float32 rows of length 1, over both mirror images."""
        return self.embedded(torch.tensor(crops)).cpu().numpy()

    def embedded(self, crops: Tensor) -> Tensor:
        """The same from and to tensors, the result on the teacher's device."""
        step = self._at_once
        return torch.cat(
            [self._both_ways(crops[start : start + step]) for start in range(0, len(crops), step)]
        )

    def _both_ways(self, crops: Tensor) -> Tensor:
        crops, n = crops.to(self._device.torch), len(crops)
        if n < self._at_once and self._often is not self._network:
            crops = torch.cat([crops, crops[-1:].expand(self._at_once - n, -1, -1, -1)])
        pixels = as_pixels(crops, self._size)
        there, back = (F.normalize(self.look(view, often=True)[0]) for view in (pixels, pixels.flip(3)))
        return F.normalize(there + back)[:n]


@dataclass(frozen=True, slots=True)
class _OnDevice:
    """A network as a torch module on the device, in a precision of its own."""

    module: Callable[..., Any]
    dtype: torch.dtype

    def __call__(self, pixels: Tensor) -> Sequence[Tensor]:
        found: Sequence[Tensor] = self.module(pixels.to(self.dtype))
        return found


def _maps(model: Path, network: Any, sides: Sequence[int]) -> tuple[list[str], tuple[int, ...]]:
    """The names of the maps for these sides, and how many channels each has. Raises BadCheckpoint for a
    network without maps.
    """
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in network.graph.value_info
    }
    last: dict[int, tuple[bool, str]] = {}  # cells a side -> whether it is a sum, and its name
    for node in network.graph.node:
        shape = shapes.get(node.output[0], [])
        if len(shape) == 4 and min(shape[2:]) >= MIN_MAP:
            is_sum, _ = last.get(shape[2], (False, ""))
            if node.op_type == "Add" or not is_sum:
                last[shape[2]] = (node.op_type == "Add", node.output[0])
    if not last:
        raise BadCheckpoint(model, "no map of features was found in it; is it a convolutional encoder?")
    names = [last[min(last, key=lambda there: abs(math.log(there / side)))][1] for side in sides]
    return names, tuple(shapes[name][1] for name in names)


def _on_cpu(network: bytes, names: list[str], at_once: int) -> tuple[str, Callable[[F32], list[F32]]]:
    """Words for the engine, and what runs the network on it: pixels (n, 3, s, s) -> the values of these
    names.

    at_once: how many photos the network takes; 0: any number.
    """
    engine = Engine(import_openvino())
    request = engine.compiled(engine.read(network)).create_infer_request()

    def infer(pixels: F32) -> list[F32]:
        found = request.infer([pixels])
        return [np.array(found[name]) for name in names]  # a copy: the request writes there again

    return f"on {engine.words()}", _in_parts(infer, at_once)


def _in_parts(run: Callable[[F32], list[F32]], at_once: int) -> Callable[[F32], list[F32]]:
    def all_of(pixels: F32) -> list[F32]:
        step = at_once or len(pixels)
        parts = [run(pixels[i : i + step]) for i in range(0, len(pixels), step)]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    return all_of
