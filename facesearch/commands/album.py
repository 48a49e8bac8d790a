"""An album that nobody has sorted: scan, review, sort."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from facesearch import options
from facesearch.commands.given import RUNS, announced, detector_of, gallery_of, key_of
from facesearch.options import FILE, FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.terminal import bar, report_skips, tell

if TYPE_CHECKING:
    from facesearch.gallery.album import Album
    from facesearch.jobs.scan import Scanned
    from facesearch.report_album import Written

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
    "--cut", type=options.Number(-1, 1), default=None, help="Mean cosine at which groups part.  [default: from the album's own pairs]"
)
@click.option("--regroup", is_flag=True, help="Group anew whatever nobody has reviewed yet.")
@options.as_json
@options.gallery
@options.encoder
@options.detection
@options.fpir
@options.strict
@click.pass_context
def scan(
    ctx: click.Context, folder: Path | None, out: Path | None, review: Path | None, with_photos: bool, method: str, cut: float | None,
    regroup: bool, as_json: bool, gallery: GalleryChoice, encoder: EncoderChoice, detection: DetectionChoice, fpir: float | None,
    strict: bool,
) -> None:  # fmt: skip
    """Find every face in the photos under DIR, name whom the gallery knows, group the strangers, and write a review.

    The review is review.csv and review.html in the scan's folder: give groups names there, split and join them, then --apply it.
    A later scan of the same DIR looks only at new photos and keeps groups and names. Interrupted, the same command goes on.

    \b
    Example:  facesearch scan holiday/ --with-photos
              facesearch scan holiday/ --apply ~/Downloads/review.csv
    """
    from facesearch import report
    from facesearch.answers import AlbumScan, SkippedPhoto
    from facesearch.gallery.album import FILE as ALBUM_FILE
    from facesearch.gallery.album import Album
    from facesearch.jobs.arrange import arrange
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
            _apply(album, gallery, review, fpir, as_json=as_json)
            written = _written(album, folder, with_photos)
        if not as_json:
            click.echo(f"review: {written.table} and {written.page}")
        return
    if folder is None:
        raise click.UsageError("give the folder of photos, DIR")
    named = ctx.get_parameter_source("gallery") is not ParameterSource.DEFAULT
    found = _find(folder, out, gallery, encoder, detection, named=named)
    with Album.open(out) as album:
        known = _recognise(album, gallery, named=named)
        grouped = arrange(album, method, cut, again=regroup)
        written = _written(album, folder, with_photos)
        result = AlbumScan(
            photos=found.files, new_photos=found.looked, gone=found.gone, without_face=found.faceless, faces=found.faces,
            new_faces=found.new_faces, recognised=known, groups=grouped.groups, new_groups=grouped.new, joined=grouped.joined,
            alone=grouped.alone, put_aside=grouped.aside, method=method, cut=None if method == "hdbscan" else grouped.cut,
            table=str(written.table), page=str(written.page),
            skipped=tuple(map(SkippedPhoto.of, found.skipped)),
        )  # fmt: skip
    if as_json:
        click.echo(report.as_json(result))
    else:
        click.echo("\n".join(report.scan_lines(folder, result)))
    if written.kept is not None:
        tell(f"{written.table.name} had been changed and not applied; it is kept as {written.kept}")
    if written.crops:
        tell(f"{written.page} holds {written.crops} pictures of faces: keep it as you keep the photos")
    report_skips(found.skipped, strict)


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


def _find(
    folder: Path, out: Path, gallery: GalleryChoice, encoder: EncoderChoice, detection: DetectionChoice, *, named: bool
) -> Scanned:  # fmt: skip
    """Bring the scan up to date, with the encoder that it was begun with, else the gallery's, else the one for new galleries."""
    from facesearch.errors import EncoderNotFound
    from facesearch.gallery.album import FILE as ALBUM_FILE
    from facesearch.gallery.album import Album
    from facesearch.jobs.find_weights import weights_for_new, weights_with_id
    from facesearch.jobs.scan import scan as run

    if encoder.weights is None and (out / ALBUM_FILE).is_file():
        with Album.open(out) as album:
            begun = weights_with_id(album.encoder_id, RUNS)
        encoder = replace(encoder, weights=None if begun is None else begun.path)
    try:
        own = announced(gallery_of(gallery, encoder))
    except EncoderNotFound:
        if named:
            raise
        own = announced(gallery_of(gallery, replace(encoder, weights=weights_for_new(RUNS).path)))
    with bar("scan", "photo") as progress:
        return run(folder, out, own.runtime, detector_of(detection).own, progress)


def _recognise(album: Album, gallery: GalleryChoice, *, named: bool) -> int | None:
    """Name the faces that the gallery knows, and say how many; None without a gallery of this encoder."""
    from facesearch.errors import EncoderMismatch
    from facesearch.jobs.scan import recognise

    with gallery_of(gallery).store() as store:
        if store is None:
            recognise(album, None)
            tell(f"gallery: none at {gallery.folder}; nobody is named by one")
            return None
        try:
            known = recognise(album, store)
        except EncoderMismatch:
            if named:
                raise
            tell(f"gallery: {gallery.folder} is of another encoder; nobody is named by it")
            recognise(album, None)
            return None
        tell(f"gallery: {gallery.folder}, {known} faces match somebody in it")
        return known


def _apply(album: Album, gallery: GalleryChoice, review: Path, fpir: float | None, *, as_json: bool) -> None:
    from facesearch import report
    from facesearch.jobs.find_weights import weights_with_id
    from facesearch.jobs.review import REVIEW, apply
    from facesearch.report_album import applied

    own = review.absolute() == (album.folder / REVIEW).absolute()
    own_encoder = weights_with_id(album.encoder_id, RUNS)
    note = "" if own_encoder is None else own_encoder.note()
    result = apply(album, gallery.folder, review, fpir, key=key_of(gallery), encoder_file=note)
    if own:
        applied(album)
    if as_json:
        click.echo(report.as_json(result))
        return
    for person, count in sorted(result.enrolled.items()):
        click.echo(f"{person}: {count} photo{'s' if count != 1 else ''} enrolled")
    click.echo(
        f"{result.named} faces of {result.people} people have names, {result.known} were enrolled before; "
        f"{result.unnamed} faces without a name, {result.aside} put aside"
    )
    for name, photo in result.elsewhere:
        mend = f'facesearch forget "{name}" --photo "{photo}" --gallery {gallery.folder}'
        tell(f"an earlier review enrolled {photo} as {name}; if that was wrong: {mend}")


def _written(album: Album, folder: Path | None, with_photos: bool) -> Written:
    """Write the review."""
    from facesearch.jobs.scan import face_pictures
    from facesearch.report_album import write_review

    pictures = None
    if with_photos:
        with bar("faces", "photo") as progress:
            pictures = face_pictures(album, CROP_PX, progress)
    return write_review(album, pictures, f"facesearch scan {folder or album.root} --apply review.csv")
