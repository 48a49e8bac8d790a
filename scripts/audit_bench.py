"""What does `facesearch audit` find? Errors planted in a copy of CelebA-500 (in memory), then CelebA-500
itself.

    .venv/bin/python scripts/audit_bench.py
    .venv/bin/python scripts/audit_bench.py --weights runs/x/best.safetensors --referee
        ../shared/models/mobilefacenet.onnx

Planted at once, by a seed: 2 % of the labels dealt again among those photos, ten people split in two, ten
pairs of people merged into one, 50 photos copied (recompressed at quality 50 to 80, half of them also
resized and relit, a fifth mirrored; any split), 40 crops spoilt (black, darkened, blurred, noise). Only the
copies and the spoilt crops are embedded.

Recall: share of what was planted that is listed. Precision is given twice. `planted`: share of the list
that was planted: the data have errors of their own, which count as false here. `new`: the same without what
the audit lists on the data as they are. Writes scripts/results/audit/planted.json and celeba500.json; no
photo is written anywhere.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from benching import machine, write
from PIL import Image

import facesearch
from facesearch.cli.terminal import bar
from facesearch.datasets.table import Dataset, open_dataset
from facesearch.encoder.dataset_vectors import dataset_vectors
from facesearch.encoder.runtime import load_runtime
from facesearch.evaluation.audit import Audit, Labelled, audit, labelled_dataset
from facesearch.gallery.known_vectors import known_vectors
from facesearch.metrics.audit import fit
from facesearch.metrics.copies import groups_of
from facesearch.report.audit import findings

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "scripts/results/audit"
COPIES, SPOILT, SPLIT, MERGED, SWAPPED = 50, 40, 10, 10, 0.02
OF_LIST = {
    "wrong_names": "labels",
    "same_people": "split",
    "two_clusters": "merged",
    "copies": "copies",
    "bad_crops": "spoilt",
}


@click.command()
@click.option("--weights", type=click.Path(path_type=Path), default=None)
@click.option(
    "--gallery",
    type=click.Path(path_type=Path),
    default=ROOT / "index",
    help="Where known vectors are taken from.",
)
@click.option(
    "--referee",
    type=click.Path(path_type=Path),
    default=None,
    help="A second encoder that says which wrong names it sees too.",
)
@click.option("--seeds", default=5, show_default=True)
def main(weights: Path | None, gallery: Path, referee: Path | None, seeds: int) -> None:
    """Print both tables and write them."""
    about = machine()
    runtime = facesearch.load_encoder(weights).runtime
    dataset = open_dataset(ROOT / "data/celeba500")
    rows = np.arange(len(dataset))
    with bar("embed", "photo") as progress:
        vectors = dataset_vectors(
            dataset, rows, runtime, known_vectors(gallery, runtime.encoder_id), progress
        )
    as_it_is = audit(labelled_dataset(dataset, vectors), silent)
    runs = []
    for seed in range(seeds):
        labelled, planted = plant(dataset, vectors, runtime, seed)
        runs.append(score(audit(labelled, silent), as_it_is, planted))
    means = {
        name: {k: float(np.mean([run[name][k] for run in runs])) for k in runs[0][name]} for name in runs[0]
    }
    click.echo(f"{runtime.words}; planted, mean of {seeds} seeds")
    click.echo("list           planted  listed  recall  precision: planted  new  at rank")
    for name, r in means.items():
        click.echo(
            f"{name:13}  {r['planted']:7.1f}  {r['listed']:6.1f}  {r['recall']:6.3f} "
            f" {r['precision_planted']:18.3f}  {r['precision_new']:.3f}  {r['precision_at_planted']:.3f}"
        )
    encoder = {"encoder": runtime.words, "encoder_id": runtime.encoder_id}
    write({**encoder, "seeds": seeds, "means": means, "runs": runs}, RESULTS / "planted.json", about)
    real = facts(as_it_is)
    if referee is not None:
        second = load_runtime(referee)
        with bar("referee", "photo") as progress:
            theirs = dataset_vectors(dataset, rows, second, {}, progress)
        real["referee"] = {"encoder": second.words, **agreement(as_it_is, theirs)}
    click.echo(json.dumps({name: value for name, value in real.items() if name != "first"}, indent=1))
    write({**encoder, **real}, RESULTS / "celeba500.json", about)


def silent(done: int, total: int) -> None:
    """No bar for steps of seconds."""


def plant(dataset: Dataset, vectors: Any, runtime: Any, seed: int) -> tuple[Labelled, dict[str, set[Any]]]:
    """A copy of the data with errors, and what was planted: rows, pairs of rows, names or pairs of names, by
    kind.
    """
    rng = np.random.default_rng(seed)
    n = len(dataset)
    people = dataset.people.astype("<U40")
    planted: dict[str, set[Any]] = {}
    names, counts = np.unique(people, return_counts=True)
    chosen = rng.permutation(names[counts >= 10])
    planted["split"] = set()
    for name in chosen[:SPLIT]:
        own = rng.permutation(np.flatnonzero(people == name))
        people[own[: len(own) // 2]] = f"{name} again"
        planted["split"].add((str(name), f"{name} again"))
    planted["merged"], brought = set(), set[int]()
    for name, other in zip(
        chosen[SPLIT : SPLIT + MERGED], chosen[SPLIT + MERGED : SPLIT + 2 * MERGED], strict=True
    ):
        brought |= set(np.flatnonzero(people == other).tolist())
        people[people == other] = name
        planted["merged"].add(str(name))
    order = rng.permutation(n)
    copied, order = order[:COPIES], order[COPIES:]
    spoilt, order = order[:SPOILT], order[SPOILT:]
    swapped = order[: round(SWAPPED * n)]
    dealt = people[swapped][rng.permutation(len(swapped))]
    while (same := dealt == people[swapped]).any():
        dealt[same] = rng.permutation(people[swapped])[: same.sum()]
    people[swapped] = dealt
    planted["labels"] = {int(i) for i in swapped}
    planted["brought"] = (
        brought  # these stand under a wrong name too, though they are planted for another list
    )
    added = np.stack([recompressed(dataset.crops[i], k, rng) for k, i in enumerate(copied)])
    crops = np.concatenate([dataset.crops, added])
    for k, i in enumerate(spoilt):
        crops[i] = spoil(crops[i], k, rng)
    vectors = np.concatenate([vectors, runtime.embed(added)])
    vectors[spoilt] = runtime.embed(crops[spoilt])
    planted["copies"] = {(int(i), n + k) for k, i in enumerate(copied)}
    planted["spoilt"] = {int(i) for i in spoilt}
    files = (*(row.file for row in dataset.rows), *(f"copy-{k}.jpg" for k in range(COPIES)))
    splits = np.concatenate([dataset.splits, rng.choice(["train", "val", "test"], COPIES)])
    content = np.concatenate([dataset.sha256, [f"copy {k}" for k in range(COPIES)]])
    content[spoilt] = [f"spoilt {k}" for k in range(SPOILT)]
    return (
        Labelled("planted", files, np.concatenate([people, people[copied]]), splits, content, vectors, crops),
        planted,
    )


def recompressed(crop: Any, number: int, rng: Any) -> Any:
    """A copy as they come about: through JPEG, half of them also smaller and relit, every fifth mirrored."""
    image = Image.fromarray(np.ascontiguousarray(crop))
    if number % 2:
        side = int(rng.integers(78, 106))
        image = image.resize((side, side), Image.Resampling.BILINEAR).resize(
            (112, 112), Image.Resampling.BILINEAR
        )
        image = Image.fromarray(
            np.clip(np.asarray(image, np.float32) * rng.uniform(0.8, 1.2), 0, 255).astype(np.uint8)
        )
    if number % 5 == 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(50, 81)))
    return np.asarray(Image.open(file).convert("RGB"))


def spoil(crop: Any, number: int, rng: Any) -> Any:
    """Black with a little noise, darkened to a tenth, blurred away, or noise laid over, in turn."""
    if number % 4 == 0:
        return rng.integers(0, 6, crop.shape).astype(np.uint8)
    if number % 4 == 1:
        return (crop * 0.1).astype(np.uint8)
    if number % 4 == 2:
        return cv2.GaussianBlur(crop, (0, 0), float(rng.uniform(3, 6)))
    return np.clip(crop + rng.normal(0, 70, crop.shape), 0, 255).astype(np.uint8)


def keys_of(result: Audit) -> dict[str, list[Any]]:
    """What each list names, in its order."""
    names = result.names
    return {
        "wrong_names": [w.row for w in result.wrong],
        "same_people": [(str(names[s.a]), str(names[s.b])) for s in result.same],
        "two_clusters": [str(names[c.person]) for c in result.clusters],
        "copies": [(min(c.a, c.b), max(c.a, c.b)) for c in result.copies],
        "bad_crops": [b.row for b in result.crops or ()],
    }


def score(result: Audit, as_it_is: Audit, planted: dict[str, set[Any]]) -> dict[str, dict[str, float]]:
    """Recall and precisions of each list. A pair is a planted copy too when it joins the copy to another
    known copy of its original.
    """
    before = {name: set(found) for name, found in keys_of(as_it_is).items()}
    known = np.array([*before["copies"], *planted["copies"]], np.int64)
    groups = groups_of(known[:, 0], known[:, 1], len(result.data))
    scored = {}
    for name, listed in keys_of(result).items():
        truth = planted[OF_LIST[name]]
        if name == "copies":
            n = len(as_it_is.data)
            right = [
                pair in truth or (pair[1] >= n and groups[pair[0]] == groups[pair[1]]) for pair in listed
            ]
        else:
            if name == "wrong_names":
                listed = [
                    row for row in listed if row in truth or row not in planted["brought"]
                ]  # brought: neither for nor against
            right = [key in truth for key in listed]
        new = [hit for key, hit in zip(listed, right, strict=True) if hit or key not in before[name]]
        scored[name] = {
            "planted": float(len(truth)),
            "listed": float(len(listed)),
            "recall": len(truth & set(listed)) / len(truth),
            "precision_planted": float(np.mean(right)),
            "precision_new": float(np.mean(new)),
            "precision_at_planted": float(np.mean(right[: len(truth)])),
        }
    return scored


def facts(result: Audit) -> dict[str, Any]:
    """How much was found on the data as they are, and the first of each list."""
    lists = findings(result)
    pairs = Counter(tuple(sorted((c["split"], c["other_split"]))) for c in lists["copies"])
    return {
        "photos": len(result.data),
        "people": len(result.names),
        "found": {name: len(found) for name, found in lists.items()},
        "wrong_names_by_split": dict(Counter(w["split"] for w in lists["wrong_names"])),
        "copies_by_kind": dict(Counter(c["kind"] for c in lists["copies"])),
        "copies_by_splits": {" and ".join(pair): count for pair, count in sorted(pairs.items())},
        "copies_across_people": sum(c["across_people"] for c in lists["copies"]),
        "bad_crops_by_reason": dict(Counter(b["reasons"][0]["word"] for b in lists["bad_crops"])),
        "first": {name: found[:20] for name, found in lists.items()},
    }


def agreement(result: Audit, theirs: Any) -> dict[str, float]:
    """How many of the wrong names a second encoder sees too: the photo is closer to somebody else by its
    vectors as well.
    """
    _, codes = np.unique(result.data.people, return_inverse=True)
    pairs = [(s.a, s.b) for s in result.same]
    copies = np.array([(c.a, c.b) for c in result.copies], np.int64).reshape(-1, 2)
    groups = groups_of(copies[:, 0], copies[:, 1], len(codes))
    second = fit(theirs, codes, groups, np.ones(len(codes), np.bool_), pairs)
    closer = second.other > second.own
    rows = np.array([w.row for w in result.wrong], np.int64)
    first = rows[:50]
    return {
        "wrong_names_seen_too": float(closer[rows].mean()), "of_the_first_50": float(closer[first].mean()),
        "of_all_photos": float(closer.mean()),
    }  # fmt: skip


if __name__ == "__main__":
    main()
