"""Put a finished run into the package: weights in half precision, their card, and the gallery of CelebA-500
made with them.

    .venv/bin/python scripts/ship.py runs/distil --teacher ../shared/models/mobilefacenet.onnx --test
    .venv/bin/python scripts/ship.py runs/distil --teacher ../shared/models/mobilefacenet.onnx --last --test
        its last epoch, not its best

Writes facesearch/weights/facesearch-r34.{safetensors,json}, facesearch/weights/MODEL_CARD.md,
index/gallery.sqlite and scripts/results/shipped/. Every row is measured here, in one go: the shipped
half-precision weights, the run's own in float32, and the teacher. Without --test the test split stays
unseen; the shipped card needs it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from benching import commit, machine
from tqdm import tqdm

from facesearch.datasets.table import Dataset, open_dataset
from facesearch.encoder.checkpoint import load_encoder, save_encoder
from facesearch.encoder.dataset_vectors import dataset_lengths
from facesearch.encoder.runtime import Runtime, load_runtime
from facesearch.encoder.weights import BEST, SHIPPED
from facesearch.evaluation.evaluate import evaluate
from facesearch.evaluation.given import Embedder
from facesearch.evaluation.results import Evaluation
from facesearch.files import make_folder, replace_file, sha256_of
from facesearch.gallery.build import build_index
from facesearch.gallery.calibrate import calibrate, strangers_of
from facesearch.gallery.index.faiss_index import refresh
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.metrics.retrieval import closed_set
from facesearch.metrics.verification import impostor_table, pair_scores, roc
from facesearch.report.evaluation import write_report
from facesearch.report.evaluation_json import evaluation_json
from facesearch.training.run_folder import STATE
from facesearch.training.state import as_evaluated, part_of, read_state

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "scripts" / "results" / "shipped"
TEACHER_LICENCE = "MIT, by its publisher; trained by others on millions of faces"
DATA_LICENCE = "CelebA: non-commercial research only"
MOST_BYTES = 45_000_000
MISSED = "FNIR at FPIR 1.0%"
LEAST_GAIN = 0.95
"""Lengths are told with an encoder when without the 5 % shortest at most so much of what is missed is left."""
LENGTH_SHARES = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9, 1.0)


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--teacher", type=click.Path(path_type=Path, exists=True), required=True)
@click.option(
    "--test",
    is_flag=True,
    help="Also measure on the test split. Once, when nothing is to be chosen any more.",
)
@click.option(
    "--last",
    is_flag=True,
    help="Ship what the run's last finished epoch left, not its best epoch by verification on val.",
)
@click.option("--seed", type=int, default=0)
def ship(run: Path, teacher: Path, test: bool, last: bool, seed: int) -> None:
    """Ship RUN's best encoder."""
    os.umask(0o022)  # these files are for everybody
    data, extra, ir = (
        open_dataset(ROOT / "data" / name) for name in ("celeba500", "celeba_extra", "celeba_ir")
    )
    float32 = last_encoder(run, data) if last else run / BEST
    encoder, meta = load_encoder(float32)
    notes = public_notes(meta["notes"], teacher)
    for folder in (SHIPPED.parent, RESULTS):
        make_folder(folder)
    encoder_id = save_encoder(SHIPPED, encoder, notes, half=True)
    if SHIPPED.stat().st_size > MOST_BYTES:
        raise click.ClickException(f"{SHIPPED} takes {SHIPPED.stat().st_size} bytes, more than {MOST_BYTES}")
    rows = {"shipped": SHIPPED, "float32": float32, "teacher": teacher}
    figures: dict[str, dict[str, list[dict[str, Any]]]] = {}
    runtimes: dict[str, Runtime] = {}
    for name, weights in rows.items():
        runtimes[name] = load_runtime(weights)
        for split in ("val", "test") if test else ("val",):
            result = measured(data, extra, ir, runtimes[name], split, weights, seed)
            replace_file(RESULTS / f"{name}-{split}.json", (evaluation_json(result) + "\n").encode())
            figures.setdefault(name, {})[split] = [asdict(figure) for figure in result.figures]
            if name == "shipped" and split == "val":
                write_report(result, RESULTS)
            main = {f.name: f.rate.value for f in result.figures}
            click.echo(
                f"{name:8} {split:5} rank-1 {main['rank-1']:.4f}  TPR@0.05 {main['TPR at FPR 0.05']:.4f}  "
                f"FNIR@1% {main['FNIR at FPIR 1.0%']:.4f}"
            )
    notes |= lengths_that_sort(figures["shipped"]["val"], extra, runtimes["shipped"])
    save_encoder(SHIPPED, encoder, notes, half=True)
    card = {
        "name": SHIPPED.stem,
        "encoder_id": encoder_id,
        "weights_sha256": sha256_of(SHIPPED),
        "weights_bytes": SHIPPED.stat().st_size,
        "notes": notes,
        "half_precision": half_precision(data, runtimes["shipped"], runtimes["float32"]),
        "people": per_person(data, runtimes["shipped"], "test" if test else "val"),
        "metrics": figures,
        "seed": seed,
        "machine": machine(),
        "commit": commit(),
        "licence": {
            "data": DATA_LICENCE,
            "teacher": TEACHER_LICENCE,
            "weights": "non-commercial research, as the data",
        },
    }
    replace_file(SHIPPED.with_suffix(".json"), (json.dumps(card, indent=1, default=float) + "\n").encode())
    index = ROOT / "index"
    for old in [*index.glob("gallery.sqlite*"), *index.glob("vectors*")]:
        old.unlink()
    build_index([data], index, runtimes["shipped"], splits=(), fpir=None, progress=bar())
    with Store.open(index) as gallery:
        strangers = strangers_of(extra, "open", gallery, runtimes["shipped"], bar())
        click.echo(f"threshold {calibrate(gallery, strangers, 0.01, seed=seed, progress=bar()).words()}")
        refresh(gallery, "it is shipped")
        gallery.eraser.cut_log()
        own = evaluate(
            data,
            extra,
            ir,
            Embedder(runtimes["shipped"], {}, bar()),
            split="val",
            weights=SHIPPED,
            seed=seed,
            fpir=0.01,
            sections=["gallery"],
            gallery=gallery,
        )
        card["gallery"] = {"faces": len(gallery), "people": len(gallery.faces.people())}
        assert own.own is not None
        parts = {"FNIR of enrolled": "val", "FPIR of further": "query"}
        card["gallery"] |= {
            "own": asdict(own.own),
            "measured": [
                {"split": next((part for name, part in parts.items() if f.name.startswith(name)), "open")}
                | asdict(f)
                for f in own.figures
            ],
        }
    replace_file(SHIPPED.with_suffix(".json"), (json.dumps(card, indent=1, default=float) + "\n").encode())
    replace_file(SHIPPED.with_name("MODEL_CARD.md"), model_card(card).encode())
    for path in (SHIPPED, SHIPPED.with_suffix(".json"), SHIPPED.with_name("MODEL_CARD.md"), index / FILE):
        path.chmod(0o644)
        click.echo(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


def last_encoder(run: Path, data: Dataset) -> Path:
    """Write the network as the run's last finished epoch left it, averaged where the recipe says so, with its
    own table of impostors.
    """
    tensors, state = read_state(run / STATE)
    if state["step"]:
        raise click.ClickException(
            f"{run / STATE} stands within an epoch: resume the run to the epoch's end first"
        )
    encoder, meta = load_encoder(run / BEST)
    encoder.load_state_dict(part_of(as_evaluated(tensors), "encoder."))
    notes, out, rows = (
        meta["notes"] | {"epoch": state["history"][-1]},
        run / "last-encoder.safetensors",
        data.where("val"),
    )
    save_encoder(out, encoder, notes)
    curve = roc(*pair_scores(Embedder(load_runtime(out), {}, bar())(data, rows), data.people[rows]))
    save_encoder(out, encoder, notes | {"impostors": impostor_table(curve, len(rows))})
    return out


def model_card(card: dict[str, Any]) -> str:
    """The card for people, in the headings of Mitchell et al. 2019 (arXiv:1810.03993)."""
    recipe, people, half, data = (
        card["notes"]["recipe"],
        card["people"],
        card["half_precision"],
        card["notes"],
    )
    splits = list(card["metrics"]["shipped"])

    def cell(row: str, split: str, name: str) -> str:
        rate = next((f["rate"] for f in card["metrics"][row][split] if f["name"] == name), None)
        return "–" if rate is None else f"{rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]"

    names = [("rank-1", split) for split in splits] + [
        ("MAP@R", "val"),
        ("TPR at FPR 0.05", "val"),
        ("TPR at FPR 0.01", "val"),
    ]
    names += [
        ("rank-1 of mated searches", "val"),
        ("FNIR at FPIR 10.0%", "val"),
        ("FNIR at FPIR 1.0%", "val"),
    ]
    rows = "\n".join(
        f"| {name}{f', {split}' if name == 'rank-1' else ''} | {cell('shipped', split, name)} | {cell('float32', split, name)} | "
        f"{cell('teacher', split, name)} |"
        for name, split in names
    )
    spread = people["rank1_quantiles"]
    chosen = (
        "The epoch was chosen by verification on val."
        if card["notes"]["epoch"]["best"]
        else "It is that run's last epoch, not its best by verification on val."
    )
    enrolled = "; ".join(
        f"{k} photos: {v['rank1']:.3f} over {v['people']} people"
        for k, v in people["rank1_by_enrolled_photos"].items()
    )
    return f"""# Model card: {card["name"]}

A face encoder: ResNet34 of torchvision, its last layer replaced by one linear layer to {recipe["embedding_size"]} numbers. Input: aligned RGB
crops of 112 x 112 pixels (similarity transform from 5 landmarks), seen at {recipe["size_px"]} x {recipe["size_px"]}. Output: a vector of length 1, the mean over the crop and its mirror image; two
photos are compared by cosine. Half-precision safetensors, {card["weights_bytes"] / 1e6:.1f} MB, id `{card["encoder_id"][:16]}`. Everything here is
in `{card["name"]}.json` too, written by `scripts/ship.py`.

## Intended use
Research, teaching, and trying facesearch out: searching a collection of photographs of people who agreed to it, or who are studied under terms
that allow it. A score is a hint for a person who looks at the photos.

## Not to be used for
Surveillance, policing, access control, or any decision about a person; identifying people who did not agree to it; inferring traits of people;
anything commercial (the training photos forbid it). Above its promised error rate it names strangers: see the figures.

## Training
- Data: {data["photos"]} photos of {data["classes"]} people: the train split of CelebA-500 and the 300 `train` people of a further CelebA selection.
  CelebA shows celebrities, mostly young, light-skinned and posing; its licence allows non-commercial research only, and so do these weights.
- Teacher: `{data["teacher"]["file"]}` (SHA-256 `{data["teacher"]["sha256"][:16]}…`), {data["teacher"]["licence"]}. The encoder was taught to foretell
  its vectors on the training photos and on mixtures of them, so it inherits whatever that model was trained on, which is not known here.
- Recipe: `scripts/recipes/distil.toml` from random numbers, 46 epochs; then `distil-2.toml` from its last state, 14 epochs; then
  `distil-3.toml` from that encoder, 12 of 14 epochs; then `distil-4.toml` from that one, 52 of 54 epochs; then `distil-5.toml` from all of that
  run, {data["epoch"]["epoch"]} of {recipe["epochs"]} epochs; seed {recipe["seed"]} each time. {chosen}
- Made at commit `{card["commit"][:12]}` on {card["machine"]["cores"]} cores of {card["machine"]["cpu"]}, torch {card["machine"]["versions"]["torch"]}.

## How good it is
95 % intervals, bootstrapped over people; all measured in one run of `scripts/ship.py`. Nobody of the open set and the identification-rate set was
trained on; the teacher may have seen any of them.

| figure | this file (float16) | before rounding (float32) | the teacher |
|---|---|---|---|
{rows}

FNIR: share of enrolled people's photos that are not found, or found under the threshold, when at most the stated share of strangers' searches get
a name. Rounding the weights to half precision moves vectors by a cosine of at least {half["lowest_cosine"]:.5f} ({half["photos"]} photos).

## How unequal it is
Over {people["people"]} people of the {people["split"]} split: rank-1 is {spread["5%"]:.2f} for the worst 5 %, {spread["10%"]:.2f} for the worst 10 %,
{spread["25%"]:.2f} for the worst quarter; {people["people_always_found"]:.0%} are found with every photo, {people["people_found_in_under_half"]:.1%} in
under half of them. By enrolled photos: {enrolled}.
These data carry no attributes (age, sex, skin), so no error by attribute can be given. CelebA's make-up suggests that errors are larger for people
whom it shows rarely. Measure on your own people before you trust it.

## Limits
Trained on aligned, mostly frontal photos of about 100 pixels across a face. Turned heads, children, masks, very dark or small faces were hardly seen.
About 2 % of the training labels are wrong. The threshold of a gallery is calibrated for a rate of strangers, not for your strangers.
"""


def lengths_that_sort(
    figures: list[dict[str, Any]], extra: Dataset, runtime: Runtime
) -> dict[str, list[list[float]]]:
    """(share, length) of ordinary photos, by which faces/quality.py judges; nothing where refusing the
    shortest vectors does not lower what is missed of people that the encoder was not trained on."""
    value = {figure["name"]: figure["rate"]["value"] for figure in figures}
    all_, less = (value.get(name) for name in (MISSED, f"{MISSED} less 5% shortest vectors"))
    if all_ is None or less is None or not less < LEAST_GAIN * all_:
        return {}
    lengths = dataset_lengths(extra, extra.where("open"), runtime, bar())
    return {"lengths": [[share, float(np.quantile(lengths, share))] for share in LENGTH_SHARES]}


def public_notes(notes: dict[str, Any], teacher: Path) -> dict[str, Any]:
    """What the run tells of itself, with the teacher by name and hash instead of by where it lay."""
    recipe = {**notes["recipe"], "teacher": teacher.name}
    return {
        **notes,
        "recipe": recipe,
        "teacher": {"file": teacher.name, "sha256": sha256_of(teacher), "licence": TEACHER_LICENCE},
    }


def bar() -> Any:
    shown = tqdm(disable=None)

    def progress(done: int, total: int) -> None:
        shown.total = total
        shown.update(done - shown.n)

    return progress


def measured(
    data: Dataset, extra: Dataset, ir: Dataset, runtime: Runtime, split: str, weights: Path, seed: int
) -> Evaluation:
    embed = Embedder(runtime, {}, bar())
    return evaluate(data, extra, ir, embed, split=split, weights=weights, seed=seed, fpir=0.01)


def half_precision(data: Dataset, half: Runtime, whole: Runtime) -> dict[str, float]:
    """What rounding the weights to 16 bits changes: cosines between the two encoders' vectors of val's
    photos.
    """
    rows = data.where("val")
    a, b = (Embedder(runtime, {}, bar())(data, rows) for runtime in (half, whole))
    cosines = (a * b).sum(axis=1)
    return {"photos": len(rows), "lowest_cosine": float(cosines.min()), "mean_cosine": float(cosines.mean())}


def per_person(data: Dataset, runtime: Runtime, split: str) -> dict[str, Any]:
    """How rank-1 differs between people: quantiles over people, and by how many photos of them are enrolled."""
    rows, train = data.where(split), data.where("train")
    embed = Embedder(runtime, {}, bar())
    found = closed_set(
        embed(data, rows),
        data.people[rows],
        data.sha256[rows],
        embed(data, train),
        data.people[train],
        data.sha256[train],
    )
    people, right = data.people[rows][found.probe], found.within(1)
    names = np.unique(people)
    rates = np.array([right[people == name].mean() for name in names])
    enrolled = np.array([(data.people[train] == name).sum() for name in names])
    groups = {
        "1 to 9": enrolled < 10,
        "10 to 19": (enrolled >= 10) & (enrolled < 20),
        "20 and more": enrolled >= 20,
    }
    return {
        "split": split,
        "people": len(names),
        "rank1_quantiles": {f"{q:.0%}": float(np.quantile(rates, q)) for q in (0.01, 0.05, 0.1, 0.25, 0.5)},
        "people_always_found": float((rates == 1).mean()),
        "people_found_in_under_half": float((rates < 0.5).mean()),
        "rank1_by_enrolled_photos": {
            k: {"people": int(m.sum()), "rank1": float(rates[m].mean())} for k, m in groups.items() if m.any()
        },
    }


if __name__ == "__main__":
    ship()
