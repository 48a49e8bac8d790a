"""Which device computes, and in which precision. Chosen once, never changed silently."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from torch import autocast as _Autocast
from torch import device as _Device
from torch import dtype as _DType

from facesearch.encoder.runtime import Precision
from facesearch.errors import DeviceMissing, counted


@dataclass(frozen=True, slots=True)
class Device:
    """A device and the dtype of its autocast (float32: no autocast)."""

    torch: _Device
    dtype: _DType
    words: str

    def autocast(self) -> _Autocast:
        return _Autocast(self.torch.type, dtype=torch.bfloat16, enabled=self.dtype is torch.bfloat16)


def choose_device(name: str, precision: Precision = "auto") -> Device:
    """name: auto, cpu, cuda or cuda:N. auto takes a GPU where there is one. Raises DeviceMissing, never falls
    back.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        native = _cpu_has_bf16()
        bf16 = native if precision == "auto" else precision == "bfloat16"
        words = f"CPU, {counted(torch.get_num_threads(), 'thread')}, "
        words += "bfloat16" if bf16 else "float32" if native else "float32 (no bfloat16 on this CPU)"
        return Device(torch.device("cpu"), torch.bfloat16 if bf16 else torch.float32, words)
    if name != "cuda" and not (name.startswith("cuda:") and name[5:].isdigit()):
        raise DeviceMissing(name, "there is no device of that name; known are auto, cpu, cuda and cuda:N")
    if not torch.cuda.is_available():
        raise DeviceMissing(name, "no GPU that this torch can use is on this machine")
    number = int(name[5:]) if ":" in name else 0
    if number >= torch.cuda.device_count():
        raise DeviceMissing(name, f"this machine has {torch.cuda.device_count()} GPU(s), counted from 0")
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    bf16 = native if precision == "auto" else precision == "bfloat16"
    words = f"GPU {torch.cuda.get_device_name(number)}, {'bfloat16' if bf16 else 'float32'}"
    return Device(torch.device("cuda", number), torch.bfloat16 if bf16 else torch.float32, words)


def memory_words(device: Device) -> str:
    """The most memory that this process has taken so far, in words."""
    import resource

    most = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    )
    words = f"{most:.1f} GB"
    if device.torch.type == "cuda":
        words += f", {torch.cuda.max_memory_reserved(device.torch) / 1e9:.1f} GB of the GPU's"
    return words


def _cpu_has_bf16() -> bool:
    """Whether bfloat16 is computed by the processor itself; emulated, it is slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
