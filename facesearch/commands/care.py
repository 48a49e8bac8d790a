"""The life of a gallery: rename, verify, reindex, export, import, merge."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch import options
from facesearch.commands.given import detector_for, runtime_for
from facesearch.errors import Damaged
from facesearch.options import DATASET, FILE, FOLDER, DetectionChoice, EncoderChoice
from facesearch.terminal import bar, report_skips, tell


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--join", is_flag=True, help="Somebody called NEW is enrolled already: put all photos under that name.")
@options.gallery
def rename(old: str, new: str, join: bool, gallery: Path) -> None:
    """Give OLD the name NEW.

    \b
    Example:  facesearch rename "Ada Byron" "Ada Lovelace"
    """
    from facesearch.jobs.care import rename as run

    moved = run(old, new, gallery, join=join)
    click.echo(f"{new}: {moved} photo{'' if moved == 1 else 's'}, enrolled as {old} until now")


@click.command()
@click.option("--no-repair", is_flag=True, help="Only look; change nothing.")
@options.gallery
@options.as_json
def verify(no_repair: bool, gallery: Path, as_json: bool) -> None:
    """Check every page, row, checksum and count of the gallery, and its index; make the index anew if it is not right.

    Exit code 1 when the gallery itself is damaged.

    \b
    Example:  facesearch verify
    """
    from dataclasses import asdict

    from facesearch import report
    from facesearch.jobs.care import verify as run

    result = run(gallery, repair=not no_repair)
    if as_json:
        click.echo(report.as_json(asdict(result)))
    else:
        state = f"{len(result.problems)} things wrong" if result.problems else "every page, row and checksum is right"
        click.echo(f"{gallery}: {result.faces} faces of {result.people} people; {state}")
        for line in (*result.problems, *([f"index: {result.index}"] if result.index else []), *result.mended):
            click.echo(f"  {line}")
    if result.problems:
        raise Damaged(gallery, len(result.problems))


@click.command()
@click.option("--data", type=DATASET, multiple=True, help="Prepared dataset that holds enrolled photos; may be given again.")
@click.option("--photos", type=FOLDER, multiple=True, help="Folder in which enrolled photos lie, under any name; may be given again.")
@click.option("--drop-missing", is_flag=True, help="Let go of enrolled photos that are not found.")
@options.gallery
@options.encoder
@options.detection
@options.strict
def reindex(
    data: tuple[Path, ...], photos: tuple[Path, ...], drop_missing: bool, gallery: Path, encoder: EncoderChoice,
    detection: DetectionChoice, strict: bool,
) -> None:  # fmt: skip
    """Embed the gallery's photos anew with another encoder (--weights).

    The old vectors serve until all new ones are there; interrupted, it goes on where it was.

    \b
    Example:  facesearch reindex --weights runs/new/best.safetensors --photos people/
    """
    from facesearch.faces.table import open_dataset
    from facesearch.jobs.reindex import reindex as run

    if not data and not photos:
        raise click.UsageError("give the enrolled photos again: --photos FOLDER or --data FOLDER; a gallery holds none")
    datasets = [open_dataset(folder) for folder in data]
    detector = detector_for(detection) if photos else None
    runtime = runtime_for(encoder)
    with bar("embed", "photo") as progress:
        result = run(gallery, runtime, datasets, photos, detector, drop_missing=drop_missing, progress=progress)
    if result.already:
        tell("the gallery is of this encoder already; nothing was done")
    if result.known:
        tell(f"{result.known} photos had been embedded by an earlier run")
    dropped = f", {result.dropped} let go" if result.dropped else ""
    click.echo(f"{gallery}: {result.embedded} photos embedded anew{dropped}; {result.faces} faces of {runtime.words}")
    report_skips(result.skipped, strict)


@click.command("export")
@click.argument("out", type=FILE)
@options.gallery
def export_gallery(out: Path, gallery: Path) -> None:
    """Write the whole gallery into one file: vectors, names, threshold. No photo is in it, for none is in the gallery.

    \b
    Example:  facesearch export people.facesearch
    """
    from facesearch.jobs.care import export as run

    result = run(gallery, out)
    click.echo(f"{out}: {result.faces} faces of {result.people} people, {result.bytes} bytes, sha256 {result.sha256}")
    tell("it holds biometric data: whoever has it can recognise these people")


source_key_file = click.option(
    "--source-key-file", type=FILE, default=None,
    help="Key of what is brought in, if it is encrypted with another one; it is sealed anew with the gallery's own.",
)  # fmt: skip


@click.command("import")
@click.argument("file", type=FILE)
@source_key_file
@options.gallery
def import_gallery(file: Path, source_key_file: Path | None, gallery: Path) -> None:
    """Add everybody from an exported FILE to the gallery, or make the gallery from it. Every row is checked first.

    \b
    Example:  facesearch import people.facesearch --gallery elsewhere
    """
    _bring_in(file, source_key_file, gallery)


@click.command()
@click.argument("other", type=FOLDER)
@source_key_file
@options.gallery
def merge(other: Path, source_key_file: Path | None, gallery: Path) -> None:
    """Add everybody from the gallery OTHER. Whoever has the same name is taken for the same person; OTHER stays as it is.

    \b
    Example:  facesearch merge ../laptop/index
    """
    _bring_in(other, source_key_file, gallery)


def _bring_in(source: Path, key_file: Path | None, gallery: Path) -> None:
    from facesearch.gallery.keys import read_key_file
    from facesearch.jobs.care import import_into

    key = read_key_file(key_file) if key_file else None
    with bar("import", "face") as progress:
        result = import_into(source, gallery, progress, key)
    click.echo(
        f"{gallery}: {result.added} faces added, {result.known} known already; {result.new_people} new people, {result.people} in all"
    )
