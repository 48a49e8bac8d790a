"""Which encoder, when none is named: the run that `train` last finished, else the one inside the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facesearch.errors import CannotRead, NotFound, NoWeights
from facesearch.files import make_folder, read_json, replace_json

POINTER = Path("runs/finished.json")
"""Below the working folder; written by every training run that finishes, wherever its own folder is."""
SHIPPED = Path(__file__).parent.parent / "weights" / "facesearch-r34.safetensors"


@dataclass(frozen=True, slots=True)
class Weights:
    path: Path
    why: str


def point_to(weights: Path) -> None:
    """Make these weights the ones that bare commands take. Raises CannotWrite."""
    make_folder(POINTER.parent)
    replace_json(POINTER, {"weights": str(weights.absolute())})


def find_weights(named: Path | None) -> Weights:
    """Raises NotFound for a named file that is not there, NoWeights when there is nothing to take."""
    if named is not None:
        if not named.is_file():
            raise NotFound(named, "encoder", "Pass --weights FILE: a best.safetensors of a run, or an .onnx encoder.")
        return Weights(named, "given")
    if POINTER.is_file():
        entry = read_json(POINTER)
        if not isinstance(entry, dict) or not isinstance(entry.get("weights"), str):
            raise CannotRead(POINTER, "it names no weights", "Delete it, or pass --weights FILE.")
        path = Path(entry["weights"])
        if not path.is_file():
            raise NotFound(path, "encoder", f"{POINTER} points there. Delete {POINTER}, or pass --weights FILE.")
        return Weights(path, f"the run that train last finished, {POINTER}")
    if SHIPPED.is_file():
        return Weights(SHIPPED, "shipped with facesearch")
    raise NoWeights((f"{POINTER} (written when a training run finishes)", "the package (no weights are shipped yet)"))
