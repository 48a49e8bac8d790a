"""The network of an .onnx file as a torch module, so that a foreign encoder runs where torch runs: on a GPU,
compiled, in bfloat16.

It reads what such encoders are made of. Batch norms are folded into the layer before them. (The libraries
that convert any network were looked at: the one that reads these files, onnx2torch, has had no release since
2024.)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from facesearch.errors import BadCheckpoint, said_of

Constants = dict[str, Tensor]
Pair = tuple[int, int]


class UnreadOperator(Exception):
    """The network has an operator, or a form of one, that is not read here. str: which."""


def read_network(model: Path, extra: list[str]) -> fx.GraphModule:
    """pixels (n, 3, h, w) as the file wants them -> the file's first output, then the values named in extra.

    A network that was exported for one photo takes any number. Raises UnreadOperator, BadCheckpoint.
    """
    import onnx

    network = load_network(model)
    constants = {
        each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy())
        for each in network.graph.initializer
    }
    nodes = _folded(list(network.graph.node), constants, {network.graph.output[0].name, *extra})
    graph, root = fx.Graph(), nn.Module()
    entry = next(each.name for each in network.graph.input if each.name not in constants)
    known: dict[str, fx.Node] = {entry: graph.placeholder("pixels")}
    for node in nodes:
        settings = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = torch.from_numpy(onnx.numpy_helper.to_array(settings["value"]).copy())
            continue
        reader = _READERS.get(node.op_type)
        if reader is None or len([name for name in node.output if name]) != 1:
            raise UnreadOperator(node.op_type)

        def value(name: str) -> fx.Node:
            if name not in known:  # a table of numbers that is worked with like a result
                register = "value_" + "".join(letter if letter.isalnum() else "_" for letter in name)
                root.register_buffer(register, constants[name])
                known[name] = graph.get_attr(register)
            return known[name]

        known[node.output[0]] = reader(graph, value, constants, list(node.input), settings)
    graph.output(tuple(known[name] for name in (network.graph.output[0].name, *extra)))
    return fx.GraphModule(root, graph)


def load_network(model: Path) -> Any:
    """What an .onnx file holds, as onnx's ModelProto. Raises BadCheckpoint."""
    import onnx

    try:
        return onnx.load(str(model))
    except Exception as error:
        raise BadCheckpoint(model, f"not a whole ONNX file ({said_of(model, error)})") from error


def _folded(nodes: list[Any], constants: Constants, shown: set[str]) -> list[Any]:
    """The nodes without the batch norms that follow a Conv or Gemm alone: its weights take them over."""
    made_by = {node.output[0]: node for node in nodes}
    uses: dict[str, int] = {}
    for node in nodes:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    kept = []
    for node in nodes:
        before = made_by.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        alone = before is not None and uses[node.input[0]] == 1 and node.input[0] not in shown
        if before is None or not alone or before.op_type not in ("Conv", "Gemm"):
            kept.append(node)
            continue
        factor, offset = _norm(node, constants)
        weight = constants[before.input[1]]
        rows = before.op_type == "Conv" or any(each.name == "transB" and each.i for each in before.attribute)
        shape = (-1, *[1] * (weight.ndim - 1)) if rows else (1, -1)
        bias = constants[before.input[2]] if len(before.input) > 2 else torch.zeros_like(offset)
        names = f"{before.output[0]}.folded.weight", f"{before.output[0]}.folded.bias"
        constants[names[0]], constants[names[1]] = weight * factor.view(shape), bias * factor + offset
        output = node.output[0]
        del before.input[1:]
        before.input.extend(names)
        before.output[0] = output
        made_by[output] = before
    return kept


def _norm(node: Any, constants: Constants) -> tuple[Tensor, Tensor]:
    """A batch norm as factor and offset (c,) of each channel."""
    gamma, beta, mean, variance = (constants[name] for name in node.input[1:5])
    epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), 1e-5)
    factor = gamma / torch.sqrt(variance + epsilon)
    return factor, beta - mean * factor


Value = Callable[[str], fx.Node]


def _conv(
    graph: fx.Graph, value: Value, constants: Constants, names: list[str], settings: dict[str, Any]
) -> fx.Node:
    pads = list(settings.get("pads", [0, 0, 0, 0]))
    half = len(pads) // 2
    if (
        settings.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
        or pads[:half] != pads[half:]
        or half != 2
    ):
        raise UnreadOperator("Conv with padding that differs between two sides")
    bias = value(names[2]) if len(names) > 2 and names[2] else None
    strides, dilations = (tuple(settings.get(name, [1, 1])) for name in ("strides", "dilations"))
    arguments = (
        value(names[0]),
        value(names[1]),
        bias,
        strides,
        tuple(pads[:half]),
        dilations,
        settings.get("group", 1),
    )
    weight = constants[names[1]]
    is_depthwise = (
        weight.shape[1:] == (1, 3, 3) and settings.get("group", 1) == len(weight) and dilations == (1, 1)
    )
    return graph.call_function(depthwise if is_depthwise else F.conv2d, arguments)


def depthwise(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Tensor:
    """F.conv2d of a 3 x 3 filter for each channel. Compiled, it is nine shifted products, which the compiler
    makes one kernel of together with what follows: the library's own kernels for it take most of such a
    network's time on a GPU in bfloat16."""
    if not torch.compiler.is_compiling():
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    high, wide = ((padded.shape[axis + 2] - 3) // stride[axis] + 1 for axis in (0, 1))
    total: Any = 0.0 if bias is None else bias.view(1, -1, 1, 1)
    for i in range(3):
        for j in range(3):
            rows = slice(i, i + (high - 1) * stride[0] + 1, stride[0])
            columns = slice(j, j + (wide - 1) * stride[1] + 1, stride[1])
            total = total + padded[:, :, rows, columns] * weight[:, 0, i, j].view(1, -1, 1, 1)
    result: Tensor = total
    return result


def _prelu(
    graph: fx.Graph, value: Value, constants: Constants, names: list[str], settings: dict[str, Any]
) -> fx.Node:
    constants[names[1]] = constants[names[1]].flatten()  # (c, 1, 1) there, (c,) here
    return graph.call_function(F.prelu, (value(names[0]), value(names[1])))


def _clip(
    graph: fx.Graph, value: Value, constants: Constants, names: list[str], settings: dict[str, Any]
) -> fx.Node:
    def bound(name: str, place: int) -> float | None:
        if name in settings:
            return float(settings[name])
        return float(constants[names[place]]) if len(names) > place and names[place] else None

    return graph.call_function(torch.clamp, (value(names[0]), bound("min", 1), bound("max", 2)))


def _gemm(
    graph: fx.Graph, value: Value, constants: Constants, names: list[str], settings: dict[str, Any]
) -> fx.Node:
    if settings.get("alpha", 1.0) != 1.0 or settings.get("beta", 1.0) != 1.0 or settings.get("transA", 0):
        raise UnreadOperator("Gemm with factors or a transposed input")
    if not settings.get("transB", 0):
        constants[f"{names[1]}.T"] = constants[names[1]].T.contiguous()
    table = value(names[1] if settings.get("transB", 0) else f"{names[1]}.T")
    return graph.call_function(
        F.linear, (value(names[0]), table, value(names[2]) if len(names) > 2 else None)
    )


def _normalisation(
    graph: fx.Graph, value: Value, constants: Constants, names: list[str], settings: dict[str, Any]
) -> fx.Node:
    gamma, beta, mean, variance = (value(name) for name in names[1:5])
    return graph.call_function(
        F.batch_norm,
        (value(names[0]), mean, variance, gamma, beta, False, 0.0, settings.get("epsilon", 1e-5)),
    )


def _flatten(
    graph: fx.Graph, value: Value, constants: Constants, names: list[str], settings: dict[str, Any]
) -> fx.Node:
    if settings.get("axis", 1) != 1:
        raise UnreadOperator("Flatten along another axis than the first")
    return graph.call_function(torch.flatten, (value(names[0]), 1))


def _reshape(
    graph: fx.Graph, value: Value, constants: Constants, names: list[str], settings: dict[str, Any]
) -> fx.Node:
    if names[1] not in constants or constants[names[1]].numel() != 2:
        raise UnreadOperator("Reshape to anything but one row a photo")
    return graph.call_function(torch.flatten, (value(names[0]), 1))


def _mean(
    graph: fx.Graph, value: Value, constants: Constants, names: list[str], settings: dict[str, Any]
) -> fx.Node:
    return graph.call_function(F.adaptive_avg_pool2d, (value(names[0]), 1))


def _same(
    graph: fx.Graph, value: Value, constants: Constants, names: list[str], settings: dict[str, Any]
) -> fx.Node:
    return value(names[0])


def _plain(function: Callable[..., Tensor]) -> Callable[..., fx.Node]:
    def reader(
        graph: fx.Graph, value: Value, constants: Constants, names: list[str], settings: dict[str, Any]
    ) -> fx.Node:
        return graph.call_function(function, tuple(value(name) for name in names))

    return reader


_READERS: dict[str, Callable[..., fx.Node]] = {
    "Conv": _conv,
    "PRelu": _prelu,
    "Relu": _plain(torch.relu),
    "Clip": _clip,
    "Add": _plain(torch.add),
    "Sub": _plain(torch.sub),
    "Mul": _plain(torch.mul),
    "Div": _plain(torch.div),
    "Gemm": _gemm,
    "MatMul": _plain(torch.matmul),
    "BatchNormalization": _normalisation,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "GlobalAveragePool": _mean,
    "Identity": _same,
    "Dropout": _same,
    "Sigmoid": _plain(torch.sigmoid),
}
