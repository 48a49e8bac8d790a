"""A foreign encoder on onnxruntime: on a GPU, and on a CPU where that engine is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facesearch.encoder.foreign import Foreign, Ports
from facesearch.encoder.runtime import Runtime
from facesearch.errors import BadCheckpoint, DeviceMissing, PackageMissing, counted, said_of


def load(model: Path, device: str, preprocess: str, *, threads: int | None) -> Runtime:
    """Raises PackageMissing, BadCheckpoint, DeviceMissing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise PackageMissing(
            "onnxruntime", "onnx", f"running the encoder {model.name} on onnxruntime"
        ) from error
    gpu = device.startswith("cuda")
    wanted = "CUDAExecutionProvider" if gpu else "CPUExecutionProvider"
    if wanted not in onnxruntime.get_available_providers():
        raise DeviceMissing(
            device, f"this onnxruntime offers {', '.join(onnxruntime.get_available_providers())} only"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    try:
        place = {"device_id": int(device.partition(":")[2] or 0)} if gpu else {}
        session = onnxruntime.InferenceSession(str(model), options, providers=[(wanted, place)])
    except Exception as error:
        raise BadCheckpoint(model, f"onnxruntime cannot load it ({said_of(model, error)})") from error
    if session.get_providers()[0] != wanted:
        raise DeviceMissing(device, "onnxruntime could not use it here")
    if len(session.get_inputs()) != 1:
        raise BadCheckpoint(model, f"it takes {counted(len(session.get_inputs()), 'input')}; expected one")
    entry = session.get_inputs()[0]
    takes, gives = _sizes(entry), _sizes(session.get_outputs()[0])
    kind = {"tensor(float)": "float32"}.get(entry.type, entry.type)
    words = f"onnxruntime, {'GPU' if gpu else 'CPU'}"
    return Foreign(
        model,
        preprocess,
        Ports(takes, gives, kind),
        lambda pixels: session.run(None, {entry.name: pixels})[0],
        words,
    )


def _sizes(port: Any) -> list[int]:
    """A port's shape, 0 where any size is right."""
    return [size if isinstance(size, int) and size > 0 else 0 for size in port.shape]
