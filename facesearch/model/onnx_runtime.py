"""A foreign encoder on onnxruntime: on a GPU, and on a CPU where that engine is asked for."""

from __future__ import annotations

from pathlib import Path

from facesearch.errors import BadCheckpoint, DeviceMissing, PackageMissing
from facesearch.model.foreign import Foreign, Ports
from facesearch.model.runtime import Runtime


def load(model: Path, device: str, preprocess: str, *, threads: int | None) -> Runtime:
    """Raises PackageMissing, BadCheckpoint, DeviceMissing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise PackageMissing("onnxruntime", "onnx", f"running the encoder {model.name} on onnxruntime") from error
    wanted = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
    if wanted not in onnxruntime.get_available_providers():
        raise DeviceMissing(device, f"this onnxruntime offers {', '.join(onnxruntime.get_available_providers())} only")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=[wanted])
    except Exception as error:
        raise BadCheckpoint(model, f"onnxruntime cannot load it ({str(error).splitlines()[0][:200]})") from error
    entry = session.get_inputs()[0]
    shapes = [[size if isinstance(size, int) and size > 0 else 0 for size in port.shape] for port in (entry, session.get_outputs()[0])]
    words = f"onnxruntime, {'CPU' if wanted.startswith('CPU') else 'GPU'}"
    return Foreign(model, preprocess, Ports(*shapes), lambda pixels: session.run(None, {entry.name: pixels})[0], words)
