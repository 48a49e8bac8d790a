"""Words to one job, its result to print. Nothing heavy is imported at the top: --help must not wait for torch.

stdout carries results, stderr everything else. Exit codes: 0 done ("unknown" is an answer), 1 could not, 2 wrong usage.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facesearch import __version__, options
from facesearch.errors import FaceSearchError, Interrupted, NotFound
from facesearch.options import FILE, FOLDER
from facesearch.terminal import bar, epochs_bar, report_skips, tell

if TYPE_CHECKING:
    from facesearch.faces.detect import Detector
    from facesearch.model.runtime import Runtime

_STARTED = time.perf_counter()


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


@main.command()
@click.argument("out", type=FOLDER)
@click.option("--people", type=click.IntRange(2, 1000), default=24, show_default=True)
@click.option("--photos", type=click.IntRange(1, 1000), default=16, show_default=True, help="Photos a person.")
@click.option("--seed", type=int, default=0, show_default=True)
def toy(out: Path, people: int, photos: int, seed: int) -> None:
    """Draw a folder of people who do not exist, to try everything on.

    \b
    Example:  facesearch toy people/ --people 24 --photos 16
    """
    from facesearch.faces.toy import draw_people

    count = draw_people(out, people=people, photos=photos, seed=seed)
    click.echo(f"{out}: {count} drawn photos of {people} people")


@main.command()
@click.argument("source", type=FILE)
@click.option("--out", type=FOLDER, required=True, help="The dataset folder to make.")
@click.option(
    "--split", type=click.Choice(["own", "random"]), default="own", show_default=True, help="The source's own, or dealt anew by photo."
)
@click.option("--val", type=click.FloatRange(0, 1), default=0.2, show_default=True, help="Share of val photos in a random split.")
@click.option("--test", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share of test photos in a random split.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--people", type=click.IntRange(min=1), default=None, help="Only the first N people of the source.")
@click.option("--min-photos", type=click.IntRange(min=1), default=1, show_default=True, help="Only people with as many photos.")
@click.option("--several", type=click.Choice(["largest", "skip"]), default="largest", show_default=True, help="Photos with several faces.")
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Threads.  [default: one a core]")
@click.option("--download", is_flag=True, help="Fetch CelebA into SOURCE first, with torchvision.")
@options.detection
@options.strict
def prepare(
    source: Path, out: Path, split: str, val: float, test: float, seed: int, people: int | None, min_photos: int, several: str,
    workers: int | None, download: bool, aligned: bool, detector_model: Path | None, strict: bool,
) -> None:  # fmt: skip
    """Turn SOURCE into a dataset folder of aligned crops that train and build-index read.

    SOURCE is CelebA-500, CelebA's own files, the celebA_ir set, or one folder a person of ordinary photos.

    \b
    Example:  facesearch prepare ../shared/data/celebA_train_500 --out data/celeba500
    """
    from facesearch.faces.datasets import download_celeba, read_source, with_random_split
    from facesearch.jobs.prepare import PrepareConfig
    from facesearch.jobs.prepare import prepare as run

    if val + test > 1:
        raise click.UsageError("--val and --test together are more than 1")
    if download:
        download_celeba(source)
    entries = read_source(source, people=people, min_photos=min_photos)
    if split == "random":
        entries = with_random_split(entries, val=val, test=test, seed=seed)
    needs_detector = not aligned and any(entry.landmarks is None for entry in entries.entries)
    detector = _detector(detector_model) if needs_detector else None
    config = PrepareConfig(out=out, several=several, aligned=aligned, workers=workers or os.cpu_count() or 1)
    with bar("prepare", "photo") as progress:
        result = run(entries, detector, config, progress)
    if result.already_there:
        tell(f"{out} holds exactly this already; nothing was done")
    if result.resumed:
        tell(f"{result.resumed} photos had been done by an earlier run")
    if result.crowded:
        tell(f"{result.crowded} photos show several faces; the largest was taken")
    parts = ", ".join(f"{name} {count}" for name, count in result.splits.items())
    click.echo(f"{out}: {result.photos} photos of {result.people} people ({parts})")
    report_skips(result.skipped, strict)


@main.command()
@click.option("--data", type=FOLDER, multiple=True, help="Prepared dataset; give it again to join several.  [default: data/celeba500]")
@click.option("--recipe", default=None, help="Name in scripts/recipes, or a .toml file.  [default: default]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one setting of the recipe.")
@click.option("--out", type=FOLDER, default=None, help="Folder of the run.  [default: runs/RECIPE-DATE]")
@click.option("--teacher", type=FILE, default=None, help="An .onnx encoder to learn from too (distillation).")
@click.option("--unlabelled", type=FOLDER, multiple=True, help="Prepared dataset whose train photos are learned from the teacher alone.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, with the settings it was begun with.")
@options.device
def train(
    data: tuple[Path, ...], recipe: str | None, settings: tuple[str, ...], out: Path | None, teacher: Path | None,
    unlabelled: tuple[Path, ...], resume: bool, device: str,
) -> None:  # fmt: skip
    """Train an encoder on prepared datasets.

    \b
    Example:  facesearch train --data data/celeba500 --recipe default --out runs/celeba500
              facesearch train --recipe seed-arcface --set epochs=10 --set lr=1e-4
    """
    from facesearch.errors import BadCheckpoint
    from facesearch.faces.table import open_dataset
    from facesearch.jobs.find_weights import POINTER, point_to
    from facesearch.jobs.run_folder import CURVES, config_of_run, load_history
    from facesearch.jobs.train import train as run
    from facesearch.model.device import choose_device
    from facesearch.model.recipe import find_recipe, load_recipe
    from facesearch.report import epoch_line, write_curves

    if resume and out is None:
        raise click.UsageError("--resume needs --out, the folder of the run")
    if out is None:
        out = Path("runs") / f"{Path(recipe or 'default').stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    if teacher is not None:
        settings = (*settings, f"teacher={json.dumps(str(teacher))}")
    asked = load_recipe(find_recipe(recipe or "default")).changed(settings)
    config = config_of_run(out) if resume else asked
    if resume and (recipe or settings) and asked != config:
        raise BadCheckpoint(out, "the run was begun with other settings; leave --recipe and --set out, or begin a new run")
    chosen = choose_device(device)
    if unlabelled and not config.teacher:
        raise click.UsageError("--unlabelled needs --teacher: nothing else can be learned from photos without names")
    datasets = [open_dataset(folder) for folder in data or (_default_data(),)]
    nameless = [open_dataset(folder) for folder in unlabelled]
    tell(f"training on {chosen.words}; data {', '.join(str(d.folder) for d in datasets)}; run {out}")
    with epochs_bar() as (on_step, clear):

        def on_epoch(result: Any, folder: Path) -> None:
            clear()
            tell(epoch_line(result, config.epochs))
            write_curves(load_history(folder), folder / CURVES)

        with bar("teacher", "photo") as on_teacher:
            result = run(
                config, datasets, nameless, chosen, out, resume=resume, on_step=on_step, on_epoch=on_epoch, on_teacher=on_teacher, tell=tell
            )
    if result.already_done:
        tell("this run had finished already")
    point_to(result.best)
    best = result.best_epoch
    tell(f"bare commands now use it ({POINTER})")
    click.echo(f"{result.best}: epoch {best.epoch}, val verification {best.val_tpr:.4f}, val accuracy {best.val_accuracy:.4f}")


@main.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True)
@click.option("--out", type=FILE, default=Path("runs/compared.png"), show_default=True, help="The picture to write.")
def plot(runs: tuple[Path, ...], out: Path) -> None:
    """Compare training RUNS: a table, and their curves in one picture.

    \b
    Example:  facesearch plot runs/a runs/b --out compared.png
    """
    from facesearch.files import make_folder
    from facesearch.jobs.run_folder import load_history
    from facesearch.report import comparison_lines, write_comparison

    histories = {str(run): load_history(run) for run in runs}
    make_folder(out.parent)
    write_comparison(histories, out)
    for line in comparison_lines(histories):
        click.echo(line)
    tell(f"curves: {out}")


@main.command("build-index")
@click.option("--data", type=FOLDER, multiple=True, help="Prepared dataset; may be given again.  [default: data/celeba500]")
@click.option("--split", "splits", multiple=True, help="Only photos of this split; may be given again.  [default: all]")
@options.gallery
@options.encoder
@options.fpir
def build_index(
    data: tuple[Path, ...], splits: tuple[str, ...], gallery: Path, weights: Path | None, preprocess: str, device: str, fpir: float | None
) -> None:
    """Embed every photo of a prepared dataset into the gallery. A re-run adds only what is new.

    \b
    Example:  facesearch build-index --data data/celeba500 --weights runs/celeba500/best.safetensors
    """
    from facesearch.faces.table import open_dataset
    from facesearch.jobs.build import build_index as run
    from facesearch.report import threshold_words

    datasets = [open_dataset(folder) for folder in data or (_default_data(),)]
    runtime = _runtime(weights, preprocess, device)
    with bar("embed", "photo") as progress:
        result = run(datasets, gallery, runtime, splits=splits, fpir=fpir, progress=progress)
    if result.nobody:
        tell(f"{result.nobody} photos name nobody and were passed over")
    speed = f" at {result.img_per_s:.0f} img/s" if result.added else ""
    click.echo(
        f"{gallery}: {result.added} vectors added{speed}, {result.known} known already; {result.faces} vectors of {result.people} people"
    )
    tell(f"threshold: {threshold_words(result.threshold)}")


@main.command()
@click.argument("name", required=False)
@click.argument("photos", type=FILE, nargs=-1)
@click.option("--from", "folder", type=FOLDER, default=None, help="Enroll everybody below this folder: one folder a person.")
@click.option("--largest", is_flag=True, help="In a photo with several faces take the largest.")
@options.gallery
@options.encoder
@options.detection
@options.fpir
@options.strict
def enroll(
    name: str | None, photos: tuple[Path, ...], folder: Path | None, largest: bool, gallery: Path, weights: Path | None, preprocess: str,
    device: str, aligned: bool, detector_model: Path | None, fpir: float | None, strict: bool,
) -> None:  # fmt: skip
    """Add NAME's PHOTOS to the gallery, or everybody in --from. No photo is stored, only its vector.

    \b
    Example:  facesearch enroll "Ada Lovelace" ada1.jpg ada2.jpg
              facesearch enroll --from people/
    """
    from facesearch.faces.photos import walk
    from facesearch.gallery.store import clean_name
    from facesearch.jobs.people import enroll as run
    from facesearch.jobs.people import people_folders
    from facesearch.records import Skipped

    if (folder is None) == (name is None):
        raise click.UsageError("give either NAME PHOTO... or --from FOLDER")
    if name is not None and not photos:
        raise click.UsageError("give at least one photo after the name")
    skipped: list[Skipped] = []
    if folder is not None:
        wanted, skipped = people_folders(folder)
    else:
        person = clean_name(name or "")
        found = [item for photo in photos for item in walk(photo)]
        skipped = [item for item in found if isinstance(item, Skipped)]
        wanted = [(person, item) for item in found if not isinstance(item, Skipped)]
    detector = None if aligned else _detector(detector_model)
    runtime = _runtime(weights, preprocess, device)
    with bar("enroll", "photo") as progress:
        result = run(wanted, gallery, runtime, detector, largest=largest, fpir=fpir, progress=progress)
    for person, count in result.added.items():
        click.echo(f"{person}: {count} photo{'s' if count != 1 else ''} enrolled")
    if result.known:
        tell(f"{result.known} photos were enrolled already")
    report_skips((*skipped, *result.skipped), strict)


@main.command()
@click.argument("photos", type=FILE, nargs=-1, required=True)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many people to list.")
@click.option(
    "--threshold", type=click.FloatRange(-1, 1), default=None, help="Decide by this score instead of the gallery's own threshold."
)
@click.option("--largest", is_flag=True, help="Ask for the largest face of each photo only.")
@click.option("--timing", is_flag=True, help="Say on stderr where the time went.")
@options.as_json
@options.gallery
@options.encoder
@options.detection
@options.strict
def query(
    photos: tuple[Path, ...], top: int, threshold: float | None, largest: bool, timing: bool, as_json: bool, gallery: Path,
    weights: Path | None, preprocess: str, device: str, aligned: bool, detector_model: Path | None, strict: bool,
) -> None:  # fmt: skip
    """Name the people in the gallery nearest to each face in PHOTOS (files or folders), or say "unknown".

    \b
    Example:  facesearch query face.jpg
              facesearch query holiday/ --json --top 3
    """
    from facesearch import report
    from facesearch.gallery.store import Gallery
    from facesearch.jobs.people import Clock
    from facesearch.jobs.people import query as run

    clock = Clock()
    with Gallery.open(gallery) as opened:
        detector = None if aligned else _detector(detector_model)
        runtime = _runtime(weights, preprocess, device)
        clock.add("start", _STARTED)
        result = run(photos, opened, runtime, detector, top=top, largest=largest, threshold=threshold, clock=clock)
    if result.index_built:
        tell(f"the index was made anew: {result.index_built}")
    if as_json:
        click.echo(report.answers_json(result.answers))
    else:
        click.echo("\n".join(line for answer in result.answers for line in report.answer_lines(answer)))
    if timing:
        tell("time: " + ", ".join(f"{stage} {seconds * 1000:.0f} ms" for stage, seconds in clock.seconds.items()))
    report_skips(result.skipped, strict)


@main.command()
@click.argument("name")
@options.gallery
def forget(name: str, gallery: Path) -> None:
    """Erase NAME: all rows and vectors, and the index made from them.

    \b
    Example:  facesearch forget "Ada Lovelace"
    """
    from facesearch.jobs.people import forget as run

    erased = run(name, gallery)
    click.echo(f"{erased} photo{'s' if erased != 1 else ''} forgotten; no vector of them is left in {gallery}")


@main.command("list")
@options.gallery
@options.as_json
def list_people(gallery: Path, as_json: bool) -> None:
    """List everyone enrolled, with the number of photos.

    \b
    Example:  facesearch list --gallery index
    """
    from dataclasses import asdict

    from facesearch import report
    from facesearch.gallery.store import Gallery

    with Gallery.open(gallery) as opened:
        people = opened.people()
    if as_json:
        click.echo(report.as_json([asdict(person) for person in people]))
    elif people:
        click.echo("\n".join(report.people_lines(people)))


@main.command()
@options.gallery
@options.as_json
def info(gallery: Path, as_json: bool) -> None:
    """Describe a gallery: its size, its encoder, its threshold, its index.

    \b
    Example:  facesearch info --json
    """
    from facesearch import report
    from facesearch.jobs.describe import describe

    facts = describe(gallery)
    if as_json:
        click.echo(report.as_json(facts))
    else:
        width = max(map(len, facts))
        click.echo("\n".join(f"{name:<{width}} {value}" for name, value in facts.items()))


@main.command()
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

    dataset = open_dataset(data or _default_data())
    extra = open_dataset(strangers) if strangers.exists() else None
    pairs = open_dataset(ir) if ir.exists() else None
    chosen = find_weights(weights).path
    runtime = _runtime(weights, preprocess, device)
    known = known_vectors(gallery, runtime.encoder_id)
    with bar("embed", "photo") as progress:
        embed = Embedder(runtime, known, progress)
        result = run(dataset, extra, pairs, embed, split=split, weights=chosen, seed=seed, fpir=fpir or DEFAULT_FPIR)
    click.echo(report.evaluation_json(result) if as_json else "\n".join(report.evaluation_lines(result)))
    report.write_report(result, report_folder)
    tell(f"plots and evaluation.json are in {report_folder}")


# ---- what the commands share


def _default_data() -> Path:
    if not options.DEFAULT_DATA.exists():
        hint = f"Make it with: facesearch prepare PATH/celebA_train_500 --out {options.DEFAULT_DATA}   or pass --data FOLDER"
        raise NotFound(options.DEFAULT_DATA, "prepared dataset", hint)
    tell(f"data: {options.DEFAULT_DATA} (the default)")
    return options.DEFAULT_DATA


def _detector(model: Path | None) -> Detector:
    from facesearch.faces.detect import load_detector

    return load_detector(model, tell)


def _runtime(weights: Path | None, preprocess: str, device: str) -> Runtime:
    from facesearch.jobs.find_weights import find_weights
    from facesearch.model.runtime import load_runtime

    chosen = find_weights(weights)
    runtime = load_runtime(chosen.path, device=device, preprocess=preprocess)
    tell(f"encoder: {runtime.words} ({chosen.path}, {chosen.why})")
    return runtime
