"""Who is in a photo: query."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facesearch.cli import options
from facesearch.cli.given import announced, encoder_soon, existing, gallery_of
from facesearch.cli.options import FILE, FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.cli.streams import read_lines
from facesearch.cli.terminal import Skips, keep_skips, report_skips, say, tell
from facesearch.errors import counted, pasted, shown, unshown

if TYPE_CHECKING:
    from facesearch.api.gallery import Gallery
    from facesearch.records import Skipped

_STARTED = time.perf_counter()
STDIN = Path("-")


@click.command()
@click.argument("photos", type=FILE, nargs=-1)
@click.option(
    "--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many people to list."
)
@click.option(
    "--threshold",
    type=options.Number(-1, 1),
    default=None,
    help="Decide by this score instead of the gallery's own threshold.",
)
@click.option("--largest", is_flag=True, help="Ask for the largest face of each photo only.")
@click.option(
    "--watch",
    type=FOLDER,
    default=None,
    help="Ask for every photo in this folder, then for those that arrive, until Ctrl-C.",
)
@click.option("--timing", is_flag=True, help="Say on stderr where the time went.")
@options.store
@options.among
@options.among_file
@options.as_json
@options.gallery
@options.encoder
@options.detection
@options.skips
def query(
    photos: tuple[Path, ...],
    top: int,
    threshold: float | None,
    largest: bool,
    watch: Path | None,
    timing: bool,
    among: tuple[str, ...],
    among_file: Path | None,
    store: str | None,
    as_json: bool,
    gallery: GalleryChoice,
    encoder: EncoderChoice,
    detection: DetectionChoice,
    skips: Skips,
) -> None:
    """Name the people in the gallery nearest to each face in PHOTOS (files or folders), or say "unknown".

    With - instead of PHOTOS it reads paths from stdin, a line each, and answers each line at once. Answers to
    - and --watch with --json are one JSON object a photo and line. The gallery may change meanwhile.

    \b
    Example:  facesearch query face.jpg
              facesearch query holiday/ --json --top 3
              facesearch query face.jpg --among "Ada Lovelace" --among "Mary Somerville"
              find . -name "*.jpg" | facesearch query - --json
    """
    if (watch is None) == (not photos) or (STDIN in photos and len(photos) > 1):
        raise click.UsageError("give PHOTOS, or - alone for paths on stdin, or --watch FOLDER")
    existing(gallery)
    with _nothing_collected():
        ready = encoder_soon(gallery, encoder)
        opened = gallery_of(gallery, encoder, detection, ready=ready, store=store)
    with closing(ready), opened:
        names = [*among, *(_named_in(among_file) if among_file else ())]
        asked: dict[str, Any] = {
            "top": top,
            "threshold": threshold,
            "largest": largest,
            "among": names or None,
        }
        opened.require_people()
        if watch is not None or photos == (STDIN,):
            announced(opened)
            for note in opened.search_all([], **asked).notes:
                tell(shown(note))
            _answer_stream(_paths(watch), opened, asked, as_json=as_json, skips=skips)
            return
        started = time.perf_counter()
        found = _answer_all(photos, opened, asked, as_json=as_json)
        if timing:
            now = time.perf_counter()
            tell(f"time: start {(started - _STARTED) * 1000:.0f} ms, answers {(now - started) * 1000:.0f} ms")
    report_skips(found, skips)


def _answer_all(
    photos: tuple[Path, ...], gallery: Gallery, asked: dict[str, Any], *, as_json: bool
) -> list[Skipped]:
    """Answer all photos, and say what was left out. Raises NothingToDo when no photo could be used at all."""
    from facesearch.answers import Searched
    from facesearch.cli.photos import files_of
    from facesearch.errors import NothingToDo
    from facesearch.records import Skipped
    from facesearch.report import lines as report

    files = files_of(photos)
    if len(files) == 1:
        whole = gallery.search_all(files, **asked)
    else:
        answers = tuple(gallery.search_each(files, **asked))
        whole = gallery.search_all([], **asked)
        whole = Searched(answers, whole.enrolled, whole.stale, whole.notes)
    announced(gallery)
    for note in whole.notes:
        tell(shown(note))
    if whole.stale:
        tell(f"set it again with: facesearch calibrate --gallery {pasted(gallery.folder)}")
    skipped = [
        Skipped(Path(unshown(answer.photo)), answer.skipped)
        for answer in whole.photos
        if answer.skipped is not None
    ]
    if as_json:
        say(report.as_json(whole))
    elif lines := [line for answer in whole.photos for line in report.answer_lines(answer)]:
        say("\n".join(lines))
    if len(skipped) == len(whole.photos):
        where = str(skipped[0].path) if len(skipped) == 1 else counted(len(skipped), "photo")
        reason = skipped[0].reason if skipped else "there is no photo"
        said = reason if len(skipped) <= 1 else f"none could be used; the first: {reason}"
        raise NothingToDo(where, said, left_out=tuple(skipped))
    return skipped


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Imports leave no garbage: looking for it now, and through all that was imported at the end, is a tenth
    of a short process.

    With torch the end is as ever: its triton would take what is not collected then for a leak, and say so at
    length.
    """
    gc.disable()
    try:
        yield
    finally:
        if "torch" not in sys.modules:
            gc.freeze()
        gc.enable()


def _named_in(file: Path) -> list[str]:
    """The names in a text file, one a line; empty lines do not count. Raises CannotRead, NothingToDo."""
    from facesearch.errors import CannotRead, NothingToDo, reason_of
    from facesearch.files import read_regular

    try:
        names = [line for line in read_regular(file).decode().splitlines() if line.strip()]
    except OSError as error:
        raise CannotRead(file, reason_of(error)) from error
    except UnicodeDecodeError as error:
        raise CannotRead(file, "it is not text in UTF-8") from error
    if not names:
        raise NothingToDo(str(file), "no name in it")
    return names


def _paths(watch: Path | None) -> Iterator[Path | Skipped]:
    if watch is not None:
        from facesearch.api.inputs import arriving

        yield from arriving(watch)
    for line in read_lines():
        if line.strip():
            yield Path(line)


def _answer_stream(
    paths: Iterable[Path | Skipped], gallery: Gallery, asked: dict[str, Any], *, as_json: bool, skips: Skips
) -> None:
    """Answer photo by photo, each as soon as it is known."""
    from facesearch.errors import PhotosSkipped
    from facesearch.records import Skipped
    from facesearch.report import lines as report

    left_out = list[Skipped]()
    try:
        for path in paths:
            (answer,) = gallery.search_all([path], **asked).photos
            if answer.skipped is not None:
                left_out.append(Skipped(Path(unshown(answer.photo)), answer.skipped))
            if as_json:
                say(report.as_json(answer, indent=None))
            elif answer.skipped is not None:
                tell(f"skipped {shown(answer.photo)}: {shown(answer.skipped)}")
            else:
                say("\n".join(report.answer_lines(answer)))
    finally:
        keep_skips(left_out, skips)
    if left_out and skips.strict:
        raise PhotosSkipped(len(left_out))
