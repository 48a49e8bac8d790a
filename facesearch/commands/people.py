"""The gallery and who is in it: build-index, enroll, forget, list, info."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from facesearch import options
from facesearch.commands.given import announced, default_data, existing, gallery_of
from facesearch.commands.together import together
from facesearch.options import DATASET, FILE, FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.terminal import bar, report_skips, tell


@click.command("build-index")
@click.option("--data", type=DATASET, multiple=True, help="Prepared dataset; may be given again.  [default: data/celeba500]")
@click.option("--split", "splits", multiple=True, help="Only photos of this split; may be given again.  [default: all]")
@options.gallery
@options.encoder
@options.fpir
@options.index_choice
def build_index(
    data: tuple[Path, ...], splits: tuple[str, ...], gallery: GalleryChoice, encoder: EncoderChoice, fpir: float | None,
    index: str | None,
) -> None:  # fmt: skip
    """Embed every photo of a prepared dataset into the gallery. A re-run adds only what is new.

    Under torchrun all its processes share the work.

    \b
    Example:  facesearch build-index --data data/celeba500 --weights runs/celeba500/best.safetensors
              torchrun --nproc-per-node 8 -m facesearch build-index --data data/celeba
    """
    from facesearch.faces.table import open_dataset
    from facesearch.report import threshold_words

    with together(encoder.device) as (ranks, own):
        datasets = [open_dataset(folder) for folder in data or (default_data(),)]
        opened = gallery_of(gallery, replace(encoder, device=own))
        announced(opened)
        with bar("embed", "photo") as progress:
            result = opened.build(datasets, splits=splits, fpir=fpir, progress=progress, ranks=ranks, index=index)
        if result.nobody:
            tell(f"{result.nobody} photos name nobody and were passed over")
        speed = f" at {result.img_per_s:.0f} img/s" if result.added else ""
        new = f"{result.added} vectors added{speed}, {result.known} known already"
        click.echo(f"{gallery.folder}: {new}; {result.faces} vectors of {result.people} people")
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
@options.as_json
@options.strict
def enroll(
    name: str | None, photos: tuple[Path, ...], folder: Path | None, largest: bool, gallery: GalleryChoice, encoder: EncoderChoice,
    detection: DetectionChoice, fpir: float | None, as_json: bool, strict: bool,
) -> None:  # fmt: skip
    """Add NAME's PHOTOS to the gallery, or everybody in --from. No photo is stored, only its vector.

    With --strict a photo that is closer to somebody else who is enrolled is refused.

    \b
    Example:  facesearch enroll "Ada Lovelace" ada1.jpg ada2.jpg
              facesearch enroll --from people/
    """
    from facesearch import report
    from facesearch.faces.photos import walk
    from facesearch.gallery.rows import clean_name
    from facesearch.jobs.enroll import people_folders
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
    opened = gallery_of(gallery, encoder, detection)
    announced(opened)
    with bar("enroll", "photo") as progress:
        result = opened.enroll_many(wanted, largest=largest, fpir=fpir, progress=progress, refuse_lookalikes=strict, skipped=skipped)
    if as_json:
        click.echo(report.as_json(result))
    else:
        for added in result.added:
            click.echo(f"{added.person}: {added.photos} photo{'s' if added.photos != 1 else ''} enrolled")
    if result.known:
        tell(f"{result.known} photos were enrolled already")
    if result.unchecked:
        tell(f"{result.unchecked} photos were not checked against other people: the gallery has no threshold")
    for note in opened.notes():
        tell(note)
    report_skips([Skipped(Path(item.photo), item.reason) for item in result.skipped], strict)


@click.command()
@click.argument("name")
@click.option("--photo", "photos", multiple=True, help="Only this photo: its file, or the name it was enrolled under; may be given again.")
@options.gallery
@options.as_json
def forget(name: str, photos: tuple[str, ...], gallery: GalleryChoice, as_json: bool) -> None:
    """Erase NAME: all rows and vectors, the index made from them, and then prove it.

    Every file of the gallery is searched for the erased bytes; a receipt without biometric data says how. Interrupted, the same
    command goes on.

    \b
    Example:  facesearch forget "Ada Lovelace"
              facesearch forget "Ada Lovelace" --photo ada2.jpg
    """
    from facesearch import report

    receipt, path = gallery_of(gallery, engines=True).forget(name, photos or None)
    if as_json:
        click.echo(report.as_json(receipt))
    else:
        many = "" if receipt.photos == 1 else "s"
        click.echo(f"{receipt.photos} photo{many} forgotten; no byte of their vectors is left in {gallery.folder}")
    tell(f"receipt: {path}")


@click.command("list")
@click.argument("name", required=False)
@options.gallery
@options.as_json
def list_people(name: str | None, gallery: GalleryChoice, as_json: bool) -> None:
    """List everyone enrolled, with the number of photos; or the photos of NAME.

    \b
    Example:  facesearch list
              facesearch list "Ada Lovelace"
    """
    from facesearch import report

    existing(gallery)
    opened = gallery_of(gallery)
    if name is None:
        people = opened.people()
        click.echo(report.as_json(people) if as_json else "\n".join(report.people_lines(people)), nl=bool(people or as_json))
    else:
        photos = opened.photos_of(name)
        click.echo(report.as_json(photos) if as_json else "\n".join(photo.photo for photo in photos))


@click.command()
@options.gallery
@options.as_json
def info(gallery: GalleryChoice, as_json: bool) -> None:
    """Describe a gallery: its size, its encoder, its threshold, its index.

    \b
    Example:  facesearch info --json
    """
    from facesearch import report

    facts = gallery_of(gallery).info()
    click.echo(report.as_json(facts) if as_json else "\n".join(report.info_lines(facts)))
