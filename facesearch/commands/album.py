"""An album that nobody has sorted: scan, review, sort."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from facesearch import options
from facesearch.commands.given import detector_for, runtime_for
from facesearch.options import FILE, FOLDER, DetectionChoice, EncoderChoice
from facesearch.terminal import bar, report_skips, tell

if TYPE_CHECKING:
    from facesearch.gallery.album import Album
    from facesearch.records import Skipped

CROP_PX = 96


@click.command()
@click.argument("folder", metavar="[DIR]", type=FOLDER, required=False)
@click.option("--out", type=FOLDER, default=None, help="Where the scan lies.  [default: DIR.scan, beside DIR]")
@click.option("--apply", "review", type=FILE, default=None, help="Enroll what this review names, and keep its groups. No photo is read.")
@click.option(
    "--with-photos", is_flag=True, help="Put the pictures of the faces on the page. It must then be kept as the photos are."
)  # fmt: skip
@click.option(
    "--method", type=click.Choice(["average", "hdbscan", "dbscan"]), default="average", show_default=True,
    help="How strangers are grouped; the last two need the extra [album].",
)  # fmt: skip
@click.option(
    "--cut", type=click.FloatRange(-1, 1), default=None, help="Mean cosine at which groups part.  [default: from the album's own pairs]"
)
@click.option("--regroup", is_flag=True, help="Group anew whatever nobody has reviewed yet.")
@options.gallery
@options.encoder
@options.detection
@options.fpir
@options.strict
@click.pass_context
def scan(
    ctx: click.Context, folder: Path | None, out: Path | None, review: Path | None, with_photos: bool, method: str, cut: float | None,
    regroup: bool, gallery: Path, encoder: EncoderChoice, detection: DetectionChoice, fpir: float | None, strict: bool,
) -> None:  # fmt: skip
    """Find every face in the photos under DIR, name whom the gallery knows, group the strangers, and write a review.

    The review is review.csv and review.html in the scan's folder: give groups names there, split and join them, then --apply it.
    A later scan of the same DIR looks only at new photos and keeps groups and names. Interrupted, the same command goes on.

    \b
    Example:  facesearch scan holiday/ --with-photos
              facesearch scan holiday/ --apply ~/Downloads/review.csv
    """
    from facesearch.gallery.album import FILE as ALBUM_FILE
    from facesearch.gallery.album import Album
    from facesearch.jobs.scan import album_folder

    if out is None:
        beside = review is not None and (review.absolute().parent / ALBUM_FILE).is_file()
        if folder is None and not (review is not None and beside):
            raise click.UsageError(
                "give the folder of photos, DIR" + (", or --out SCAN: this review does not lie in a scan" if review else "")
            )
        out = album_folder(folder) if folder is not None else review.absolute().parent if review is not None else Path()
    if review is not None:
        with Album.open(out) as album:
            _apply(album, gallery, review, fpir)
            _write(album, folder, with_photos)
        return
    if folder is None:
        raise click.UsageError("give the folder of photos, DIR")
    named = ctx.get_parameter_source("gallery") is not ParameterSource.DEFAULT
    skipped = _find(folder, out, encoder, detection)
    with Album.open(out) as album:
        _group(album, gallery, method, cut, named=named, regroup=regroup)
        _write(album, folder, with_photos)
    report_skips(skipped, strict)


@click.command()
@click.argument("scan_folder", metavar="SCAN", type=FOLDER)
@click.option("--into", "out", type=FOLDER, required=True, help="Where the people's folders are made.")
@click.option("--link", type=click.Choice(["hard", "sym"]), default=None, help="Link the photos instead of copying them.")
@click.option("--photos", type=FOLDER, default=None, help="Where the album lies now, if it was moved since the scan.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@options.strict
def sort(scan_folder: Path, out: Path, link: str | None, photos: Path | None, dry_run: bool, strict: bool) -> None:
    """Copy or link the photos of a scanned album into one folder a person, by review and gallery.

    A photo of several people goes into each one's folder; one in which nobody has a name, into _unknown and there into its group's.
    Nothing is overwritten and no original is touched; done again, or after an interruption, only what is missing is done.

    \b
    Example:  facesearch sort holiday.scan --into sorted/ --dry-run
              facesearch sort holiday.scan --into sorted/ --link hard
    """
    from facesearch.gallery.album import FILE as ALBUM_FILE
    from facesearch.gallery.album import Album
    from facesearch.jobs.scan import album_folder
    from facesearch.jobs.sort import sort_album

    if not (scan_folder / ALBUM_FILE).is_file() and (album_folder(scan_folder) / ALBUM_FILE).is_file():
        scan_folder = album_folder(scan_folder)  # the album itself was named
    with Album.open(scan_folder) as album, bar("sort", "photo") as progress:
        result = sort_album(album, out, progress, way=link or "copy", root=photos, dry_run=dry_run)
    for folder, count in result.folders.items():
        click.echo(f"{count:5d}  {out / folder}")
    verb = {None: "copied", "hard": "linked", "sym": "linked"}[link]
    would = "would be " if dry_run else ""
    tell(
        f"{result.made} {would}{verb}, {result.there} there already"
        + (f", {result.faceless} without a face left out" if result.faceless else "")
    )
    report_skips(result.skipped, strict)


def _find(folder: Path, out: Path, encoder: EncoderChoice, detection: DetectionChoice) -> tuple[Skipped, ...]:
    """Bring the scan up to date and say how; returns what was skipped."""
    from facesearch.jobs.scan import scan as run

    detector = detector_for(detection)
    runtime = runtime_for(encoder)
    with bar("scan", "photo") as progress:
        result = run(folder, out, runtime, detector, progress)
    gone = f", {result.gone} gone" if result.gone else ""
    faceless = f"; {result.faceless} photos show no face" if result.faceless else ""
    click.echo(
        f"{folder}: {result.files} photos, {result.looked} new{gone}; {result.new_faces} faces found, {result.faces} in all{faceless}"
    )
    return result.skipped


def _group(album: Album, gallery: Path, method: str, cut: float | None, *, named: bool, regroup: bool) -> None:
    """Name and group the faces, and say how many."""
    from facesearch.errors import EncoderMismatch
    from facesearch.gallery.store import FILE as GALLERY_FILE
    from facesearch.gallery.store import Gallery
    from facesearch.jobs.arrange import arrange
    from facesearch.jobs.scan import recognise

    if (gallery / GALLERY_FILE).is_file():
        with Gallery.open(gallery) as opened:
            try:
                known = recognise(album, opened)
                tell(f"gallery: {gallery}, {known} faces match somebody in it")
            except EncoderMismatch:
                if named:
                    raise
                tell(f"gallery: {gallery} is of another encoder; nobody is named by it")
                recognise(album, None)
    else:
        recognise(album, None)
        tell(f"gallery: none at {gallery}; nobody is named by one")
    result = arrange(album, method, cut, again=regroup)
    aside = f", {result.aside} put aside" if result.aside else ""
    click.echo(
        f"{result.groups} groups, {result.new} new; {result.joined} faces joined older groups; {result.alone} faces in no group{aside}"
    )
    tell(f"grouped by {method}" + ("" if method == "hdbscan" else f", cut at a mean cosine of {result.cut:.3f}"))


def _apply(album: Album, gallery: Path, review: Path, fpir: float | None) -> None:
    from facesearch.jobs.review import REVIEW, apply
    from facesearch.report_album import applied

    own = review.absolute() == (album.folder / REVIEW).absolute()
    result = apply(album, gallery, review, fpir)
    if own:
        applied(album)
    for person, count in sorted(result.enrolled.items()):
        click.echo(f"{person}: {count} photo{'s' if count != 1 else ''} enrolled")
    click.echo(
        f"{result.named} faces of {result.people} people have names, {result.known} were enrolled before; "
        f"{result.unnamed} faces without a name, {result.aside} put aside"
    )
    for name, photo in result.elsewhere:
        mend = f'facesearch forget "{name}" --photo "{photo}" --gallery {gallery}'
        tell(f"an earlier review enrolled {photo} as {name}; if that was wrong: {mend}")


def _write(album: Album, folder: Path | None, with_photos: bool) -> None:
    """Write the review and say where it is."""
    from facesearch.jobs.scan import face_pictures
    from facesearch.report_album import write_review

    pictures = None
    if with_photos:
        with bar("faces", "photo") as progress:
            pictures = face_pictures(album, CROP_PX, progress)
    command = f"facesearch scan {folder or album.root} --apply review.csv"
    written = write_review(album, pictures, command)
    if written.kept is not None:
        tell(f"{written.table.name} had been changed and not applied; it is kept as {written.kept}")
    click.echo(f"review: {written.table} and {written.page}")
    if written.crops:
        tell(f"{written.page} holds {written.crops} pictures of faces: keep it as you keep the photos")
