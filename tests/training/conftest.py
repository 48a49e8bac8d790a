"""A teacher made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.training import CHANNELS, VECTOR


@pytest.fixture(scope="session")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution to 6 channels of 7 x 7, their mean, one product to 5 numbers: [1, 3, 112, 112] ->
    [1, 5]."""
    onnx = pytest.importorskip("onnx")
    random = np.random.default_rng(5)
    weights = {
        "kernel": random.normal(size=(CHANNELS, 3, 16, 16)).astype(np.float32) / 28,
        "table": random.normal(size=(CHANNELS, VECTOR)).astype(np.float32),
    }
    node, shape = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["photo", "kernel"], ["sums"], strides=[16, 16]),
            node("Relu", ["sums"], ["map"]),
            node("GlobalAveragePool", ["map"], ["mean"]),
            node("Flatten", ["mean"], ["flat"]),
            node("MatMul", ["flat", "table"], ["vector"]),
        ],
        "teacher",
        [shape("photo", onnx.TensorProto.FLOAT, [1, 3, 112, 112])],
        [shape("vector", onnx.TensorProto.FLOAT, [1, VECTOR])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = tmp_path_factory.mktemp("teacher") / "teacher.onnx"
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path
