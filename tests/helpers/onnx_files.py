"""ONNX networks made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")


def network(
    path: Path, nodes: list[object], constants: dict[str, np.ndarray], size: int = 5, opset: int = 13
) -> Path:
    shape = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "t",
        [shape("photo", onnx.TensorProto.FLOAT, [1, 3, 16, 16])],
        [shape("vector", onnx.TensorProto.FLOAT, [1, size])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8),
        str(path),
    )
    return path


def of_all_kinds(path: Path) -> Path:
    """Every operator that is read, among them batch norms that can be folded and one that cannot."""
    node, random = onnx.helper.make_node, np.random.default_rng(3)

    def numbers(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32) / 2

    norm = {
        f"{name}{i}": np.abs(numbers(c)) + 0.5 if name == "var" else numbers(c)
        for i, c in ((1, 8), (2, 8), (3, 6))
        for name in ("gamma", "beta", "mean", "var")
    }
    constants = {
        "w1": numbers(8, 3, 3, 3),
        "w2": numbers(8, 4, 3, 3),
        "b2": numbers(8),
        "slope": numbers(8, 1, 1),
        "half": np.float32([0.5]),
        "table": numbers(8, 6),
        "bias": numbers(6),
        "last": numbers(6, 5),
        "low": np.float32(-1),
        "high": np.float32(1.5),
        "shape": np.array([1, -1], np.int64),
        **norm,
    }
    norms = [[f"{name}{i}" for name in ("gamma", "beta", "mean", "var")] for i in (1, 2, 3)]
    nodes = [
        node("Conv", ["photo", "w1"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", ["a", *norms[0]], ["b"]),
        node("PRelu", ["b", "slope"], ["c"]),
        node("Conv", ["c", "w2", "b2"], ["d"], group=2, pads=[1, 1, 1, 1]),
        node("Add", ["d", "c"], ["e"]),
        node("BatchNormalization", ["e", *norms[1]], ["f"]),
        node("Relu", ["f"], ["g"]),
        node("Clip", ["g", "low", "high"], ["h"]),
        node("Mul", ["h", "half"], ["i"]),
        node("GlobalAveragePool", ["i"], ["j"]),
        node("Reshape", ["j", "shape"], ["k"]),
        node("Gemm", ["k", "table", "bias"], ["l"]),
        node("BatchNormalization", ["l", *norms[2]], ["m"]),
        node("MatMul", ["m", "last"], ["n"]),
        node("Identity", ["n"], ["vector"]),
    ]
    return network(path, nodes, constants)
