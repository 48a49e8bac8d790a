"""Find and group all faces in a folder of photos, and apply a review of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from facesearch.cli import options
from facesearch.cli.given import RUNS, announced, detector_of, gallery_of
from facesearch.cli.options import FILE, FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.cli.terminal import Skips, bar, report_skips, say, tell
from facesearch.errors import counted, pasted, shown

if TYPE_CHECKING:
    from facesearch.api.album_answers import AlbumScan
    from facesearch.api.albums import Album, Scanned
    from facesearch.api.detector import Box
    from facesearch.api.encoder import Encoder
    from facesearch.records import Skipped
    from facesearch.report.album import Written

CROP_PX = 96


@click.command()
@click.argument("folder", metavar="[DIR]", type=FOLDER, required=False)
@click.option(
    "--out", type=FOLDER, default=None, help="Where the scan lies.  [default: DIR.scan, beside DIR]"
)
@click.option(
    "--apply",
    "review",
    type=FILE,
    default=None,
    help="Enroll what this review names, and keep its groups. No photo is read.",
)
@click.option(
    "--with-photos",
    is_flag=True,
    help="Put the pictures of the faces on the page. It must then be kept as the photos are.",
)
@click.option(
    "--method",
    type=click.Choice(["average", "hdbscan", "dbscan"]),
    default="average",
    show_default=True,
    help="How strangers are grouped; the last two need the extra [album].",
)
@click.option(
    "--cut",
    type=options.Number(-1, 1),
    default=None,
    help="Mean cosine at which groups part.  [default: what can be promised of the groups]",
)
@click.option(
    "--names-from-photos",
    "from_photos",
    is_flag=True,
    help="Suggest the names that other programs wrote into the photos, or into .xmp files beside them.",
)
@click.option(
    "--box",
    "boxes",
    type=(FILE, options.box_of),
    multiple=True,
    metavar="PHOTO X,Y,W,H",
    help="Add the face in this box of a photo, in pixels of the upright photo, that the detector missed.",
)
@click.option("--regroup", is_flag=True, help="Group again whatever nobody has reviewed yet.")
@options.as_json
@options.gallery
@options.encoder
@options.detection
@options.fpir
@options.skips
@click.pass_context
def scan(
    ctx: click.Context,
    folder: Path | None,
    out: Path | None,
    review: Path | None,
    with_photos: bool,
    method: str,
    cut: float | None,
    from_photos: bool,
    boxes: tuple[tuple[Path, Box], ...],
    regroup: bool,
    as_json: bool,
    gallery: GalleryChoice,
    encoder: EncoderChoice,
    detection: DetectionChoice,
    fpir: float | None,
    skips: Skips,
) -> None:
    """Find every face in the photos under DIR, name the people the gallery knows, group the strangers, and
    write a review.

    The review is review.csv and review.html in the scan's folder: give groups names there, split and join
    them, then --apply it. A later scan of the same DIR looks only at new photos and keeps groups and names.
    Interrupted, the same command goes on.

    \b
    Example:  facesearch scan holiday/ --with-photos
              facesearch scan holiday/ --apply ~/Downloads/review.csv
    """
    from facesearch.api.albums import album_folder, open_album
    from facesearch.report import lines as report

    if folder is None and review is None:
        raise click.UsageError("give the folder of photos, DIR")
    if out is None:
        out = _scan_of(review) if folder is None and review is not None else None
        out = out or album_folder(folder or Path())
    if review is not None:
        with open_album(out) as album:
            _apply(album, gallery, review, fpir, as_json=as_json)
            written = _written(album, gallery, with_photos, applying=True)
        if not as_json:
            say(f"review: {shown(written.table)} and {shown(written.page)}")
        return
    if folder is None:
        raise click.UsageError("give the folder of photos, DIR")
    named = ctx.get_parameter_source("gallery") is not ParameterSource.DEFAULT
    if boxes and detection.aligned:
        raise click.UsageError("--box is not for --aligned photos, which are faces already")
    found = _find(folder, out, gallery, encoder, detection, boxes, named=named)
    with open_album(out) as album:
        known = _recognise(album, gallery, named=named)
        unread = _suggest(album) if from_photos else ()
        result, written = _grouped(album, gallery, found, known, method, cut, regroup, with_photos)
    if as_json:
        say(report.as_json(result))
    else:
        say("\n".join(report.scan_lines(folder, result)))
    if written.kept is not None:
        kept = shown(written.kept)
        tell(f"{written.table.name} had been changed and not applied; it is kept as {kept}")
    if written.crops:
        tell(
            f"{shown(written.page)} holds {counted(written.crops, 'picture')} of faces: keep it as"
            " you keep the photos; deleted, it is written without them"
        )
    report_skips([*found.skipped, *unread], skips)


def _scan_of(review: Path) -> Path:
    """The scan that a review lies in. Raises UsageError."""
    from facesearch.api.albums import is_album

    beside = review.absolute().parent
    if not is_album(beside):
        raise click.UsageError(
            "give the folder of photos, DIR, or --out SCAN: this review does not lie in a scan"
        )
    return beside


def _find(
    folder: Path,
    out: Path,
    gallery: GalleryChoice,
    encoder: EncoderChoice,
    detection: DetectionChoice,
    boxes: tuple[tuple[Path, Box], ...],
    *,
    named: bool,
) -> Scanned:
    """Bring the scan up to date, and add the faces that a person has marked."""
    from facesearch.api.albums import mark_in_album, open_album, scan_album

    own, detector = _encoder(out, gallery, encoder, named=named), detector_of(detection)
    with bar("scan", "photo") as progress:
        found = scan_album(folder, out, own, detector, progress)
    new = 0
    if boxes:
        with open_album(out) as album:
            for photo, box in boxes:
                marked = mark_in_album(album, own, detector, photo, box)
                new += marked.new
                said = "added" if marked.new else "there already"
                how = ", taken for upright: no eyes, nose and mouth were found in the box"
                tell(f"{shown(photo)}: face {marked.key} {said}{how if marked.by_hand else ''}")
    return replace(found, faces=found.faces + new, new_faces=found.new_faces + new)


def _encoder(out: Path, gallery: GalleryChoice, encoder: EncoderChoice, *, named: bool) -> Encoder:
    """The encoder that the scan was begun with, else the gallery's, else the one for new galleries."""
    from facesearch.api.albums import encoder_of_album
    from facesearch.api.runs import encoder_for_new
    from facesearch.errors import EncoderNotFound

    if encoder.weights is None:
        encoder = replace(encoder, weights=encoder_of_album(out, RUNS))
    try:
        return announced(gallery_of(gallery, encoder))
    except EncoderNotFound:
        if named:
            raise
        return announced(gallery_of(gallery, replace(encoder, weights=encoder_for_new(RUNS))))


def _suggest(album: Album) -> tuple[Skipped, ...]:
    """Take the names that photos hold as suggestions, and say how many; returns what could not be read."""
    from facesearch.api.albums import suggest_names

    with bar("names", "photo") as progress:
        found = suggest_names(album, progress)
    beside = f", {found.no_face} where no face was found" if found.no_face else ""
    tell(
        f"names in photos: {found.names} in {counted(found.photos, 'photo')}, {found.faces} on faces of the"
        f" album{beside}; they are suggestions until a review confirms them"
    )
    return found.skipped


def _recognise(album: Album, gallery: GalleryChoice, *, named: bool) -> int | None:
    """Name the faces that the gallery knows, and say how many; None without a gallery of this encoder."""
    from facesearch.api.albums import recognise_album
    from facesearch.errors import EncoderMismatch

    opened = gallery_of(gallery)
    try:
        known = recognise_album(album, opened)
    except EncoderMismatch:
        if named:
            raise
        tell(f"gallery: {shown(gallery.folder)} is of another encoder; nobody is named by it")
        return None
    if known is None:
        tell(f"gallery: none at {shown(gallery.folder)}; nobody is named by one")
    else:
        tell(
            f"gallery: {shown(gallery.folder)}, {counted(known, 'face matches', 'faces match')}"
            " somebody in it"
        )
        with opened.store() as store:
            if store is not None and store.encrypted:
                tell(
                    f"its names, which are encrypted there, stand in plain text in {shown(album.folder)}:"
                    " keep that as secret as the gallery's key, or delete it when it has served"
                )
    return known


def _grouped(
    album: Album,
    gallery: GalleryChoice,
    found: Scanned,
    known: int | None,
    method: str,
    cut: float | None,
    regroup: bool,
    with_photos: bool,
) -> tuple[AlbumScan, Written]:
    """Group the faces and write the review."""
    from facesearch.answers import SkippedPhoto
    from facesearch.api.album_answers import AlbumScan
    from facesearch.api.albums import arrange

    with bar("group", "face") as progress:
        grouped = arrange(album, method, cut, again=regroup, progress=progress)
    written = _written(album, gallery, with_photos)
    result = AlbumScan(
        photos=found.files,
        new_photos=found.looked,
        gone=found.gone,
        renamed=found.renamed,
        copies=found.copies,
        without_face=found.faceless,
        faces=found.faces,
        new_faces=found.new_faces,
        recognised=known,
        groups=grouped.groups,
        new_groups=grouped.new,
        sure_groups=grouped.sure,
        questions=grouped.alike,
        joined=grouped.joined,
        alone=grouped.alone,
        poor=grouped.poor,
        put_aside=grouped.aside,
        method=method,
        cut=None if method == "hdbscan" else grouped.cut,
        table=str(written.table),
        page=str(written.page),
        skipped=tuple(map(SkippedPhoto.of, found.skipped)),
    )
    return result, written


def _apply(album: Album, gallery: GalleryChoice, review: Path, fpir: float | None, *, as_json: bool) -> None:
    from facesearch.api.albums import REVIEW, apply_review, says_whose
    from facesearch.report import lines as report
    from facesearch.report.album import applied

    own = review.absolute() == (album.folder / REVIEW).absolute()
    opened = gallery_of(gallery, changes=True)
    if not says_whose(album, opened, review):
        tell("this review does not say of which album and gallery it is: that could not be checked")
    result = apply_review(album, opened, review, fpir, RUNS)
    if own:
        applied(album)
    if as_json:
        say(report.as_json(result))
        return
    for person, count in sorted(result.enrolled.items()):
        say(f"{shown(person)}: {counted(count, 'photo')} enrolled")
    say(
        f"{counted(result.named, 'face')} of {counted(result.people, 'person')}"
        f" {'has a name' if result.named == 1 else 'have names'},"
        f" {result.known} {'was' if result.known == 1 else 'were'} enrolled before; "
        f"{counted(result.unnamed, 'face')} without a name, {result.aside} put aside"
    )
    for name, photo in result.elsewhere:
        remedy = f"facesearch forget {pasted(name)} --photo {pasted(photo)} {_gallery_words(gallery)}"
        tell(f"an earlier review enrolled {shown(photo)} as {shown(name)}; if that was wrong: {remedy}")


def _written(album: Album, gallery: GalleryChoice, with_photos: bool, *, applying: bool = False) -> Written:
    """Write the review. applying: no photo is read, unless pictures are asked for."""
    from facesearch.api.albums import face_pictures
    from facesearch.report.album import pictures_on_pages, write_review

    pictures = pictures_on_pages(album)  # a page that shows faces goes on showing them
    if with_photos or (pictures and not applying):
        with bar("faces", "photo") as progress:
            pictures |= face_pictures(album, CROP_PX, progress, pictures)
    return write_review(album, pictures or None, _apply_command(album, gallery), gallery.folder)


def _apply_command(album: Album, gallery: GalleryChoice) -> str:
    """What applies a review of this album to this gallery, wherever it is typed."""
    from facesearch.api.albums import album_folder

    words = f"facesearch scan {pasted(album.root)}"
    if album.folder.absolute() != album_folder(album.root):
        words += f" --out {pasted(album.folder.absolute())}"
    return f"{words} {_gallery_words(gallery, whole=True)} --apply review.csv"


def _gallery_words(gallery: GalleryChoice, *, whole: bool = False) -> str:
    """The options that name the gallery and its key. whole: wherever they are typed."""
    words = f"--gallery {pasted(gallery.folder.absolute() if whole else gallery.folder)}"
    key = gallery.key_file
    if key is None or not key.is_file():
        return words
    return f"{words} --key-file {pasted(key.absolute() if whole else key)}"
