"""The options that several commands share, each written once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from facesearch.cli.terminal import Skips, keep_missing, report_all_skipped
from facesearch.errors import NothingToDo, PhotosMissing

if TYPE_CHECKING:  # it needs numpy, which help does without
    from facesearch.api.encoder import Precision
    from facesearch.records import Skipped

Command = TypeVar("Command", bound=Callable[..., Any])


class Number(click.FloatRange):
    """A number of a range; "nan", which no range leaves out, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if found != found:
            self.fail(f"{value!r} is no number.", param, ctx)
        return found


def box_of(text: str) -> tuple[float, float, float, float]:
    """x,y,width,height as four numbers."""
    try:
        x, y, w, h = (float(word) for word in text.split(","))
    except ValueError as error:
        said = f"{text!r} is no box: give x,y,width,height, in pixels of the upright photo"
        raise click.BadParameter(said, param_hint="--box") from error
    return x, y, w, h


FILE = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)
DATASET = click.Path(path_type=Path)
"""A prepared dataset: a folder, or a zip file of one."""
DEFAULT_DATA = Path("data/celeba500")
KINDS = ("auto", "flat", "bits1", "bits2")
"""Of index; see facesearch/gallery/index/kinds.py, which --help does not import."""


key_file = click.option(
    "--key-file",
    type=FILE,
    default=None,
    envvar="FACESEARCH_KEY_FILE",
    help=(
        "Key of an encrypted gallery, see encrypt.  [env var: FACESEARCH_KEY_FILE, or FACESEARCH_KEY for the"
        " key itself]"
    ),
)
_gallery = click.option(
    "--gallery",
    type=FOLDER,
    default=Path("index"),
    show_default=True,
    envvar="FACESEARCH_GALLERY",
    show_envvar=True,
    help="The gallery's folder.",
)
weights = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    default=None,
    help=(
        "Encoder: a .safetensors or folder of a run, or a foreign .onnx.  [default: the one that the gallery"
        " was made with; for a new gallery what train last finished, else the shipped one]"
    ),
)
preprocess = click.option(
    "--preprocess",
    type=click.Choice(["imagenet", "arcface"]),
    default=None,
    help=(
        "Pixel normalisation of a foreign .onnx encoder, which does not say it itself.  [default: as the"
        " gallery, at first imagenet]"
    ),
)
device = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="Where to compute; a GPU asked for and missing is an error.",
)
engine = click.option(
    "--engine",
    type=click.Choice(["auto", "openvino", "torch", "onnxruntime"]),
    default="auto",
    show_default=True,
    envvar="FACESEARCH_ENGINE",
    show_envvar=True,
    help="What computes: auto takes OpenVINO on a CPU; on a GPU torch, and for .onnx files onnxruntime.",
)
precision = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    envvar="FACESEARCH_PRECISION",
    hidden=True,
    help="auto takes bfloat16 where the machine computes in it.",
)
detector_model = click.option(
    "--detector-model",
    type=FILE,
    default=None,
    envvar="FACESEARCH_YUNET",
    show_envvar=True,
    help="YuNet's .onnx file.  [default: the one that comes with facesearch]",
)
aligned = click.option(
    "--aligned", is_flag=True, help="The photos are aligned face crops already: look for no face."
)
store = click.option(
    "--store",
    default=None,
    metavar="milvus:URI",
    envvar="FACESEARCH_STORE",
    show_envvar=True,
    help=(
        "The engine that `facesearch sync` fills: milvus:FILE.db or milvus:http://HOST:19530.  [default: the"
        " gallery's own index]"
    ),
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
index_choice = click.option(
    "--index",
    "index",
    type=click.Choice(KINDS),
    default=None,
    help="The gallery's index from now on, see verify --help.  [default: as before, at first auto]",
)
among = click.option(
    "--among", multiple=True, metavar="NAME", help="Look among this person's photos only; may be given again."
)
among_file = click.option(
    "--among-file", type=FILE, default=None, help="Look among the people named in this file only, one a line."
)
_strict = click.option("--strict", is_flag=True, help="Exit with 1 when anything was left out.")
_skipped_to = click.option(
    "--skipped-to",
    type=FILE,
    default=None,
    help="Write all that was left out, with its path and the reason, into this CSV file.",
)
fpir = click.option(
    "--fpir",
    type=Number(1e-6, 0.5),
    default=None,
    help=(
        "Share of strangers' searches that may get a name; the threshold is set for it.  [default: as before,"
        " at first 0.01]"
    ),
)


def gallery(command: Command) -> Command:
    """--gallery and --key-file, passed on as one GalleryChoice named gallery."""
    return _gallery(
        key_file(_gathered(command, "gallery", GalleryChoice, {"gallery": "folder", "key_file": "key_file"}))
    )


@dataclass(frozen=True, slots=True)
class GalleryChoice:
    """Which gallery a command works with: the options of `gallery` as one value."""

    folder: Path
    key_file: Path | None


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """Which encoder a command works with, and on what: the options of `encoder` as one value."""

    weights: Path | None
    preprocess: str | None
    device: str
    engine: str
    precision: Precision


@dataclass(frozen=True, slots=True)
class DetectionChoice:
    """How faces are found in photos: the options of `detection` as one value. aligned: not at all."""

    aligned: bool
    model: Path | None


def encoder(command: Command) -> Command:
    """--weights, --preprocess, --device, --engine and --precision, passed on as one EncoderChoice named
    encoder.
    """
    fields = {name: name for name in EncoderChoice.__slots__}
    return weights(
        preprocess(device(engine(precision(_gathered(command, "encoder", EncoderChoice, fields)))))
    )


def detection(command: Command) -> Command:
    """--aligned and --detector-model, passed on as one DetectionChoice named detection."""
    return aligned(
        detector_model(
            _gathered(
                command, "detection", DetectionChoice, {"aligned": "aligned", "detector_model": "model"}
            )
        )
    )


def skips(command: Command) -> Command:
    """--strict and --skipped-to, passed on as one Skips named skips. What was left out is written although
    nothing else came of it.
    """

    @wraps(command)
    def wrapper(*args: Any, skips: Skips, **given: Any) -> Any:
        try:
            return command(*args, **given, skips=skips)
        except NothingToDo as error:
            report_all_skipped(cast("tuple[Skipped, ...]", error.left_out), skips)
            raise
        except PhotosMissing as error:
            keep_missing(error.missing, skips)
            raise

    fields = {"strict": "strict", "skipped_to": "to"}
    return _strict(_skipped_to(_gathered(cast(Command, wrapper), "skips", Skips, fields)))


def _gathered(command: Command, name: str, kind: Callable[..., Any], fields: dict[str, str]) -> Command:
    """The command, with these options given to it as one value of this kind."""

    @wraps(command)
    def wrapper(*args: Any, **given: Any) -> Any:
        value = kind(**{field: given.pop(option) for option, field in fields.items()})
        return command(*args, **given, **{name: value})

    return cast(Command, wrapper)
