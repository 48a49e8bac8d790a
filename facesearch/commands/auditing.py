"""Are the labels right: audit."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from facesearch import options
from facesearch.commands.given import announced, default_data, gallery_of, key_of
from facesearch.options import DATASET, FILE, FOLDER, EncoderChoice, GalleryChoice
from facesearch.terminal import bar, tell


@click.command()
@click.option("--data", type=DATASET, default=None, help="Prepared dataset to audit.  [default: data/celeba500]")
@click.option(
    "--top", type=click.IntRange(min=1), default=20, show_default=True, help="How many findings of each list the table and the sheet show."
)
@click.option("--csv", "tables", type=FOLDER, default=None, help="Write all findings into this folder too, one CSV a list.")
@click.option("--html", "sheet", type=FILE, default=None, help="Write a contact sheet too: one page that holds the photos' crops.")
@options.as_json
@options.gallery
@options.encoder
@click.pass_context
def audit(
    ctx: click.Context, data: Path | None, gallery: GalleryChoice, top: int, tables: Path | None, sheet: Path | None, as_json: bool,
    encoder: EncoderChoice,
) -> None:  # fmt: skip
    """List what is probably wrong in labelled photos: names, doubled and mixed people, copies, unusable crops.

    Findings are suggestions to look at, each with its evidence, the likeliest first. Nothing is changed. With --gallery alone that
    gallery is audited, by its vectors; with --data known vectors of the same encoder are taken from it.

    \b
    Example:  facesearch audit --html audit.html
              facesearch audit --gallery index --json
    """
    import numpy as np

    from facesearch import report_audit
    from facesearch.faces.table import open_dataset
    from facesearch.jobs import audit as job
    from facesearch.jobs.vectors import dataset_vectors, known_vectors

    gallery_alone = data is None and ctx.get_parameter_source("gallery") is ParameterSource.COMMANDLINE
    if gallery_alone:
        if sheet is not None:
            raise click.UsageError("--html needs --data: a gallery holds no photos")
        with gallery_of(gallery).opened() as opened:
            labelled = job.labelled_gallery(opened)
    else:
        dataset = open_dataset(data or default_data())
        runtime = announced(gallery_of(gallery, encoder)).runtime
        known = known_vectors(gallery.folder, runtime.encoder_id, key=key_of(gallery))
        with bar("embed", "photo") as progress:
            labelled = job.labelled_dataset(dataset, dataset_vectors(dataset, np.arange(len(dataset)), runtime, known, progress))
    with bar("audit", "photo") as progress:
        result = job.audit(labelled, progress)
    click.echo(report_audit.audit_json(result) if as_json else "\n".join(report_audit.audit_lines(result, top)))
    if tables is not None:
        written = report_audit.write_tables(result, tables)
        tell(f"{len(written)} tables are in {tables}")
    if sheet is not None:
        shown = report_audit.write_sheet(result, sheet, top)
        tell(f"{sheet} holds {shown} photos of people: keep it as you keep the photos")
