"""Which encoder: the one that is named; of an existing gallery the one it was made with, among those at hand;
for something new the run that `train` last finished, or the encoder inside the package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from facesearch.encoder.weights_file import PREPROCESS, encoder_meta, foreign_id
from facesearch.errors import CannotRead, FacesearchError, NotFound, NoWeights
from facesearch.files import make_folder, read_json, replace_json, sha256_of

BEST = "best.safetensors"
"""In the folder of a training run: the encoder of its best epoch."""
RUNS = Path("runs")
"""Below the working folder: where training runs lie, unless they are told to lie elsewhere."""
FINISHED = "finished.json"
"""In it: the run that last finished with an encoder that was validated, wherever its own folder is."""
SHIPPED = Path(__file__).parent.parent / "weights" / "facesearch-r34.safetensors"


@dataclass(frozen=True, slots=True)
class Weights:
    """An encoder's file. why: how it was chosen, in words; preprocess: of a foreign .onnx, None where nobody
    said.
    """

    path: Path
    why: str
    preprocess: str | None = None

    def encoder_id(self) -> str:
        """Read from its description; of a foreign file, made of its content. Raises NotFound, PickleRefused,
        BadCheckpoint.
        """
        if self.path.suffix.lower() == ".onnx":
            return foreign_id(sha256_of(self.path), self.preprocess or "imagenet")
        return str(encoder_meta(self.path)["encoder_id"])

    def note(self) -> str:
        """What a gallery remembers of the file that it was made with: where it lies, but of the shipped one
        only its name.
        """
        where = self.path.name if self.path == SHIPPED else str(self.path.absolute())
        return json.dumps(
            {
                "file": where,
                **(
                    {"preprocess": self.preprocess or "imagenet"}
                    if self.path.suffix.lower() == ".onnx"
                    else {}
                ),
            }
        )


def point_to(weights: Path, runs: Path = RUNS) -> None:
    """Make these weights the ones that new galleries are made with. Raises CannotWrite."""
    make_folder(runs)
    replace_json(runs / FINISHED, {"weights": str(weights.absolute())})


def named_weights(path: Path, preprocess: str | None = None) -> Weights:
    """An encoder's file, or the best one in the folder of a run. Raises NotFound."""
    file = path / BEST if path.is_dir() else path
    if not file.is_file():
        raise NotFound(
            file, "encoder", "Pass --weights FILE: a best.safetensors of a run, or an .onnx encoder."
        )
    return Weights(file, "given", preprocess)


def weights_for_new(runs: Path | None = None) -> Weights:
    """For what is made from nothing. runs: where training runs lie; None: only the shipped one. Raises
    NotFound, CannotRead, NoWeights.
    """
    finished = _finished(runs)
    if finished is not None:
        if not finished.is_file():
            pointer = (runs or RUNS) / FINISHED
            raise NotFound(
                finished, "encoder", f"{pointer} points there. Delete {pointer}, or pass --weights FILE."
            )
        return Weights(finished, f"the run that train last finished, {(runs or RUNS) / FINISHED}")
    if SHIPPED.is_file():
        return Weights(SHIPPED, "shipped with facesearch")
    raise NoWeights(
        (f"{RUNS / FINISHED} (written when a training run finishes)", "the package (no weights are in it)")
    )


def weights_with_id(
    encoder_id: str, runs: Path | None = None, remembered: Mapping[str, str] | None = None
) -> Weights | None:
    """The encoder with this id among those at hand. remembered: see Gallery.encoder_file."""
    for weights in _at_hand(remembered or {}, runs):
        try:
            if weights.path.is_file() and weights.encoder_id() == encoder_id:
                return weights
        except (
            FacesearchError,
            OSError,
            ValueError,
        ):  # no encoder, of another version, or no name that a file can have
            continue
    return None


def _at_hand(remembered: Mapping[str, str], runs: Path | None) -> Iterator[Weights]:
    """All encoders that might be a gallery's, the most likely first."""
    yield Weights(SHIPPED, "shipped with facesearch")
    file = remembered.get("file", "")
    if Path(
        file
    ).is_absolute():  # what was brought in from elsewhere is a name alone, and is not looked for here
        preprocess = remembered.get("preprocess")
        yield Weights(Path(file), "the gallery's own", preprocess if preprocess in PREPROCESS else None)
    try:
        finished = _finished(runs)
    except CannotRead:
        finished = None
    if finished is not None:
        yield Weights(finished, "the gallery's own")
    if runs is not None:
        yield from (Weights(path, "the gallery's own") for path in sorted(runs.glob(f"*/{BEST}")))


def _finished(runs: Path | None) -> Path | None:
    """Where the pointer of a folder of runs points to, if there is one. Raises CannotRead."""
    if runs is None or not (runs / FINISHED).is_file():
        return None
    entry = read_json(runs / FINISHED)
    if not isinstance(entry, dict) or not isinstance(entry.get("weights"), str):
        raise CannotRead(runs / FINISHED, "it names no weights", "Delete it, or pass --weights FILE.")
    return Path(entry["weights"])
