"""Put an encoder into the package: its weights in half precision, their card, and the gallery of CelebA-500
made with them.

    .venv/bin/python scripts/bring_home.py runs/gpu home
        a run's encoder with its provenance, if it is not at hand like that already
    .venv/bin/python scripts/ship.py --encoder home/encoder.safetensors --provenance home/encoder.json --test
    .venv/bin/python scripts/ship.py --test
        the encoder that ships already, measured again: half precision is half precision, so
        scripts/results/distil-gpu keeps its provenance and not a second copy of its weights

Provenance is what bring_home wrote (encoder_id, notes, machine), and `from`, written by hand: who trained it
and how, the teacher and its terms, what it started from, photos with their sources and terms, what is not
known. The model card tells all of it.

Writes facesearch/weights/facesearch-r34.{safetensors,json}, facesearch/weights/MODEL_CARD.md,
index/gallery.sqlite, and reports into runs/ship/. The weights stay what they are, and so does their id; only
the notes in the file's head change. Every row (this encoder, the one that shipped before, the teacher,
MobileFaceNet; the trial's encoder as a candidate) is measured here, the same way. Without --test the test
split stays unseen; the shipped card needs it. Vectors and galleries of a run are kept in runs/ship.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from benching import ROOT, commit, machine
from model_card import candidates_table, encoders_table, lengths_table, model_card
from ship_rows import (
    FPIR,
    KEPT,
    SHARED,
    Row,
    World,
    gallery_of,
    halvings,
    in_the_wild,
    lengths_that_sort,
    measured,
    per_person,
    shipped_before,
)

from facesearch.encoder.checkpoint import load_encoder, save_encoder
from facesearch.encoder.weights import SHIPPED
from facesearch.evaluation.evaluate import evaluate
from facesearch.files import make_folder, read_json, replace_file, replace_json, sha256_of
from facesearch.gallery.index.faiss_index import refresh
from facesearch.gallery.store.schema import FILE
from facesearch.gallery.store.store import Store
from facesearch.records import WAYS_TO_SCORE, ScoredBy
from facesearch.report.evaluation import write_report
from facesearch.report.evaluation_json import evaluation_json

PROVENANCE = ROOT / "scripts" / "results" / "distil-gpu" / "encoder.json"
TRIAL = SHARED / "models" / "facesearch-r34-h100.safetensors"
MOST_BYTES = 45_000_000
A_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--encoder", type=A_FILE, default=SHIPPED, help="Its weights.  [default: those that ship]")
@click.option("--provenance", type=A_FILE, default=PROVENANCE, help="Where it comes from.")
@click.option(
    "--test",
    is_flag=True,
    help="Also measure on the test split. Once, when nothing is to be chosen any more.",
)
@click.option(
    "--by",
    type=click.Choice(WAYS_TO_SCORE),
    default=None,
    help="How the shipped gallery scores a person.  [default: as every new gallery]",
)
@click.option("--seed", type=int, default=0)
def ship(encoder: Path, provenance: Path, test: bool, by: ScoredBy | None, seed: int) -> None:
    """Ship an encoder."""
    os.umask(0o022)  # these files are for everybody
    world, came = World.opened(), read_json(provenance)
    for folder in (SHIPPED.parent, KEPT):
        make_folder(folder)
    notes, encoder_id = write_weights(encoder, came)
    rows = the_rows(encoder_id, came)
    figures = figures_of(rows, world, ("val", "test") if test else ("val",), seed)
    worth = {row.name: halvings(row, world) for row in rows.values() if row.name != "mobilefacenet"}
    say("the lengths are measured")
    notes |= lengths_that_sort(worth["shipped"], rows["shipped"], world)
    save_encoder(SHIPPED, load_encoder(SHIPPED)[0], notes, half=True)
    rows["shipped"] = Row("shipped", SHIPPED)  # which knows its lengths now
    candidates = the_candidates(figures, came)
    replace_json(KEPT / "candidates.json", candidates)
    card = {
        "name": SHIPPED.stem,
        "encoder_id": encoder_id,
        "weights_sha256": sha256_of(SHIPPED),
        "weights_bytes": SHIPPED.stat().st_size,
        "notes": notes,
        "from": came["from"],
        "trained_on": came["machine"],
        "people": figures["shipped"].pop("people"),
        "metrics": {name: figures[name] for name in rows if name != "trial"},
        "lengths": worth,
        "candidates": candidates,
        "gallery": ship_gallery(rows["shipped"], world, by, seed),
        "wild": wild_of(rows, world, by, seed),
        "seed": seed,
        "machine": machine(),
        "commit": commit(),
    }
    replace_file(SHIPPED.with_suffix(".json"), (json.dumps(card, indent=1, default=float) + "\n").encode())
    replace_file(SHIPPED.with_name("MODEL_CARD.md"), model_card(card).encode())
    for path in (
        SHIPPED,
        SHIPPED.with_suffix(".json"),
        SHIPPED.with_name("MODEL_CARD.md"),
        ROOT / "index" / FILE,
    ):
        path.chmod(0o644)
        say(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")
    for table in (encoders_table(card), candidates_table(candidates), lengths_table(worth)):
        click.echo(f"\n{table}")


def write_weights(encoder: Path, came: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Put the weights into the package, with the notes of their provenance. The notes, and the id."""
    network, meta = load_encoder(encoder)
    if came["encoder_id"] != meta["encoder_id"]:
        raise click.ClickException(
            f"{encoder} is encoder {meta['encoder_id'][:12]}, and the provenance is that of"
            f" {came['encoder_id'][:12]}: pass the two that belong together."
        )
    notes = came["notes"] | {"teacher": came["from"]["teacher"]}
    encoder_id = save_encoder(SHIPPED, network, notes, half=True)
    if encoder_id != came["encoder_id"]:
        raise click.ClickException(f"{encoder} is not in half precision: bring it home first (bring_home.py)")
    if SHIPPED.stat().st_size > MOST_BYTES:
        raise click.ClickException(f"{SHIPPED} takes {SHIPPED.stat().st_size} bytes, more than {MOST_BYTES}")
    return notes, encoder_id


def the_rows(encoder_id: str, came: dict[str, Any]) -> dict[str, Row]:
    """What is measured, by name."""
    teacher = SHARED / "models" / came["from"]["teacher"]["file"]
    rows = (
        Row("shipped", SHIPPED),
        Row("before", shipped_before(encoder_id)),
        Row("teacher", teacher, came["notes"]["recipe"]["teacher_preprocess"]),
        Row("mobilefacenet", SHARED / "models" / "mobilefacenet.onnx"),
        Row("trial", TRIAL),
    )
    return {row.name: row for row in rows}


def figures_of(
    rows: dict[str, Row], world: World, splits: tuple[str, ...], seed: int
) -> dict[str, dict[str, Any]]:
    """By row and split the figures, as JSON has them; of the shipped encoder its page, and how it differs
    between `people`, too. The trial's encoder, which cannot ship any more, does not see test.
    """
    out: dict[str, dict[str, Any]] = {name: {} for name in rows}
    for name, row in rows.items():
        for split in splits:
            if name == "trial" and split == "test":
                continue
            result = measured(row, world, split, seed)
            out[name][split] = [asdict(figure) for figure in result.figures]
            say(f"{name}, {split}: " + ", ".join(f"{f.name} {f.rate.value:.4f}" for f in result.figures[:1]))
            if name == "shipped":
                out[name]["people"] = per_person(result)
                if split == "val":
                    write_report(result, KEPT)
                else:
                    text = evaluation_json(result) + "\n"
                    replace_file(KEPT / f"evaluation-{split}.json", text.encode())
    return out


def the_candidates(figures: dict[str, dict[str, Any]], came: dict[str, Any]) -> dict[str, Any]:
    """The three encoders that could ship, on what one may choose by: val, the open set, the IR set."""
    trial = read_json(TRIAL.with_suffix(".json"))
    (without,) = (words for words in trial["measured"] if words.startswith("without"))
    return {
        "chosen": "a",
        "why": came["from"]["why_this_one"],
        "candidates": {
            "a": {"what": came["from"]["what"], "figures": figures["shipped"]["val"]},
            "b": {
                "what": "this repository's trainer on two CPU cores: the encoder that shipped before",
                "figures": figures["before"]["val"],
            },
            "c": {
                "what": trial["what"],
                "figures": figures["trial"]["val"],
                "without_contaminated_photos": {"what": without, **trial["measured"][without]},
            },
        },
    }


def ship_gallery(row: Row, world: World, by: ScoredBy | None, seed: int) -> dict[str, Any]:
    """Make the gallery that ships, and measure it as it stands."""
    index = ROOT / "index"
    say(f"threshold {gallery_of(row, world, index, by, seed)}")
    with Store.open(index) as gallery:
        refresh(gallery, "it is shipped")
        gallery.eraser.cut_log()
        own = evaluate(
            world.data,
            world.extra,
            world.ir,
            row.embedder,
            split="val",
            weights=SHIPPED,
            seed=seed,
            fpir=FPIR,
            sections=["gallery"],
            gallery=gallery,
        )
        size = {"faces": len(gallery), "people": len(gallery.faces.people())}
    assert own.own is not None
    parts = {"FNIR of enrolled": "val", "FPIR of further": "query"}
    return size | {
        "own": asdict(own.own),
        "measured": [
            {"split": next((part for name, part in parts.items() if f.name.startswith(name)), "open")}
            | asdict(f)
            for f in own.figures
        ],
    }


def wild_of(rows: dict[str, Row], world: World, by: ScoredBy | None, seed: int) -> dict[str, Any]:
    """The wild photographs, asked of each row's own gallery, calibrated in the same way."""
    out = {}
    for name, row in rows.items():
        if name == "trial":
            continue
        folder = ROOT / "index"
        if name != "shipped":
            folder = KEPT / "galleries" / name
            gallery_of(row, world, folder, by, seed)
        out[name] = in_the_wild(row, folder)
        say(f"{name}, wild: " + json.dumps({k: v for k, v in out[name].items() if isinstance(v, int)}))
    return out


def say(words: str) -> None:
    """With the time, for the next one who waits for it."""
    click.echo(f"{time.strftime('%H:%M:%S')}  {words}")


if __name__ == "__main__":
    ship()
