"""The life of a gallery: rename, verify, reindex, export, import, merge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from facesearch import options
from facesearch.commands.given import RUNS, encoder_of, existing, gallery_of
from facesearch.errors import Damaged
from facesearch.options import DATASET, FILE, FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.terminal import bar, report_skips, tell


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--join", is_flag=True, help="Somebody called NEW is enrolled already: put all photos under that name.")
@options.gallery
def rename(old: str, new: str, join: bool, gallery: GalleryChoice) -> None:
    """Give OLD the name NEW.

    \b
    Example:  facesearch rename "Ada Byron" "Ada Lovelace"
    """
    moved = gallery_of(gallery).rename(old, new, join=join)
    click.echo(f"{new}: {moved} photo{'' if moved == 1 else 's'}, enrolled as {old} until now")


@click.command()
@click.option("--no-repair", is_flag=True, help="Only look; change nothing.")
@options.gallery
@options.as_json
def verify(no_repair: bool, gallery: GalleryChoice, as_json: bool) -> None:
    """Check every page, row, checksum and count of the gallery, and its index; rebuild the index if it is not right.

    Exit code 1 when the gallery itself is damaged.

    \b
    Example:  facesearch verify
    """
    from facesearch import report

    result = gallery_of(gallery).verify(repair=not no_repair)
    if as_json:
        click.echo(report.as_json(result))
    else:
        state = f"{len(result.problems)} things wrong" if result.problems else "every page, row and checksum is right"
        click.echo(f"{gallery.folder}: {result.faces} faces of {result.people} people; {state}")
        for line in (*result.problems, *([f"index: {result.index}"] if result.index else []), *result.mended):
            click.echo(f"  {line}")
    if result.problems:
        raise Damaged(gallery.folder, len(result.problems))


@click.command()
@click.option("--data", type=DATASET, multiple=True, help="Prepared dataset that holds enrolled photos; may be given again.")
@click.option("--photos", type=FOLDER, multiple=True, help="Folder in which enrolled photos lie, under any name; may be given again.")
@click.option("--drop-missing", is_flag=True, help="Let go of enrolled photos that are not found.")
@options.gallery
@options.encoder
@options.detection
@options.strict
def reindex(
    data: tuple[Path, ...], photos: tuple[Path, ...], drop_missing: bool, gallery: GalleryChoice, encoder: EncoderChoice,
    detection: DetectionChoice, strict: bool,
) -> None:  # fmt: skip
    """Embed the gallery's photos again with another encoder (--weights).

    The old vectors serve until all new ones are there; interrupted, it goes on where it was.

    \b
    Example:  facesearch reindex --weights runs/new/best.safetensors --photos people/
    """
    from facesearch.faces.table import open_dataset
    from facesearch.jobs.find_weights import weights_for_new

    if not data and not photos:
        raise click.UsageError("give the enrolled photos again: --photos FOLDER or --data FOLDER; a gallery holds none")
    datasets = [open_dataset(folder) for folder in data]
    existing(gallery)
    named = encoder.weights or weights_for_new(RUNS).path
    new = encoder_of(replace(encoder, weights=named))
    opened = gallery_of(gallery, None, detection)
    with bar("embed", "photo") as progress:
        result = opened.reindex(new, photos=photos, datasets=datasets, drop_missing=drop_missing, progress=progress)
    if result.already:
        tell("the gallery is of this encoder already; nothing was done")
    if result.known:
        tell(f"{result.known} photos had been embedded by an earlier run")
    dropped = f", {result.dropped} let go" if result.dropped else ""
    click.echo(f"{gallery.folder}: {result.embedded} photos embedded again{dropped}; {result.faces} faces of {new.words}")
    report_skips(result.skipped, strict)


@click.command("export")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--onnx", is_flag=True, help="TARGET is a training run or an encoder's file: write its network as a standard .onnx beside it."
)
@options.gallery
def export_gallery(target: Path, onnx: bool, gallery: GalleryChoice) -> None:
    """Write the whole gallery into the file TARGET: vectors, names, threshold. No photo is in it, for none is in the gallery.

    With --onnx write an encoder for other programs instead, checked against torch.

    \b
    Example:  facesearch export people.facesearch
              facesearch export runs/mine --onnx
    """
    if onnx:
        _export_encoder(target)
        return
    result = gallery_of(gallery).export(target)
    click.echo(f"{target}: {result.faces} faces of {result.people} people, {result.bytes} bytes, sha256 {result.sha256}")
    tell("it holds biometric data: anybody who has it can recognise these people")


def _export_encoder(target: Path) -> None:
    from facesearch.jobs.find_weights import named_weights
    from facesearch.model.onnx_export import write_onnx

    weights = named_weights(target).path
    made = write_onnx(weights, weights.with_suffix(".onnx"))
    size = "x".join(map(str, made.takes[2:]))
    click.echo(f"{made.path}: {made.bytes} bytes; takes pixels [n, 3, {size}], gives [n, {made.gives[1]}]")
    tell(f"pixels are RGB, less ImageNet's mean, over its spread; lowest cosine to torch {made.lowest_cosine:.6f}")


source_key_file = click.option(
    "--source-key-file", type=FILE, default=None,
    help="Key of what is brought in, if it is encrypted with another one; it is encrypted with the gallery's own.",
)  # fmt: skip


@click.command("import")
@click.argument("file", type=FILE)
@source_key_file
@options.gallery
def import_gallery(file: Path, source_key_file: Path | None, gallery: GalleryChoice) -> None:
    """Add everybody from an exported FILE to the gallery, or make the gallery from it. Every row is checked first.

    \b
    Example:  facesearch import people.facesearch --gallery elsewhere
    """
    _bring_in(file, source_key_file, gallery)


@click.command()
@click.argument("other", type=FOLDER)
@source_key_file
@options.gallery
def merge(other: Path, source_key_file: Path | None, gallery: GalleryChoice) -> None:
    """Add everybody from the gallery OTHER. People of the same name are taken for one person; OTHER stays as it is.

    \b
    Example:  facesearch merge ../laptop/index
    """
    _bring_in(other, source_key_file, gallery)


def _bring_in(source: Path, key_file: Path | None, gallery: GalleryChoice) -> None:
    with bar("import", "face") as progress:
        result = gallery_of(gallery).import_from(source, source_key=key_file, progress=progress)
    people = f"{result.new_people} new people, {result.people} in all"
    click.echo(f"{gallery.folder}: {result.added} faces added, {result.known} known already; {people}")
