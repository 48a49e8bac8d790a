"""How good is it, and can it be trusted: evaluate."""

from __future__ import annotations

from pathlib import Path

import click

from facesearch import options
from facesearch.commands.given import default_data, runtime_for
from facesearch.options import FOLDER
from facesearch.terminal import bar, tell


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
