"""One of our encoders as an OpenVINO network, built from the tensors of its own file with OpenVINO's own
operations.

Neither torch nor an export takes part, so a gallery is searched where torch is not installed, and the weights
exist once. The network takes crops and gives unit vectors, and how long they were before: resizing, colour
normalisation and both mirror images are inside. Batch norms are folded into the layers before them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesearch.encoder.config import IMAGENET_MEAN, IMAGENET_STD, EncoderConfig
from facesearch.faces.crop import CROP_PX
from facesearch.records import F32

Tensors = Mapping[str, NDArray[Any]]
Node = Any
NORM_EPS = {"efficientnet_v2_m": 1e-3}
"""What torchvision's batch norms add to the variance, where it is not PyTorch's 1e-5."""
EPS = 1e-5
STAGE_STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the seven stages of EfficientNet B0 (Tan and Le 2019, table 1) and V2 M (Tan and Le 2021, table 4)."""


def build(tensors: Tensors, config: EncoderConfig, openvino: Any) -> Any:
    """tensors: of a weights file, by name, of any float type. Gives an `openvino.Model`: crops (n, 112, 112,
    3) uint8 RGB -> (n, d) float32 rows of length 1, and their lengths before that (n,). Raises KeyError,
    ValueError or RuntimeError when the tensors are not those of such a network."""
    op = openvino.opset13
    crops = op.parameter([-1, CROP_PX, CROP_PX, 3], np.uint8, name="crops")
    pixels = op.transpose(op.convert(crops, "f32"), np.array([0, 3, 1, 2]))
    if config.size_px != CROP_PX:  # as torch resizes with antialiasing
        size = np.array([config.size_px, config.size_px], np.int64)
        pixels = op.interpolate(
            pixels, size, "bilinear_pillow", "sizes", axes=np.array([2, 3], np.int64), cube_coeff=-0.5
        )
    network = _Network(tensors, config, op)
    vectors, lengths = network.unit(network.embedding(pixels))
    if config.flip_average:
        backwards = np.arange(config.size_px - 1, -1, -1, dtype=np.int64)
        mirrored = op.gather(pixels, op.constant(backwards), op.constant(np.int64(3)))
        others, long = network.unit(network.embedding(mirrored))
        vectors, _ = network.unit(op.add(vectors, others))
        lengths = op.multiply(op.add(lengths, long), op.constant(np.float32(0.5)))
    return openvino.Model([vectors, op.squeeze(lengths, np.array([1]))], [crops], "encoder")


class _Network:
    """The layers of one encoder: each method adds one to the graph. The same weights serve both mirror
    images.
    """

    def __init__(self, tensors: Tensors, config: EncoderConfig, op: Any) -> None:
        self._tensors, self._config, self._op = tensors, config, op
        self._eps = NORM_EPS.get(config.backbone, EPS)
        self._known: dict[str, tuple[Node, Node]] = {}

    def embedding(self, pixels: Node) -> Node:
        """pixels (n, 3, s, s) in 0..255 -> (n, d), not of length 1."""
        op = self._op
        mean = 255 * np.array(IMAGENET_MEAN, np.float32).reshape(1, 3, 1, 1)
        std = 255 * np.array(IMAGENET_STD, np.float32).reshape(1, 3, 1, 1)
        x = op.divide(op.subtract(pixels, op.constant(mean)), op.constant(std))
        features = self._resnet(x) if self._config.backbone.startswith("resnet") else self._efficientnet(x)
        return self._head(op.reshape(features, np.array([0, -1], np.int64), True))

    def unit(self, vectors: Node) -> tuple[Node, Node]:
        """Rows brought to length 1, as torch's F.normalize does, and how long they were (n, 1)."""
        op = self._op
        length = op.reduce_l2(vectors, np.array([1], np.int64), keep_dims=True)
        return op.divide(vectors, op.maximum(length, op.constant(np.float32(1e-12)))), length

    # ---- backbones

    def _resnet(self, x: Node) -> Node:
        """He et al. 2015 as in torchvision: the stride of a bottleneck is in its 3 x 3 convolution. Gives (n,
        c, 1, 1).
        """
        op = self._op
        x = op.relu(self._conv(x, "conv1", "bn1", stride=2))
        x = op.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
        convs = 3 if self._has("layer1.0.conv3.weight") else 2
        for stage in range(1, 5):
            for block in self._numbered(f"layer{stage}"):
                x = self._residual(x, f"layer{stage}.{block}", convs, 2 if stage > 1 and block == 0 else 1)
        if self._config.pooling != "weighted":
            return self._average(x)
        weight = self._float("avgpool.weight")  # a depthwise convolution over the whole map
        return op.reduce_sum(
            op.multiply(x, op.constant(weight.transpose(1, 0, 2, 3))),
            np.array([2, 3], np.int64),
            keep_dims=True,
        )

    def _residual(self, x: Node, name: str, convs: int, stride: int) -> Node:
        op, strided = self._op, convs - 1  # the first of two, the second of three
        out = x
        for number in range(1, convs + 1):
            out = self._conv(
                out, f"{name}.conv{number}", f"{name}.bn{number}", stride=stride if number == strided else 1
            )
            out = op.relu(out) if number < convs else out
        if self._has(f"{name}.downsample.0.weight"):
            x = self._conv(x, f"{name}.downsample.0", f"{name}.downsample.1", stride=stride)
        return op.relu(op.add(out, x))

    def _efficientnet(self, x: Node) -> Node:
        """Tan and Le 2019, 2021, as in torchvision. Gives (n, c, 1, 1)."""
        stages = self._numbered("features")
        x = self._swish(self._conv(x, "features.0.0", "features.0.1", stride=2))
        for stage, stride in zip(stages[1:-1], STAGE_STRIDES, strict=True):
            for block in self._numbered(f"features.{stage}"):
                x = self._inverted(x, f"features.{stage}.{block}.block", stride if block == 0 else 1)
        return self._average(
            self._swish(self._conv(x, f"features.{stages[-1]}.0", f"features.{stages[-1]}.1"))
        )

    def _inverted(self, x: Node, name: str, stride: int) -> Node:
        """An inverted residual block, plain or fused: its stride is in its first convolution of more than one
        pixel, and its last convolution has no activation, unless it is the only one."""
        op, out, left = self._op, x, stride
        parts = self._numbered(name)
        for part in parts:
            if self._has(f"{name}.{part}.fc1.weight"):
                out = op.multiply(out, self._gate(out, f"{name}.{part}"))
                continue
            here = left if self._tensors[f"backbone.{name}.{part}.0.weight"].shape[2] > 1 else 1
            left = 1 if here != 1 else left
            out = self._conv(out, f"{name}.{part}.0", f"{name}.{part}.1", stride=here)
            out = self._swish(out) if part != parts[-1] or len(parts) == 1 else out
        same = stride == 1 and x.get_output_partial_shape(0)[1] == out.get_output_partial_shape(0)[1]
        return op.add(out, x) if same else out

    def _gate(self, x: Node, name: str) -> Node:
        """Squeeze and excitation (Hu et al. 2018)."""
        op = self._op
        return op.sigmoid(self._conv(self._swish(self._conv(self._average(x), f"{name}.fc1")), f"{name}.fc2"))

    # ---- layers

    def _head(self, x: Node) -> Node:
        """What stands instead of the last layer: one linear layer, or several with batch norms
        between."""
        name = self._config.encoder_last_layer_name
        parts = [f"{name}.{number}" for number in self._numbered(name)] or [name]
        linear = [
            part
            for part in parts
            if self._has(f"{part}.weight") and self._tensors[f"backbone.{part}.weight"].ndim == 2
        ]
        for number, part in enumerate(linear):
            after = parts[parts.index(part) + 1] if parts.index(part) + 1 < len(parts) else ""
            weight, shift = self._weights(
                part, after if after and self._has(f"{after}.running_mean") else "", EPS
            )
            x = self._op.add(self._op.matmul(x, weight, False, True), self._op.constant(shift[None, :]))
            x = self._op.relu(x) if number + 1 < len(linear) else x
        return x

    def _conv(self, x: Node, name: str, norm: str = "", *, stride: int = 1) -> Node:
        """A convolution with its bias, padded so that stride 1 keeps the size."""
        op = self._op
        if name not in self._known:
            weight, shift = self._weights(name, norm, self._eps)
            self._known[name] = weight, op.constant(shift.reshape(1, -1, 1, 1))
        weight, bias = self._known[name]
        shape = list(weight.get_output_shape(0))
        pad = [side // 2 for side in shape[-2:]]
        convolve: Callable[..., Node] = op.group_convolution if len(shape) == 5 else op.convolution
        return op.add(convolve(x, weight, [stride, stride], pad, pad, [1, 1]), bias)

    def _weights(self, name: str, norm: str, eps: float) -> tuple[Node, F32]:
        """A layer's weight, and what it adds (c,), with the batch norm after it: y = gamma (x - mean) /
        sqrt(var + eps) + beta.

        The weight stays as it is stored, with the norm's factor beside it: OpenVINO multiplies both once,
        when it compiles.
        """
        op, stored = self._op, self._tensors[f"backbone.{name}.weight"]
        count = len(stored)
        if stored.ndim == 4 and stored.shape[1] == 1 and count > 1:  # depthwise: a group a channel
            stored = stored[:, None]
        weight = op.constant(stored, shared_memory=True)
        weight = weight if stored.dtype == np.float32 else op.convert(weight, "f32")
        shift = self._float(f"{name}.bias") if self._has(f"{name}.bias") else np.zeros(count, np.float32)
        if norm:
            scale: F32 = np.reciprocal(np.sqrt(self._float(f"{norm}.running_var") + np.float32(eps)))
            if self._has(f"{norm}.weight"):
                scale = scale * self._float(f"{norm}.weight")
            shift = (shift - self._float(f"{norm}.running_mean")) * scale
            if self._has(f"{norm}.bias"):
                shift = shift + self._float(f"{norm}.bias")
            weight = op.multiply(weight, op.constant(scale.reshape(-1, *[1] * (stored.ndim - 1))))
        return weight, shift

    def _average(self, x: Node) -> Node:
        return self._op.reduce_mean(x, np.array([2, 3], np.int64), keep_dims=True)

    def _swish(self, x: Node) -> Node:
        return self._op.swish(x)

    def _has(self, name: str) -> bool:
        return f"backbone.{name}" in self._tensors

    def _float(self, name: str) -> F32:
        return np.asarray(self._tensors[f"backbone.{name}"], np.float32)

    def _numbered(self, name: str) -> list[int]:
        """The numbers that stand after this name in the tensors' names, rising."""
        start = f"backbone.{name}."
        found = {key[len(start) :].partition(".")[0] for key in self._tensors if key.startswith(start)}
        return sorted(int(part) for part in found if part.isdigit())
