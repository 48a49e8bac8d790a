"""Are the labels right: audit."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from facesearch.cli import options
from facesearch.cli.given import announced, default_data, gallery_of
from facesearch.cli.options import DATASET, FILE, FOLDER, EncoderChoice, GalleryChoice
from facesearch.cli.terminal import bar, say, tell
from facesearch.errors import counted, shown


@click.command()
@click.option(
    "--data", type=DATASET, default=None, help="Prepared dataset to audit.  [default: data/celeba500]"
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many findings of each list the table and the sheet show.",
)
@click.option(
    "--csv",
    "tables",
    type=FOLDER,
    default=None,
    help="Write all findings into this folder too, one CSV a list.",
)
@click.option(
    "--html",
    "sheet",
    type=FILE,
    default=None,
    help="Write a contact sheet too: one page that holds the photos' crops.",
)
@options.as_json
@options.gallery
@options.encoder
@click.pass_context
def audit(
    ctx: click.Context,
    data: Path | None,
    gallery: GalleryChoice,
    top: int,
    tables: Path | None,
    sheet: Path | None,
    as_json: bool,
    encoder: EncoderChoice,
) -> None:
    """List what is probably wrong in labelled photos: names, doubled and mixed people, copies, unusable
    crops.

    Findings are suggestions to look at, each with its evidence, the most likely first. Nothing is changed.
    With --gallery alone that gallery is audited, by its vectors; with --data known vectors of the same
    encoder are taken from it.

    \b
    Example:  facesearch audit --html audit.html
              facesearch audit --gallery index --json
    """
    from facesearch.api import evaluation
    from facesearch.api.datasets import open_dataset
    from facesearch.report import audit as report

    gallery_alone = data is None and ctx.get_parameter_source("gallery") is ParameterSource.COMMANDLINE
    if gallery_alone:
        if sheet is not None:
            raise click.UsageError("--html needs --data: a gallery holds no photos")
        with bar("audit", "photo") as progress:
            result = evaluation.audit_gallery(gallery_of(gallery), progress)
    else:
        dataset = open_dataset(data or default_data())
        opened = gallery_of(gallery, encoder)
        announced(opened)
        with bar("embed", "photo") as on_embed, bar("audit", "photo") as progress:
            result = evaluation.audit_dataset(opened, dataset, on_embed, progress)
    say(report.audit_json(result) if as_json else "\n".join(report.audit_lines(result, top)))
    if tables is not None:
        written = report.write_tables(result, tables)
        tell(f"{len(written)} tables are in {shown(tables)}")
    if sheet is not None:
        count = report.write_sheet(result, sheet, top)
        tell(f"{shown(sheet)} holds {counted(count, 'photo')} of people: keep it as you keep the photos")
