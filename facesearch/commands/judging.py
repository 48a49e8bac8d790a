"""How good is it, and can it be trusted: evaluate, calibrate."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch import options
from facesearch.commands.given import default_data, detector_for, runtime_for
from facesearch.options import FOLDER
from facesearch.terminal import bar, report_skips, tell


@click.command()
@click.option("--data", type=FOLDER, default=None, help="Prepared dataset with the splits train and val.  [default: data/celeba500]")
@click.option("--split", type=click.Choice(["val", "test"]), default="val", show_default=True, help="Whose photos are the probes.")
@click.option(
    "--strangers", type=FOLDER, default=Path("data/celeba_extra"), show_default=True, help="Prepared dataset with the split open."
)
@click.option("--ir", type=FOLDER, default=Path("data/celeba_ir"), show_default=True, help="Prepared identification-rate set.")
@click.option("--report", "report_folder", type=FOLDER, default=Path("report"), show_default=True, help="Folder for plots and JSON.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the enrolled strangers and the bootstrap.")
@options.as_json
@options.gallery
@options.encoder
@options.fpir
def evaluate(
    data: Path | None, split: str, strangers: Path, ir: Path, report_folder: Path, seed: int, as_json: bool, gallery: Path,
    weights: Path | None, preprocess: str, device: str, fpir: float | None,
) -> None:  # fmt: skip
    """Measure retrieval on a split, against strangers, and on the identification-rate pairs.

    \b
    Example:  facesearch evaluate --data data/celeba500 --weights runs/celeba500/best.safetensors
    """
    from facesearch import report
    from facesearch.faces.table import open_dataset
    from facesearch.gallery.calibration import DEFAULT_FPIR
    from facesearch.jobs.evaluate import Embedder
    from facesearch.jobs.evaluate import evaluate as run
    from facesearch.jobs.find_weights import find_weights
    from facesearch.jobs.vectors import known_vectors

    dataset = open_dataset(data or default_data())
    extra = open_dataset(strangers) if strangers.exists() else None
    pairs = open_dataset(ir) if ir.exists() else None
    chosen = find_weights(weights).path
    runtime = runtime_for(weights, preprocess, device)
    known = known_vectors(gallery, runtime.encoder_id)
    with bar("embed", "photo") as progress:
        embed = Embedder(runtime, known, progress)
        result = run(dataset, extra, pairs, embed, split=split, weights=chosen, seed=seed, fpir=fpir or DEFAULT_FPIR)
    click.echo(report.evaluation_json(result) if as_json else "\n".join(report.evaluation_lines(result)))
    report.write_report(result, report_folder)
    tell(f"plots and evaluation.json are in {report_folder}")


@click.command()
@click.option("--strangers", type=FOLDER, default=None, help="People who are not enrolled: a prepared dataset, or one folder a person.")
@click.option("--split", default="open", show_default=True, help="Of a prepared dataset only this split; '' for all.")
@click.option(
    "--fpir", type=click.FloatRange(1e-6, 0.5), default=0.01, show_default=True, help="Share of their searches that may get a name."
)
@click.option("--largest", is_flag=True, help="In a photo with several faces take the largest.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@options.as_json
@options.gallery
@options.encoder
@options.detection
@options.strict
def calibrate(
    strangers: Path | None, split: str, fpir: float, largest: bool, seed: int, as_json: bool, gallery: Path, weights: Path | None,
    preprocess: str, device: str, aligned: bool, detector_model: Path | None, strict: bool,
) -> None:  # fmt: skip
    """Set the gallery's threshold for a rate of strangers named, at its size.

    Without --strangers its own people play them, each searched among the others: an extrapolation, and it is called so.

    \b
    Example:  facesearch calibrate --fpir 0.01 --strangers data/celeba_extra
    """
    from dataclasses import asdict

    from facesearch import report
    from facesearch.faces.table import MANIFEST, open_dataset
    from facesearch.gallery.store import Gallery
    from facesearch.jobs import calibrate as job
    from facesearch.records import Skipped

    left_out: tuple[Skipped, ...] = ()
    with Gallery.open(gallery) as opened:
        before = opened.threshold()
        if strangers is None:
            tell("no --strangers given: the gallery's own people play them, which is an extrapolation")
            threshold = job.calibrate_within(opened, fpir, seed=seed)
        else:
            prepared = (strangers / MANIFEST).is_file()
            detector = None if aligned or prepared else detector_for(detector_model)
            runtime = runtime_for(weights, preprocess, device)
            opened.require_encoder(runtime.encoder_id)
            with bar("embed", "photo") as progress:
                if prepared:
                    found = job.strangers_of(open_dataset(strangers), split, opened, runtime, progress)
                else:
                    found = job.strangers_in(strangers, opened, runtime, detector, largest=largest, progress=progress)
            left_out = found.left_out
            threshold = job.calibrate(opened, found, fpir, seed=seed)
    click.echo(report.as_json(asdict(threshold)) if as_json else "\n".join(report.calibration_lines(gallery, threshold, before)))
    report_skips(left_out, strict)
