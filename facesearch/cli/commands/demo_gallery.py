"""A copy of the gallery that comes with the checkout."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch.cli.terminal import bar, say, tell
from facesearch.errors import counted, pasted, shown


@click.command("demo-gallery")
@click.argument("out", metavar="FOLDER", type=click.Path(path_type=Path))
def demo_gallery(out: Path) -> None:
    """Copy the gallery that came with this checkout into FOLDER, which must be new or empty.

    It holds the vectors of all photos of CelebA-500, and is for non-commercial research only. Git does not
    track the copy: enroll people there, and erase them.

    \b
    Example:  facesearch demo-gallery celebrities
              facesearch query photo.jpg --gallery celebrities
    """
    from facesearch.api import demo

    with bar("check", "face") as progress:
        done = demo.demo_gallery(out, progress)
    say(f"{shown(out)}: {counted(done.faces, 'face')} of {counted(done.people, 'person')}")
    tell(f"use it with --gallery {pasted(out)}, or FACESEARCH_GALLERY={pasted(out)}")
