"""A prepared dataset into a gallery."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from facesearch.api.processes import together
from facesearch.cli import options
from facesearch.cli.given import announced, default_data, gallery_of
from facesearch.cli.options import DATASET, EncoderChoice, GalleryChoice
from facesearch.cli.terminal import bar, say, tell
from facesearch.errors import counted, shown


@click.command("build-index")
@click.option(
    "--data",
    type=DATASET,
    multiple=True,
    help="Prepared dataset; may be given again.  [default: data/celeba500]",
)
@click.option(
    "--split", "splits", multiple=True, help="Only photos of this split; may be given again.  [default: all]"
)
@options.gallery
@options.encoder
@options.fpir
@options.index_choice
def build_index(
    data: tuple[Path, ...],
    splits: tuple[str, ...],
    gallery: GalleryChoice,
    encoder: EncoderChoice,
    fpir: float | None,
    index: str | None,
) -> None:
    """Embed every photo of a prepared dataset into the gallery. A re-run adds only what is new.

    Under torchrun all its processes share the work.

    \b
    Example:  facesearch build-index --data data/celeba500 --weights runs/celeba500/best.safetensors
              torchrun --nproc-per-node 8 -m facesearch build-index --data data/celeba
    """
    from facesearch.api.datasets import open_datasets
    from facesearch.report.lines import threshold_words

    with together(encoder.device) as (ranks, own):
        datasets = open_datasets(data or (default_data(),))
        opened = gallery_of(gallery, replace(encoder, device=own), changes=True)
        announced(opened)
        with bar("embed", "photo") as progress:
            result = opened.build(
                datasets, splits=splits, fpir=fpir, progress=progress, ranks=ranks, index=index
            )
        if result.nobody:
            tell(
                f"{counted(result.nobody, 'photo names', 'photos name')} nobody and"
                f" {'was' if result.nobody == 1 else 'were'} passed over"
            )
        speed = f" at {result.img_per_s:.0f} img/s" if result.added else ""
        new = f"{counted(result.added, 'vector')} added{speed}, {result.known} known already"
        say(
            f"{shown(gallery.folder)}: {new}; {counted(result.faces, 'vector')} of"
            f" {counted(result.people, 'person')}"
        )
        tell(f"threshold: {threshold_words(result.threshold)}")
