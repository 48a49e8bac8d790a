"""A whole gallery into one file, or an encoder into an .onnx file."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch.cli import options
from facesearch.cli.given import gallery_of
from facesearch.cli.options import GalleryChoice
from facesearch.cli.terminal import say, tell
from facesearch.errors import counted, shown


@click.command("export")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--onnx",
    is_flag=True,
    help="TARGET is a training run or an encoder's file: write its network as a standard .onnx beside it.",
)
@options.gallery
def export_gallery(target: Path, onnx: bool, gallery: GalleryChoice) -> None:
    """Write the whole gallery into the file TARGET: vectors, names, threshold. No photo is in it, for none is
    in the gallery.

    With --onnx write an encoder for other programs instead, checked against torch.

    \b
    Example:  facesearch export people.facesearch
              facesearch export runs/mine --onnx
    """
    if onnx:
        _export_encoder(target)
        return
    result = gallery_of(gallery).export(target)
    say(
        f"{target}: {counted(result.faces, 'face')} of {counted(result.people, 'person')},"
        f" {result.bytes} bytes, sha256"
        f" {result.sha256}"
    )
    tell("it holds biometric data: anybody who has it can recognise these people")


def _export_encoder(target: Path) -> None:
    from facesearch.api.runs import export_onnx

    made = export_onnx(target)
    size = "x".join(map(str, made.takes[2:]))
    say(f"{shown(made.path)}: {made.bytes} bytes; takes pixels [n, 3, {size}], gives [n, {made.gives[1]}]")
    lowest = f"lowest cosine to torch {made.lowest_cosine:.6f}"
    tell(f"pixels are RGB, less ImageNet's mean, over its spread; {lowest}")
