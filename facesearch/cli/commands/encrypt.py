"""Galleries that nobody reads without a key: encrypt, decrypt."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch.cli import options
from facesearch.cli.given import gallery_of
from facesearch.cli.options import FILE, GalleryChoice
from facesearch.cli.terminal import say, tell
from facesearch.errors import counted, pasted, shown


@click.command()
@click.option(
    "--new-key",
    type=FILE,
    default=None,
    help="From now on encrypt with the key in this file; where there is no file, a random key is made in it.",
)
@options.gallery
def encrypt(new_key: Path | None, gallery: GalleryChoice) -> None:
    """Encrypt a gallery, or exchange its key, and prove that nothing of before is left in its files.

    A gallery that is made with --key-file (build-index, enroll, import) is encrypted from the beginning; for
    that, make a key with --new-key where there is no gallery yet. Interrupted, the same command goes on.

    \b
    Example:  facesearch encrypt --new-key ~/.facesearch.key
              facesearch encrypt --key-file old.key --new-key new.key
              facesearch enroll --from people/ --gallery secret --key-file ~/.facesearch.key
    """
    opened = gallery_of(gallery, changes=True)
    if new_key is not None and not new_key.exists():
        from facesearch.api.keys import new_key_file

        new_key_file(new_key)
        say(f"{shown(new_key)}: a new key, which only you can read")
        tell(
            "keep a copy of it elsewhere: without it nobody can read what is encrypted with it, you included"
        )
        if not opened.exists:
            tell(f"no gallery is in {shown(gallery.folder)} yet; make one with --key-file {pasted(new_key)}")
            return
    result = opened.encrypt(new_key)
    if result.receipt is None:
        say(f"{shown(gallery.folder)}: encrypted with this key already, {counted(result.faces, 'face')}")
        return
    say(
        f"{shown(gallery.folder)}: {counted(result.faces, 'face')} encrypted; no byte of what lay"
        " there before is left"
    )
    tell(f"receipt: {shown(result.path)}")
    tell(
        "copies, exports and backups that were made before are as they were: delete them, or encrypt them too"
    )


@click.command()
@options.gallery
def decrypt(gallery: GalleryChoice) -> None:
    """Write an encrypted gallery in plain again.

    \b
    Example:  facesearch decrypt --key-file ~/.facesearch.key
    """
    result = gallery_of(gallery, changes=True).decrypt()
    done = f"{counted(result.faces, 'face')} decrypted"
    say(f"{shown(gallery.folder)}: {'not encrypted, nothing was done' if result.already else done}")
    tell("anybody who can read its files can now recognise these people")
