"""The command line as a whole: its group, its one error boundary. Nothing heavy is imported at the top: --help must not wait for torch.

stdout carries results, stderr everything else. Exit codes: 0 done ("unknown" is an answer), 1 could not, 2 wrong usage.
"""

from __future__ import annotations

import os
from typing import Any

import click

from facesearch import __version__
from facesearch.commands import album, asking, auditing, care, indexing, judging, people, sealing, serving, syncing, training
from facesearch.errors import FaceSearchError, Interrupted


class Commands(click.Group):
    """Turns a FaceSearchError into one message and exit code 1. Other exceptions are bugs and keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FaceSearchError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt as error:
            again = Interrupted("what is done is kept", "the same command again")
            raise click.ClickException(str(again)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="facesearch")
def main() -> None:
    """Train a face encoder, keep a gallery of people, and ask who is in a photo.

    \b
    Example, from nothing:  facesearch toy people/
                            facesearch enroll --from people/ && facesearch query people/p003/02.png
    """
    os.umask(0o077)  # faces are biometric data: what is written here is its owner's alone


for command in (
    training.toy, training.prepare, training.train, training.plot,
    people.build_index, people.enroll, asking.query, people.forget, people.list_people, people.info, indexing.index,
    care.rename, care.verify, care.reindex, care.export_gallery, care.import_gallery, care.merge, syncing.sync,
    judging.evaluate, judging.calibrate, auditing.audit, album.scan, album.sort,
    sealing.key, sealing.encrypt, sealing.decrypt,
    serving.serve,
):  # fmt: skip
    main.add_command(command)
