"""The gallery in an engine outside of it: sync."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.given import access_of, gallery_of
from facesearch.cli.options import GalleryChoice
from facesearch.cli.terminal import bar, say, tell
from facesearch.errors import counted, shown

if TYPE_CHECKING:
    from facesearch.api.engines import Synced
    from facesearch.records import Progress


@click.command()
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Compare every row and vector, change nothing; exit with 1 when anything differs.",
)
@click.option(
    "--full",
    is_flag=True,
    help="Compare every row and vector and repair what differs, not only what has changed since.",
)
@click.option(
    "--index",
    type=click.Choice(["flat", "hnsw", "diskann", "ivf_sq8"]),
    default=None,
    help="Kind of index.  [default: as before, at first flat in Milvus Lite and hnsw on a server]",
)
@click.option(
    "--drop", "drop_it", is_flag=True, help="Drop the projection with all that is in it, and forget about it."
)
@click.option(
    "--abandon", is_flag=True, help="Forget about a projection that is gone for good, without reaching it."
)
@click.option(
    "--no-wait",
    is_flag=True,
    help="Do not wait until the engine searches by its index; until then a query may miss some faces.",
)
@options.store
@options.gallery
@options.as_json
def sync(
    only_check: bool,
    full: bool,
    index: str | None,
    drop_it: bool,
    abandon: bool,
    no_wait: bool,
    store: str | None,
    gallery: GalleryChoice,
    as_json: bool,
) -> None:
    """Bring the gallery's vectors into Milvus, for `query --store`, and keep them as the gallery is.

    Only what changed is sent; names, photos' names and hashes never are. A server then needs some time until
    it searches by its index what it was sent, which is waited for. Interrupted, the same command goes on. A
    server's token comes from FACESEARCH_MILVUS_TOKEN, or from the file that FACESEARCH_MILVUS_TOKEN_FILE
    names.

    \b
    Example:  facesearch sync --store milvus:faces.db
              facesearch sync --store milvus:https://milvus.example:19530 --index diskann
              facesearch sync --store milvus:faces.db --check
    """
    from facesearch.api import engines
    from facesearch.errors import ProjectionDiffers
    from facesearch.report import lines as report

    if not store:
        raise click.UsageError("say where: --store milvus:FILE.db or --store milvus:http://HOST:19530")
    if only_check + full + drop_it + abandon > 1:
        raise click.UsageError("--check, --full, --drop and --abandon exclude each other")
    place, opened = engines.place_of(store, access_of()), gallery_of(gallery, changes=not only_check)
    if place.is_open_wire:
        tell(
            f"{shown(place.text)} is not encrypted: anybody on the way can read the vectors. Use https where"
            " the network is not yours"
        )
    if drop_it or abandon:
        engines.drop(opened, place, abandon=abandon)
        gone = "taken off the list of this gallery; its bytes stay"
        say(f"{shown(place.text)}: {'dropped' if drop_it else gone}")
    elif only_check:
        with bar("check", "face") as progress:
            found = engines.check(opened, place, progress)
        words = f"{found.missing} missing, {found.extra} too many, {found.wrong} with another vector"
        said = f"{shown(place.text)}: {words}, {found.same} right"
        say(report.as_json(found) if as_json else said)
        if found.words():
            raise ProjectionDiffers(gallery.folder, place.text, found.words())
    else:
        with ExitStack() as bars:
            progress = bars.enter_context(bar("sync", "face"))
            done = engines.sync(
                opened,
                place,
                index=index,
                full=full,
                progress=progress,
                wait=not no_wait,
                waiting=_later(bars),
            )
        said = f"{shown(place.text)}: {done.added} added, {done.removed} removed, {done.same} same"
        say(report.as_json(done) if as_json else said)
        _explain(done, local=place.local is not None)


def _later(bars: ExitStack) -> Progress:
    """A bar for what is waited for, shown when there is something."""
    shown: list[Progress] = []

    def waiting(done: int, total: int) -> None:
        if not shown:
            shown.append(bars.enter_context(bar("index", "face")))
        shown[0](done, total)

    return waiting


def _explain(done: Synced, *, local: bool) -> None:
    """What should be known of what the engine has done."""
    if done.unindexed:
        tell(
            f"{counted(done.unindexed, 'row is', 'rows are')} not searched by their index yet:"
            " until they are, a query may miss"
            " some of them. Wait for them with: facesearch sync. If this stays, see the server's log"
        )
    if done.rebuilt:
        tell("dropped and sent again: this engine keeps deleted rows until their collection goes")
    elif done.removed and not local:
        tell(
            "deleted rows leave Milvus' storage when its compaction and garbage collection have run; no"
            " search finds them any more"
        )
