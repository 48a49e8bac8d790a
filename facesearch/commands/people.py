"""The gallery and who is in it: build-index, enroll, forget, list, info."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from facesearch import options
from facesearch.commands.given import default_data, detector_for, runtime_for, tell_other_detectors
from facesearch.commands.together import together
from facesearch.options import DATASET, FILE, FOLDER, DetectionChoice, EncoderChoice
from facesearch.terminal import bar, report_skips, tell


@click.command("build-index")
@click.option("--data", type=DATASET, multiple=True, help="Prepared dataset; may be given again.  [default: data/celeba500]")
@click.option("--split", "splits", multiple=True, help="Only photos of this split; may be given again.  [default: all]")
@options.gallery
@options.encoder
@options.fpir
@options.index_choice
def build_index(
    data: tuple[Path, ...], splits: tuple[str, ...], gallery: Path, encoder: EncoderChoice, fpir: float | None, index: str | None
) -> None:
    """Embed every photo of a prepared dataset into the gallery. A re-run adds only what is new.

    Under torchrun all its processes share the work.

    \b
    Example:  facesearch build-index --data data/celeba500 --weights runs/celeba500/best.safetensors
              torchrun --nproc-per-node 8 -m facesearch build-index --data data/celeba
    """
    from facesearch.faces.table import open_dataset
    from facesearch.jobs.build import build_index as run
    from facesearch.report import threshold_words

    with together(encoder.device) as (ranks, own):
        datasets = [open_dataset(folder) for folder in data or (default_data(),)]
        runtime = runtime_for(replace(encoder, device=own))
        with bar("embed", "photo") as progress:
            result = run(datasets, gallery, runtime, splits=splits, fpir=fpir, progress=progress, ranks=ranks, index=index)
        if result.nobody:
            tell(f"{result.nobody} photos name nobody and were passed over")
        speed = f" at {result.img_per_s:.0f} img/s" if result.added else ""
        new = f"{result.added} vectors added{speed}, {result.known} known already"
        click.echo(f"{gallery}: {new}; {result.faces} vectors of {result.people} people")
        tell(f"threshold: {threshold_words(result.threshold)}")


@click.command()
@click.argument("name", required=False)
@click.argument("photos", type=FILE, nargs=-1)
@click.option("--from", "folder", type=FOLDER, default=None, help="Enroll everybody below this folder: one folder a person.")
@click.option("--largest", is_flag=True, help="In a photo with several faces take the largest.")
@options.gallery
@options.encoder
@options.detection
@options.fpir
@options.strict
def enroll(
    name: str | None, photos: tuple[Path, ...], folder: Path | None, largest: bool, gallery: Path, encoder: EncoderChoice,
    detection: DetectionChoice, fpir: float | None, strict: bool,
) -> None:  # fmt: skip
    """Add NAME's PHOTOS to the gallery, or everybody in --from. No photo is stored, only its vector.

    With --strict a photo that is closer to somebody else who is enrolled is refused.

    \b
    Example:  facesearch enroll "Ada Lovelace" ada1.jpg ada2.jpg
              facesearch enroll --from people/
    """
    from facesearch.faces.photos import walk
    from facesearch.gallery.rows import clean_name
    from facesearch.gallery.store import Gallery
    from facesearch.jobs.people import enroll as run
    from facesearch.jobs.people import people_folders
    from facesearch.records import Skipped

    if (folder is None) == (name is None):
        raise click.UsageError("give either NAME PHOTO... or --from FOLDER")
    if name is not None and not photos:
        raise click.UsageError("give at least one photo after the name")
    skipped: list[Skipped] = []
    if folder is not None:
        wanted, skipped = people_folders(folder)
    else:
        person = clean_name(name or "")
        found = [item for photo in photos for item in walk(photo)]
        skipped = [item for item in found if isinstance(item, Skipped)]
        wanted = [(person, item) for item in found if not isinstance(item, Skipped)]
    detector = detector_for(detection)
    runtime = runtime_for(encoder)
    with bar("enroll", "photo") as progress:
        result = run(wanted, gallery, runtime, detector, largest=largest, fpir=fpir, progress=progress, strict=strict)
    for person, count in result.added.items():
        click.echo(f"{person}: {count} photo{'s' if count != 1 else ''} enrolled")
    if result.known:
        tell(f"{result.known} photos were enrolled already")
    with Gallery.open(gallery) as opened:
        tell_other_detectors(opened, detector, whose="the new photos'")
    if result.unchecked:
        tell(f"{result.unchecked} photos were not checked against other people: the gallery has no threshold")
    report_skips((*skipped, *result.skipped), strict)


@click.command()
@click.argument("name")
@click.option("--photo", "photos", multiple=True, help="Only this photo: its file, or the name it was enrolled under; may be given again.")
@options.gallery
@options.as_json
def forget(name: str, photos: tuple[str, ...], gallery: Path, as_json: bool) -> None:
    """Erase NAME: all rows and vectors, the index made from them, and then prove it.

    Every file of the gallery is searched for the erased bytes; a receipt without biometric data says how. Interrupted, the same
    command goes on.

    \b
    Example:  facesearch forget "Ada Lovelace"
              facesearch forget "Ada Lovelace" --photo ada2.jpg
    """
    from dataclasses import asdict

    from facesearch import report
    from facesearch.jobs.erase import forget as run

    receipt, path = run(name, gallery, photos, tell)
    if as_json:
        click.echo(report.as_json(asdict(receipt)))
    else:
        many = "" if receipt.photos == 1 else "s"
        click.echo(f"{receipt.photos} photo{many} forgotten; no byte of their vectors is left in {gallery}")
    tell(f"receipt: {path}")


@click.command("list")
@click.argument("name", required=False)
@options.gallery
@options.as_json
def list_people(name: str | None, gallery: Path, as_json: bool) -> None:
    """List everyone enrolled, with the number of photos; or the photos of NAME.

    \b
    Example:  facesearch list
              facesearch list "Ada Lovelace"
    """
    from dataclasses import asdict

    from facesearch import report
    from facesearch.gallery.store import Gallery

    with Gallery.open(gallery) as opened:
        photos = [] if name is None else opened.photos_of(name)
        people = opened.people() if name is None else []
    if as_json:
        rows = [{"photo": source, "sha256": sha256} for source, sha256 in photos] if name else [asdict(person) for person in people]
        click.echo(report.as_json(rows))
    else:
        for line in [source for source, _ in photos] if name else report.people_lines(people):
            click.echo(line)


@click.command()
@options.gallery
@options.as_json
def info(gallery: Path, as_json: bool) -> None:
    """Describe a gallery: its size, its encoder, its threshold, its index.

    \b
    Example:  facesearch info --json
    """
    from facesearch import report
    from facesearch.jobs.describe import describe

    facts = describe(gallery)
    if as_json:
        click.echo(report.as_json(facts))
    else:
        click.echo("\n".join(report.fact_lines(facts)))
