"""How good is it, and can it be trusted: evaluate, calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch import options
from facesearch.commands.given import announced, default_data, detector_of, existing, gallery_of, key_of
from facesearch.options import DATASET, FILE, FOLDER, DetectionChoice, EncoderChoice, GalleryChoice
from facesearch.terminal import bar, report_skips, tell

if TYPE_CHECKING:  # records needs numpy, which help does without
    from facesearch.records import ScoredBy


@click.command()
@click.option("--data", type=DATASET, default=None, help="Prepared dataset with the splits train and val.  [default: data/celeba500]")
@click.option("--split", type=click.Choice(["val", "test"]), default="val", show_default=True, help="Whose photos are the probes.")
@click.option(
    "--strangers", type=FOLDER, default=Path("data/celeba_extra"), show_default=True, help="Prepared dataset with the split open."
)
@click.option("--ir", type=FOLDER, default=Path("data/celeba_ir"), show_default=True, help="Prepared identification-rate set.")
@click.option("--pairs", type=FILE, default=None, help="A list of pairs as LFW's pairs.txt, beside --pairs-photos.")
@click.option("--pairs-photos", type=FOLDER, default=None, help="Their photos, one folder a person: Name/Name_0001.jpg.")
@click.option("--only", type=click.Choice(["closed", "open", "ir", "pairs"]), multiple=True, help="Only this section; may be given again.")
@click.option(
    "--report", "report_folder", type=FOLDER, default=Path("report"), show_default=True, help="Folder for the page, the plots and the JSON."
)
@click.option("--with-photos", is_flag=True, help="Put the crops of the worst errors on the page: it then holds faces.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the enrolled strangers and the bootstrap.")
@options.as_json
@options.gallery
@options.encoder
@options.detection
@options.fpir
def evaluate(
    data: Path | None, split: str, strangers: Path, ir: Path, pairs: Path | None, pairs_photos: Path | None, only: tuple[str, ...],
    report_folder: Path, with_photos: bool, seed: int, as_json: bool, gallery: GalleryChoice, encoder: EncoderChoice,
    detection: DetectionChoice, fpir: float | None,
) -> None:  # fmt: skip
    """Measure retrieval on a split, against strangers, on the identification-rate pairs and on LFW's pairs.

    What lacks its data is left out, with the reason. --report gets index.html (one file, to be opened in a browser),
    evaluation.json and the plots. --aligned and --detector-model are about --pairs-photos.

    \b
    Example:  facesearch evaluate --data data/celeba500 --weights runs/celeba500/best.safetensors
              facesearch evaluate --only pairs --pairs lfw/pairs.txt --pairs-photos lfw/images
    """
    from facesearch import report
    from facesearch.faces.pairs import read_pairs
    from facesearch.faces.table import open_dataset
    from facesearch.gallery.calibration import DEFAULT_FPIR
    from facesearch.jobs.evaluate import SECTIONS, Embedder
    from facesearch.jobs.evaluate import evaluate as run
    from facesearch.jobs.pairs import PairTrial
    from facesearch.jobs.vectors import known_vectors
    from facesearch.report_json import evaluation_json
    from facesearch.report_page import PAGE, write_report

    if (pairs is None) != (pairs_photos is None):
        raise click.UsageError("--pairs and --pairs-photos go together: the list, and the folder its photos lie in")
    sections = only or tuple(SECTIONS)
    trial = None
    if pairs is not None and pairs_photos is not None and "pairs" in sections:
        trial = PairTrial(read_pairs(pairs), pairs_photos, detector_of(detection).own)
    dataset = None
    if data is not None:
        dataset = open_dataset(data)
    elif not {"closed", "open"}.isdisjoint(sections):
        elsewhere = trial is not None or ("ir" in sections and ir.exists())
        dataset = open_dataset(default_data()) if options.DEFAULT_DATA.exists() or not elsewhere else None
    extra = open_dataset(strangers) if "open" in sections and strangers.exists() else None
    people = open_dataset(ir) if "ir" in sections and ir.exists() else None
    own = announced(gallery_of(gallery, encoder))
    runtime = own.runtime
    known = known_vectors(gallery.folder, runtime.encoder_id, key=key_of(gallery))
    with bar("embed", "photo") as progress:
        embed = Embedder(runtime, known, progress)
        result = run(
            dataset, extra, people, embed, split=split, weights=own.file, seed=seed, fpir=fpir or DEFAULT_FPIR, pairs=trial,
            with_photos=with_photos, sections=sections,
        )  # fmt: skip
    click.echo(evaluation_json(result) if as_json else "\n".join(report.evaluation_lines(result)))
    write_report(result, report_folder)
    if result.pairs is not None:
        report_skips(result.pairs.left_out, strict=False)
    faces = sum(error.crops is not None for error in result.errors)
    if faces:
        tell(f"warning: {report_folder / PAGE} holds {2 * faces} face crops, which are biometric data; only you can read it")
    plots = " and plots" if report.can_plot() else ""
    tell(f"{PAGE}, evaluation.json{plots} are in {report_folder}")
    if not plots:
        tell("plots as PNG files need matplotlib: pip install 'facesearch[plots]'")


@click.command()
@click.option("--strangers", type=FOLDER, default=None, help="People who are not enrolled: a prepared dataset, or one folder a person.")
@click.option("--split", default="open", show_default=True, help="Of a prepared dataset only this split; '' for all.")
@click.option(
    "--fpir", type=options.Number(1e-6, 0.5), default=0.01, show_default=True, help="Share of their searches that may get a name."
)
@click.option(
    "--by",
    type=click.Choice(["best-photo", "mean-template"]),
    default=None,
    help="What a person's score is from now on: the best cosine over their photos, or that with the mean of them, which misses fewer "
    "people who have several photos.  [default: as it was, at first best-photo]",
)
@click.option("--largest", is_flag=True, help="In a photo with several faces take the largest.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@options.as_json
@options.gallery
@options.encoder
@options.detection
@options.strict
def calibrate(
    strangers: Path | None, split: str, fpir: float, by: ScoredBy | None, largest: bool, seed: int, as_json: bool, gallery: GalleryChoice,
    encoder: EncoderChoice, detection: DetectionChoice, strict: bool,
) -> None:  # fmt: skip
    """Set the gallery's threshold for a rate of strangers named, at its size.

    Without --strangers its own people play them, each searched among the others: an extrapolation, and it is called so.

    \b
    Example:  facesearch calibrate --fpir 0.01 --strangers data/celeba_extra
              facesearch calibrate --fpir 0.01 --strangers data/celeba_extra --by mean-template
    """
    from facesearch import report
    from facesearch.records import Skipped

    existing(gallery)
    opened = gallery_of(gallery, encoder, detection)
    before = opened.threshold()
    if strangers is None:
        tell("no --strangers given: the gallery's own people play them, which is an extrapolation")
    else:
        announced(opened)
    with bar("calibrate", "photo") as progress:
        done = opened.calibrate(strangers, fpir=fpir, by=by, largest=largest, split=split, seed=seed, progress=progress)
    threshold = done.threshold
    click.echo(report.as_json(done) if as_json else "\n".join(report.calibration_lines(gallery.folder, threshold, before)))
    report_skips([Skipped(Path(item.photo), item.reason) for item in done.skipped], strict)
