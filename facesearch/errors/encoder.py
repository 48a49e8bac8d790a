"""What encoders can refuse: their files, engines and devices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors.base import EncoderError, sentence


@dataclass(eq=False)
class DeviceMissing(EncoderError):
    """A device was asked for that is not there."""

    device: str
    reason: str
    hint: str = "Pass --device cpu (slower), or --device auto to take what is there."

    @property
    def what(self) -> str:
        return f"Device {self.device!r} was asked for, but {self.reason}."

    @property
    def advice(self) -> str:
        return self.hint


@dataclass(eq=False)
class EngineUnfit(EncoderError):
    """The engine that was asked for cannot run this encoder."""

    engine: str
    weights: Path
    fit: str

    status = 422
    about = "weights"

    @property
    def what(self) -> str:
        return sentence(f"the engine {self.engine} cannot run this encoder")

    @property
    def advice(self) -> str:
        return f"Pass --engine {self.fit}, or leave it at auto."


@dataclass(eq=False)
class BadCheckpoint(EncoderError):
    """A file is no encoder, or not a whole one."""

    path: Path
    reason: str

    status = 422
    about = "path"

    @property
    def what(self) -> str:
        return f"This is no facesearch checkpoint: {self.reason}."


@dataclass(eq=False)
class PickleRefused(EncoderError):
    """A file is a pickle, which may hold code. It was not read."""

    path: Path

    status = 422
    about = "path"
    what = "This is a pickle (torch.save). Loading one can run any code that it holds, so it is refused."
    advice = (
        "Convert it where you trust it: safetensors.torch.save_file(model.state_dict(),"
        " 'weights.safetensors')"
    )


@dataclass(eq=False)
class NotNumbers(EncoderError):
    """An encoder gives vectors that are no numbers."""

    encoder: str

    advice = "Choose another one with --weights FILE."

    @property
    def what(self) -> str:
        return (
            f"The encoder {self.encoder} gives vectors that are no numbers, so nothing can be searched or"
            " measured with it. Its training diverged, or its file was made by another program."
        )


@dataclass(eq=False)
class NoWeights(EncoderError):
    """There is no encoder at all."""

    looked: tuple[str, ...]

    status = 404
    what = "There is no encoder yet."

    @property
    def advice(self) -> str:
        return (
            f"Looked at: {'; '.join(self.looked)}.\n"
            "Train one with: facesearch train --data DATASET   or pass --weights FILE (.safetensors or .onnx)"
        )
