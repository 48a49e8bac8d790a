"""How good is it: measure an encoder and a gallery's answers."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import options
from facesearch.cli.given import announced, default_data, detector_of, gallery_of
from facesearch.cli.options import DATASET, FILE, FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.cli.terminal import bar, report_skips, say, tell
from facesearch.errors import shown

if TYPE_CHECKING:
    from facesearch.api.datasets import Dataset
    from facesearch.api.evaluation import Evaluation


@click.command()
@click.option(
    "--data",
    type=DATASET,
    default=None,
    help="Prepared dataset with the splits train and val.  [default: data/celeba500]",
)
@click.option(
    "--split",
    type=click.Choice(["val", "test"]),
    default="val",
    show_default=True,
    help="Whose photos are the probes.",
)
@click.option(
    "--strangers",
    type=FOLDER,
    default=Path("data/celeba_extra"),
    show_default=True,
    help="Prepared dataset with the split open.",
)
@click.option(
    "--ir",
    type=FOLDER,
    default=Path("data/celeba_ir"),
    show_default=True,
    help="Prepared identification-rate set.",
)
@click.option(
    "--pairs", type=FILE, default=None, help="A list of pairs as LFW's pairs.txt, beside --pairs-photos."
)
@click.option(
    "--pairs-photos", type=FOLDER, default=None, help="Their photos, one folder a person: Name/Name_0001.jpg."
)
@click.option(
    "--only",
    type=click.Choice(["closed", "open", "gallery", "ir", "pairs"]),
    multiple=True,
    help="Only this section; may be given again.",
)
@click.option(
    "--report",
    "report_folder",
    type=FOLDER,
    default=Path("report"),
    show_default=True,
    help="Folder for the page, the charts and the JSON.",
)
@click.option(
    "--with-photos", is_flag=True, help="Put the crops of the worst errors on the page: it then holds faces."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Draws the enrolled strangers and the bootstrap."
)
@options.as_json
@options.gallery
@options.encoder
@options.detection
@options.fpir
def evaluate(
    data: Path | None,
    split: str,
    strangers: Path,
    ir: Path,
    pairs: Path | None,
    pairs_photos: Path | None,
    only: tuple[str, ...],
    report_folder: Path,
    with_photos: bool,
    seed: int,
    as_json: bool,
    gallery: GalleryChoice,
    encoder: EncoderChoice,
    detection: DetectionChoice,
    fpir: float | None,
) -> None:
    """Measure retrieval on a split, against strangers, on the identification-rate pairs and on LFW's pairs.

    What lacks its data is left out, with the reason. --report gets index.html (one file, to be opened in a
    browser), evaluation.json and the charts. --aligned and --detector-model are about --pairs-photos.

    \b
    Example:  facesearch evaluate --data data/celeba500 --weights runs/celeba500/best.safetensors
              facesearch evaluate --only pairs --pairs lfw/pairs.txt --pairs-photos lfw/images
    """
    from facesearch.api.datasets import open_dataset
    from facesearch.api.evaluation import SECTIONS
    from facesearch.api.evaluation import evaluate as run
    from facesearch.report import lines as report
    from facesearch.report.evaluation import write_report
    from facesearch.report.evaluation_json import evaluation_json

    if (pairs is None) != (pairs_photos is None):
        raise click.UsageError(
            "--pairs and --pairs-photos go together: the list, and the folder its photos lie in"
        )
    sections = only or SECTIONS
    listed = (
        None if pairs is None or pairs_photos is None or "pairs" not in sections else (pairs, pairs_photos)
    )
    others = listed is not None or ("ir" in sections and ir.exists())
    dataset = _dataset(data, sections, others)
    opened = gallery_of(gallery, encoder)
    announced(opened)
    with bar("embed", "photo") as progress:
        result = run(
            opened,
            dataset,
            split=split,
            strangers=open_dataset(strangers)
            if not {"open", "gallery"}.isdisjoint(sections) and strangers.exists()
            else None,
            ir=open_dataset(ir) if not {"ir", "gallery"}.isdisjoint(sections) and ir.exists() else None,
            pairs=listed,
            detector=detector_of(detection) if listed else None,
            sections=sections,
            fpir=fpir,
            seed=seed,
            with_photos=with_photos,
            progress=progress,
        )
    say(evaluation_json(result) if as_json else "\n".join(report.evaluation_lines(result)))
    write_report(result, report_folder)
    _say(result, report_folder)


def _dataset(data: Path | None, sections: Collection[str], others: bool) -> Dataset | None:
    """The dataset of --data, or the default one where a section needs it; others: whether another section has
    its data, so that it may be missing.
    """
    from facesearch.api.datasets import open_dataset

    if data is not None:
        return open_dataset(data)
    if {"closed", "open", "gallery"}.isdisjoint(sections) or (others and not options.DEFAULT_DATA.exists()):
        return None
    return open_dataset(default_data())


def _say(result: Evaluation, folder: Path) -> None:
    """What was left out, and where the report lies."""
    from facesearch.report.evaluation import PAGE

    if result.pairs is not None:
        report_skips(result.pairs.left_out, whole="evaluation.json names them all")
    faces = sum(error.crops is not None for error in result.errors)
    if faces:
        tell(
            f"warning: {folder / PAGE} holds {2 * faces} face crops, which are biometric data; only you can"
            " read it"
        )
    tell(f"{PAGE}, evaluation.json and charts are in {shown(folder)}")
