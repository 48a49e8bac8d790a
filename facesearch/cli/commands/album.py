"""What else can be done with a scanned album: its names for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.options import FOLDER
from facesearch.cli.terminal import Skips, bar, report_skips, say, tell
from facesearch.errors import counted, shown

if TYPE_CHECKING:
    from facesearch.api.albums import Naming


@click.group()
def album() -> None:
    """Give the names in a scanned album to other programs.

    \b
    Example:  facesearch album export --xmp holiday/
    """


@album.command(short_help="Write the names for other programs")
@click.argument("scan_folder", metavar="ALBUM", type=FOLDER)
@click.option("--xmp", is_flag=True, help="As XMP sidecar files with face regions, beside the photos.")
@click.option(
    "--naming",
    type=click.Choice(["full", "stem"]),
    default="full",
    show_default=True,
    help=(
        "photo.jpg.xmp (digiKam, darktable, immich, PhotoPrism), or photo.xmp (Capture One; Lightroom, beside"
        " RAW files)."
    ),
)
@click.option(
    "--into",
    type=FOLDER,
    default=None,
    help="Write them below this folder instead, each at the place of its photo.",
)
@click.option(
    "--photos", type=FOLDER, default=None, help="Where the album lies now, if it was moved since the scan."
)
@options.as_json
@options.skips
def export(
    scan_folder: Path,
    xmp: bool,
    naming: Naming,
    into: Path | None,
    photos: Path | None,
    as_json: bool,
    skips: Skips,
) -> None:
    """Write the names that a review gave into XMP sidecars: face regions of the Metadata Working Group, which
    digiKam, Lightroom, immich, PhotoPrism and others read.

    No photo is touched, and no vector is written. A sidecar that lies there already keeps all else that it
    holds, and its name; one that cannot be read is left. Done again, names that were changed or taken back
    are changed or taken back there. Names as a table are in review.csv, as folders in sort. The way back is
    scan --names-from-photos.

    \b
    Example:  facesearch album export --xmp holiday/
              facesearch album export --xmp holiday.scan --into sidecars/
    """
    from facesearch.answers import SkippedPhoto
    from facesearch.api.album_answers import AlbumExported
    from facesearch.api.albums import export_xmp, open_album, scan_of
    from facesearch.report import lines as report

    if not xmp:
        raise click.UsageError("say in which form: --xmp")
    with open_album(scan_of(scan_folder)) as opened, bar("export", "photo") as progress:
        where = into or photos or opened.root
        done = export_xmp(opened, progress, root=photos, into=into, naming=naming)
    if as_json:
        skipped = tuple(map(SkippedPhoto.of, done.skipped))
        say(report.as_json(AlbumExported(done.sidecars, done.same, done.regions, skipped)))
    else:
        say(
            f"{shown(where)}: {counted(done.sidecars, 'sidecar')} written, {done.same} right already;"
            f" {counted(done.regions, 'face')} with names"
        )
    if done.sidecars:
        tell("sidecars name the people in photos to all who read them: keep them as you keep the photos")
    report_skips(done.skipped, skips)
