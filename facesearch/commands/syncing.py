"""The gallery in an engine outside of it: sync."""

from __future__ import annotations

import click

from facesearch import options
from facesearch.commands.given import access_of, gallery_of
from facesearch.options import GalleryChoice
from facesearch.terminal import bar, tell

ALWAYS_INDEXED = 1024
"""Milvus reads segments of fewer rows than this without an index for good."""


@click.command()
@click.option(
    "--check", "only_check", is_flag=True, help="Compare every row and vector, change nothing; exit with 1 when anything differs."
)
@click.option("--full", is_flag=True, help="Compare every row and vector and repair what differs, not only what has changed since.")
@click.option(
    "--index", type=click.Choice(["flat", "hnsw", "diskann", "ivf_sq8"]), default=None,
    help="Kind of index.  [default: as before, at first flat in Milvus Lite and hnsw on a server]",
)  # fmt: skip
@click.option("--drop", "drop_it", is_flag=True, help="Drop the projection with all that is in it, and forget about it.")
@click.option("--abandon", is_flag=True, help="Forget about a projection that is gone for good, without reaching it.")
@options.store
@options.gallery
@options.as_json
def sync(
    only_check: bool, full: bool, index: str | None, drop_it: bool, abandon: bool, store: str | None, gallery: GalleryChoice, as_json: bool
) -> None:  # fmt: skip
    """Bring the gallery's vectors into Milvus, for `query --store`, and keep them as the gallery is.

    Only what changed is sent; names, photos' names and hashes never are. Interrupted, the same command goes on. A server's token
    comes from FACESEARCH_MILVUS_TOKEN, or from the file that FACESEARCH_MILVUS_TOKEN_FILE names.

    \b
    Example:  facesearch sync --store milvus:faces.db
              facesearch sync --store milvus:https://milvus.example:19530 --index diskann
              facesearch sync --store milvus:faces.db --check
    """
    from facesearch import report
    from facesearch.errors import ProjectionDiffers
    from facesearch.gallery.projections import place_of
    from facesearch.jobs import sync as job

    if not store:
        raise click.UsageError("say where: --store milvus:FILE.db or --store milvus:http://HOST:19530")
    if only_check + full + drop_it + abandon > 1:
        raise click.UsageError("--check, --full, --drop and --abandon exclude each other")
    place = place_of(store, access_of())
    if place.is_open_wire:
        tell(f"{place.text} is not encrypted: whoever listens on the way can read the vectors. Use https where the network is not yours")
    with gallery_of(gallery).opened() as opened:
        if drop_it or abandon:
            job.drop(opened, place, abandon=abandon)
            click.echo(f"{place.text}: {'dropped' if drop_it else 'taken off the list of this gallery; its bytes are where they were'}")
            return
        with bar("check" if only_check else "sync", "face") as progress:
            if only_check:
                found = job.check(opened, place, progress)
                words = f"{found.missing} missing, {found.extra} too many, {found.wrong} with another vector, {found.same} right"
            else:
                done = job.sync(opened, place, index=index, full=full, progress=progress)
                words = f"{done.added} added, {done.removed} removed, {done.same} same"
    if as_json:
        click.echo(report.as_json(found if only_check else done))
    else:
        click.echo(f"{place.text}: {words}")
    if not only_check and done.unindexed >= ALWAYS_INDEXED:
        tell(f"{done.unindexed} rows are not indexed yet: they are found, but more slowly. If this stays, see the server's log")
    if only_check and found.words():
        raise ProjectionDiffers(gallery.folder, place.text, found.words())
    if not only_check and done.rebuilt:
        tell("dropped and sent again: this engine keeps the bytes of deleted rows until their collection is dropped")
    elif not only_check and done.removed and place.local is None:
        tell("deleted rows leave Milvus' storage when its compaction and garbage collection have run; no search finds them any more")
