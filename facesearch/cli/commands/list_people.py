"""The gallery and who is in it: build-index, enroll, forget, list, info."""

from __future__ import annotations

import click

from facesearch.cli import options
from facesearch.cli.given import as_listed, existing, gallery_of
from facesearch.cli.options import GalleryChoice
from facesearch.cli.terminal import say
from facesearch.errors import shown


@click.command("list")
@click.argument("name", required=False)
@options.gallery
@options.as_json
def list_people(name: str | None, gallery: GalleryChoice, as_json: bool) -> None:
    """List everyone enrolled, with the number of photos; or the photos of NAME.

    \b
    Example:  facesearch list
              facesearch list "Ada Lovelace"
    """
    from facesearch.report import lines as report

    existing(gallery)
    opened = gallery_of(gallery)
    if name is None:
        people = opened.people()
        say(
            report.as_json(people) if as_json else "\n".join(report.people_lines(people)),
            nl=bool(people or as_json),
        )
    else:
        photos = opened.photos_of(as_listed(opened, name))
        say(report.as_json(photos) if as_json else "\n".join(shown(photo.photo) for photo in photos))
