"""Who is in a photo: query."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch import options
from facesearch.commands.given import detector_for, runtime_soon, tell_other_detectors
from facesearch.errors import NoGallery
from facesearch.options import FILE, FOLDER, DetectionChoice, EncoderChoice
from facesearch.terminal import report_skips, tell

if TYPE_CHECKING:
    from facesearch.faces.detect import Detector
    from facesearch.gallery.nearest import Nearest
    from facesearch.gallery.store import Gallery
    from facesearch.jobs.people import Asker, Clock
    from facesearch.model.runtime import Runtime

_STARTED = time.perf_counter()
STDIN = Path("-")


@click.command()
@click.argument("photos", type=FILE, nargs=-1)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many people to list.")
@click.option(
    "--threshold", type=click.FloatRange(-1, 1), default=None, help="Decide by this score instead of the gallery's own threshold."
)
@click.option("--largest", is_flag=True, help="Ask for the largest face of each photo only.")
@click.option("--watch", type=FOLDER, default=None, help="Ask for every photo in this folder, then for those that arrive, until Ctrl-C.")
@click.option("--timing", is_flag=True, help="Say on stderr where the time went.")
@options.store
@options.among
@options.among_file
@options.as_json
@options.gallery
@options.encoder
@options.detection
@options.strict
def query(
    photos: tuple[Path, ...], top: int, threshold: float | None, largest: bool, watch: Path | None, timing: bool,
    among: tuple[str, ...], among_file: Path | None, store: str | None, as_json: bool, gallery: Path,
    encoder: EncoderChoice, detection: DetectionChoice, strict: bool,
) -> None:  # fmt: skip
    """Name the people in the gallery nearest to each face in PHOTOS (files or folders), or say "unknown".

    With - instead of PHOTOS it reads paths from stdin, a line each, and answers each line at once. Answers to - and --watch with --json
    are one JSON object a photo and line. The gallery may change meanwhile.

    \b
    Example:  facesearch query face.jpg
              facesearch query holiday/ --json --top 3
              facesearch query face.jpg --among "Ada Lovelace" --among "Mary Somerville"
              find . -name "*.jpg" | facesearch query - --json
    """
    if (watch is None) == (not photos) or (STDIN in photos and len(photos) > 1):
        raise click.UsageError("give PHOTOS, or - alone for paths on stdin, or --watch FOLDER")
    # Nothing heavy is imported before the gallery is known to be there; the engine is made ready while the rest is imported and opened.
    from facesearch.gallery.sqlite import FILE as GALLERY_FILE

    if not (gallery / GALLERY_FILE).is_file():
        raise NoGallery(gallery)
    with ThreadPoolExecutor(1) as pool, ExitStack() as closing, ExitStack() as elsewhere:
        with _nothing_collected():
            loading = pool.submit(_warm, runtime_soon(encoder))
            from facesearch.gallery.store import Gallery

            opened = closing.enter_context(Gallery.open(gallery))
            from facesearch import report
            from facesearch.gallery.faiss_index import open_index
            from facesearch.jobs import people as job

            clock = job.Clock()
            detector = detector_for(detection)
            runtime = loading.result()
        clock.add("start", _STARTED)
        names = [*among, *(job.named_in(among_file) if among_file else ())]
        search_in = _projection(store, elsewhere) if store else open_index
        asker = job.Asker(
            opened, runtime, top=top, largest=largest, threshold=threshold, among=names, search_in=search_in, clock=clock
        )  # fmt: skip
        tell_other_detectors(opened, detector)
        if watch is not None or photos == (STDIN,):
            _answer_stream(_paths(watch), asker, detector, as_json=as_json, strict=strict)
            return
        result = job.query(photos, asker, detector)
    if result.index_built:
        tell(f"the index was made anew: {result.index_built}")
    if result.stale:
        tell(f"the threshold is stale: it was set for {result.stale} faces. Set it anew with: facesearch calibrate --gallery {gallery}")
    if as_json:
        click.echo(report.answers_json(result.answers))
    else:
        click.echo("\n".join(line for answer in result.answers for line in report.answer_lines(answer)))
    if timing:
        _tell_times(clock)
    report_skips(result.skipped, strict)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Imports leave no garbage: looking for it now, and through all that was imported at the end, is a tenth of a short process.

    With torch the end is as ever: its triton would take what is not collected then for a leak, and say so at length.
    """
    gc.disable()
    try:
        yield
    finally:
        if "torch" not in sys.modules:
            gc.freeze()
        gc.enable()


def _warm(load: Callable[[], Runtime]) -> Runtime:
    """The encoder, after its first crop: engines prepare for that longer than they compute, and here it costs nobody's time."""
    import numpy as np

    from facesearch.faces.crop import CROP_PX

    runtime = load()
    runtime.embed(np.zeros((1, CROP_PX, CROP_PX, 3), np.uint8))
    return runtime


def _projection(store: str, opened: ExitStack) -> Callable[[Gallery], Nearest]:
    """Opens the engine's projection of a gallery, and closes the one before it."""
    from facesearch.gallery.milvus_index import open_projection
    from facesearch.gallery.projections import place_of

    place = place_of(store)

    def search_in(gallery: Gallery) -> Nearest:
        opened.close()
        index = opened.enter_context(open_projection(gallery, place))
        for line in index.notes:
            tell(line)
        return index

    return search_in


def _paths(watch: Path | None) -> Iterator[Path]:
    if watch is not None:
        from facesearch.jobs.watch import arriving

        yield from arriving(watch)
    for line in sys.stdin:
        if line.strip():
            yield Path(line.rstrip("\r\n"))


def _answer_stream(paths: Iterable[Path], asker: Asker, detector: Detector | None, *, as_json: bool, strict: bool) -> None:
    """Answer photo by photo, each as soon as it is known. Ctrl-C ends it and is no error."""
    from facesearch import report
    from facesearch.errors import PhotosSkipped
    from facesearch.records import Skipped

    left_out = 0
    try:
        for path in paths:
            found = asker.ask(path, detector)
            left_out += isinstance(found, Skipped)
            if as_json:
                click.echo(report.stream_json(path, found))
            elif isinstance(found, Skipped):
                tell(f"skipped {found}")
            else:
                click.echo("\n".join(line for answer in found for line in report.answer_lines(answer)))
    except KeyboardInterrupt:
        pass
    if left_out and strict:
        raise PhotosSkipped(left_out)


def _tell_times(clock: Clock) -> None:
    tell("time: " + ", ".join(f"{stage} {seconds * 1000:.0f} ms" for stage, seconds in clock.seconds.items()))
