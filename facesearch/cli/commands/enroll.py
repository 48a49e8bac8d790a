"""Add people and their photos."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.given import announced, gallery_of
from facesearch.cli.options import FILE, FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.cli.terminal import Skips, bar, report_skips, report_warnings, say, tell
from facesearch.errors import counted, shown

if TYPE_CHECKING:
    from facesearch.answers import EnrolledPhotos
    from facesearch.api.photos import Look


@click.command()
@click.argument("name", required=False)
@click.argument("photos", type=FILE, nargs=-1)
@click.option(
    "--from",
    "folder",
    type=FOLDER,
    default=None,
    help="Enroll everybody below this folder: one folder a person.",
)
@click.option(
    "--vectors",
    type=FILE,
    default=None,
    help="Enroll vectors made elsewhere: a .npy file (n, d) of floats, with --names and --encoder-id.",
)
@click.option(
    "--names",
    type=FILE,
    default=None,
    help="Whose they are: a CSV file, a line a vector, with the column name, and perhaps photo and sha256.",
)
@click.option(
    "--encoder-id",
    default=None,
    metavar="ID",
    help="The encoder that made the vectors, as info tells it; or --weights, its file.",
)
@click.option("--largest", is_flag=True, help="In a photo with several faces take the largest.")
@click.option(
    "--box",
    type=options.box_of,
    default=None,
    metavar="X,Y,W,H",
    help="Take the face in this box, in pixels of the upright photo, also where the detector finds none.",
)
@click.option("--refuse-lookalikes", is_flag=True, help="Leave out photos that are closer to somebody else.")
@options.gallery
@options.encoder
@options.detection
@options.fpir
@options.as_json
@options.skips
def enroll(
    name: str | None,
    photos: tuple[Path, ...],
    folder: Path | None,
    vectors: Path | None,
    names: Path | None,
    encoder_id: str | None,
    largest: bool,
    box: tuple[float, float, float, float] | None,
    refuse_lookalikes: bool,
    gallery: GalleryChoice,
    encoder: EncoderChoice,
    detection: DetectionChoice,
    fpir: float | None,
    as_json: bool,
    skips: Skips,
) -> None:
    """Add NAME's PHOTOS to the gallery, or everybody in --from. No photo is stored, only its vector.

    --box x,y,w,h says where the face is that the detector missed, or which of several is meant: its eyes,
    nose and mouth are looked for in there, in any turn; where none are found, the box is taken for an upright
    face, and that is noted and told. With --refuse-lookalikes a photo that is closer to somebody else who is
    enrolled is left out. With --vectors no photo is looked at: either all rows are right, or none is added;
    the same call again adds what is missing.

    \b
    Example:  facesearch enroll "Ada Lovelace" ada1.jpg ada2.jpg
              facesearch enroll "Ada Lovelace" group.jpg --box 410,120,90,110
              facesearch enroll --from people/
              facesearch enroll --vectors vectors.npy --names names.csv --encoder-id 7756d128...
    """
    from facesearch.api.inputs import people_folders
    from facesearch.api.names import clean_name
    from facesearch.cli.photos import as_skips, files_of
    from facesearch.records import Skipped
    from facesearch.report import lines as report

    if vectors is not None or names is not None or encoder_id is not None:
        if vectors is None or names is None:
            raise click.UsageError("--vectors FILE.npy and --names FILE.csv go together")
        if name is not None or folder is not None or largest or refuse_lookalikes or detection.aligned or box:
            raise click.UsageError("--vectors excludes photos, and all options that are about photos")
        _bring_in(vectors, names, _encoder_id(encoder_id, encoder), gallery, encoder, fpir, as_json)
        return
    if (folder is None) == (name is None):
        raise click.UsageError("give NAME PHOTO..., --from FOLDER, or --vectors FILE.npy --names FILE.csv")
    if name is not None and not photos:
        raise click.UsageError("give at least one photo after the name")
    if box is not None and (len(photos) != 1 or largest or detection.aligned):
        raise click.UsageError("--box is for one photo, and neither for --largest nor for --aligned")
    skipped: list[Skipped] = []
    if folder is not None:
        wanted, skipped = people_folders(folder)
    else:
        person, found = clean_name(name or ""), files_of(photos)
        skipped = [item for item in found if isinstance(item, Skipped)]
        wanted = [(person, item) for item in found if not isinstance(item, Skipped)]
    opened = gallery_of(gallery, encoder, detection, changes=True)
    announced(opened)
    if box is not None:
        opened.on_look = _tell_by_hand
    with bar("enroll", "photo") as progress:
        result = opened.enroll_many(
            wanted,
            largest=largest,
            box=box,
            fpir=fpir,
            progress=progress,
            refuse_lookalikes=refuse_lookalikes,
            skipped=skipped,
        )
    if as_json:
        say(report.as_json(result))
    else:
        for added in result.added:
            say(f"{shown(added.person)}: {counted(added.photos, 'photo')} enrolled")
    _say(result)
    for note in opened.notes():
        tell(shown(note))
    report_warnings(result.warnings)
    report_skips(as_skips(result.skipped), skips)


def _encoder_id(given: str | None, encoder: EncoderChoice) -> str:
    """The id of the encoder that made vectors, which has to be said."""
    from facesearch.api.encoder import load_encoder

    if (given is None) == (encoder.weights is None):
        raise click.UsageError("say which encoder made the vectors: --encoder-id ID, or --weights FILE")
    if given is None:
        return load_encoder(encoder.weights, preprocess=encoder.preprocess).id
    if not re.fullmatch("[0-9a-f]{64}", given.lower()):
        raise click.BadParameter("64 hexadecimal digits, as info tells them", param_hint="--encoder-id")
    return given.lower()


def _bring_in(
    vectors: Path,
    names: Path,
    encoder_id: str,
    gallery: GalleryChoice,
    encoder: EncoderChoice,
    fpir: float | None,
    as_json: bool,
) -> None:
    """Enroll vectors that were made elsewhere."""
    from facesearch.report import lines as report

    opened = gallery_of(gallery, encoder, changes=True)
    with bar("enroll", "vector") as progress:
        done = opened.enroll_vectors(vectors, names, encoder_id=encoder_id, fpir=fpir, progress=progress)
    added = f"{counted(done.added, 'vector')} added, {done.known} known already"
    people = f"{counted(done.new_people, 'new person')}, {done.people} in all"
    say(report.as_json(done) if as_json else f"{shown(gallery.folder)}: {added}; {people}")


def _tell_by_hand(look: Look) -> None:
    """Say where a crop was cut by a box alone."""
    from facesearch.api.detector import BY_HAND

    if any(face.found_by == BY_HAND for face in look.faces):
        tell("no eyes, nose and mouth were found in the box: it is taken for an upright face, by hand")


def _say(result: EnrolledPhotos) -> None:
    if result.known:
        tell(f"{counted(result.known, 'photo was', 'photos were')} enrolled already")
    if result.unchecked:
        tell(
            f"{counted(result.unchecked, 'photo was', 'photos were')} not checked against other"
            " people: the gallery has no threshold"
        )
