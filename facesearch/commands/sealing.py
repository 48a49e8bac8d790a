"""Galleries that nobody reads without a key: key, encrypt, decrypt."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch import options
from facesearch.commands.given import gallery_of
from facesearch.options import FILE, GalleryChoice
from facesearch.terminal import tell


@click.command()
@click.argument("file", type=FILE)
def key(file: Path) -> None:
    """Make a random key in FILE, for encrypted galleries. Only you can read that file; `openssl rand -hex 32` makes the same.

    \b
    Example:  facesearch key ~/.facesearch.key
              facesearch enroll --from people/ --gallery secret --key-file ~/.facesearch.key
    """
    from facesearch.gallery.keys import new_key_file

    new_key_file(file)
    click.echo(f"{file}: a new key, for your eyes only")
    tell("keep a copy of it elsewhere: without it nobody can read what is encrypted with it, you included")


@click.command()
@click.option("--new-key-file", type=FILE, default=None, help="Exchange the gallery's key for this one.")
@options.gallery
def encrypt(new_key_file: Path | None, gallery: GalleryChoice) -> None:
    """Encrypt a gallery that lies there in plain, or exchange its key, and prove that nothing of before is left in its files.

    A gallery that is made with --key-file (build-index, enroll, import) is encrypted from the beginning.
    Interrupted, the same command goes on.

    \b
    Example:  facesearch encrypt --key-file ~/.facesearch.key
              facesearch encrypt --key-file old.key --new-key-file new.key
    """
    result = gallery_of(gallery).encrypt(new_key_file)
    if result.receipt is None:
        click.echo(f"{gallery.folder}: encrypted with this key already, {result.faces} faces")
        return
    click.echo(f"{gallery.folder}: {result.faces} faces encrypted; no byte of what lay there before is left")
    tell(f"receipt: {result.path}")
    tell("copies, exports and backups that were made before are as they were: delete them, or encrypt them too")


@click.command()
@options.gallery
def decrypt(gallery: GalleryChoice) -> None:
    """Write an encrypted gallery in plain again.

    \b
    Example:  facesearch decrypt --key-file ~/.facesearch.key
    """
    result = gallery_of(gallery).decrypt()
    click.echo(f"{gallery.folder}: {'not encrypted, nothing was done' if result.already else f'{result.faces} faces decrypted'}")
    tell("anybody who can read its files can now recognise these people")
