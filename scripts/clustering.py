"""Which way of grouping unnamed faces is best? Compared on people whom nobody has named: BCubed and pairs,
with intervals over people.

    .venv/bin/python scripts/clustering.py
    .venv/bin/python scripts/clustering.py --memory 50000

A method's one parameter is fixed on the 300 `train` people of celebA_extra by MobileFaceNet's vectors, over
albums of 10, 30, 100 and 300 of them, by mean BCubed F. (Not by the shipped encoder's: it was trained on
these very people, and keeps them apart as it keeps nobody else apart; what it would have chosen is in the
table too.) Then judged, with nothing left to choose: celebA_extra's 100 `open` people, the 40 people of wild/
in one heap, and a drawn album. `best` tells what the best parameter on those very people would have given.

Writes scripts/results/clustering/table.json (with --memory: memory.json); no photo, no name.
"""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from facesearch.album import group as grouping
from facesearch.album.album import Album
from facesearch.album.scan import scan
from facesearch.datasets.table import open_dataset
from facesearch.datasets.toy import draw_people
from facesearch.encoder.dataset_vectors import dataset_vectors
from facesearch.encoder.runtime import Runtime, load_runtime
from facesearch.encoder.weights import SHIPPED
from facesearch.faces.detect import load_detector
from facesearch.files import make_folder, replace_json
from facesearch.metrics.clustering import Grouping, bcubed_of_photos, judge
from facesearch.records import F32, I64

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
OUT = ROOT / "scripts/results/clustering"
CHANCES = {"average": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0), "dbscan": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)}
SIZES = ((2, 1), (3, 1), (4, 2), (5, 1), (5, 3), (8, 2))
ALBUMS = ((10, 8), (30, 4), (100, 2), (300, 1))
"""People an album, and how many such albums."""


@click.command()
@click.option(
    "--peer", type=click.Path(path_type=Path), default=SHARED / "models/mobilefacenet.onnx", show_default=True
)
@click.option(
    "--memory", type=int, default=0, help="Only measure time and memory on so many made-up vectors."
)
def main(peer: Path, memory: int) -> None:
    """Print the tables and write them."""
    if memory:
        measure(memory)
        return
    started = time.monotonic()
    dataset = open_dataset(ROOT / "data/celeba_extra")
    runtimes = {"shipped": load_runtime(SHIPPED), "mobilefacenet": load_runtime(peer)}
    vectors = {
        name: dataset_vectors(dataset, np.arange(len(dataset)), runtime, {}, silent)
        for name, runtime in runtimes.items()
    }
    train, opened = dataset.where("train"), dataset.where("open")
    assert not set(dataset.people[train]) & set(dataset.people[opened])
    fixed = {name: fix(dataset.people[train], own[train]) for name, own in vectors.items()}
    chosen = {method: parameter for method, (parameter, _) in fixed["mobilefacenet"].items()}
    click.echo("fixed on the 300 train people (mean BCubed F over albums of 10 to 300 people)")
    for name, own in fixed.items():
        click.echo(
            "  "
            + name
            + ": "
            + ", ".join(f"{method} {words(parameter)} ({f:.3f})" for method, (parameter, f) in own.items())
        )
    rows = []
    for name, runtime in runtimes.items():
        sets = {
            "celebA_extra open": (dataset.people[opened], vectors[name][opened], np.ones(len(opened), bool)),
            **albums(runtime),
        }
        for where, (people, own, judged) in sets.items():
            for method in grouping.METHODS:
                rows.append(row(name, where, method, chosen[method], people, own, judged))
                click.echo(line(rows[-1]))
    quality = {name: quality_of(runtime) for name, runtime in runtimes.items()}
    click.echo(json.dumps(quality, indent=1))
    make_folder(OUT)
    replace_json(
        OUT / "table.json",
        {
            "encoders": {name: runtime.encoder_id for name, runtime in runtimes.items()},
            "fixed": {
                name: {m: {"parameter": p, "bcubed_f": f} for m, (p, f) in own.items()}
                for name, own in fixed.items()
            },
            "rows": rows,
            "quality": quality,
        },
    )
    click.echo(f"{OUT.relative_to(ROOT)}/table.json; {time.monotonic() - started:.0f} s")


def silent(done: int, total: int) -> None:
    """No bar: a few minutes in all."""


def words(parameter: Any) -> str:
    return "/".join(map(str, parameter)) if isinstance(parameter, tuple) else f"{parameter:g}"


def grouped(vectors: F32, method: str, parameter: Any) -> I64:
    """Groups (n,) by a method with its one parameter: strangers a face, or (fewest faces, reach) of
    HDBSCAN."""
    if method != "hdbscan":
        return grouping.group(vectors, method, grouping.usual_threshold(vectors, method, parameter))
    kept = grouping.SMALLEST, grouping.REACH
    grouping.SMALLEST, grouping.REACH = parameter
    try:
        return grouping.group(vectors, method, 0.0)
    finally:
        grouping.SMALLEST, grouping.REACH = kept


def parameters(method: str) -> tuple[Any, ...]:
    return SIZES if method == "hdbscan" else CHANCES[method]


def bcubed_f(people: Any, groups: I64) -> float:
    precision, recall = (float(part.mean()) for part in bcubed_of_photos(people, groups))
    return 2 * precision * recall / (precision + recall)


def fix(people: Any, vectors: F32, seed: int = 0) -> dict[str, tuple[Any, float]]:
    """For each method the parameter with the best mean BCubed F over albums of these people, and that
    mean."""
    rng = np.random.default_rng(seed)
    names = np.unique(people)
    parts = [
        [np.flatnonzero(np.isin(people, rng.choice(names, count, replace=False))) for _ in range(times)]
        for count, times in ALBUMS
        if count <= len(names)
    ]
    best = {}
    for method in grouping.METHODS:
        means = [
            (
                float(
                    np.mean(
                        [
                            np.mean(
                                [bcubed_f(people[p], grouped(vectors[p], method, parameter)) for p in same]
                            )
                            for same in parts
                        ]
                    )
                ),
                parameter,
            )
            for parameter in parameters(method)
        ]
        f, parameter = max(means, key=lambda pair: pair[0])
        best[method] = (parameter, f)
    return best


def albums(runtime: Runtime) -> dict[str, tuple[Any, F32, Any]]:
    """The wild photos in one heap, and a drawn album: people (n,), vectors (n, d), and which faces are
    judged.

    Every face found is grouped; judged is the largest of each photo, for only its name is known. The scan
    itself is what is run.
    """
    found = {}
    for name, folder in (("wild, in one heap", SHARED / "data/wild"), ("drawn, 24 people", None)):
        with tempfile.TemporaryDirectory() as scratch:
            if folder is None:
                folder = Path(scratch) / "drawn"
                draw_people(folder, people=24, photos=12, seed=5)
            kept = ROOT / "data" / f"scan-{name.split(',')[0]}-{runtime.encoder_id[:8]}"
            scan(folder, kept, runtime, load_detector(None), silent)
            with Album.open(kept) as album:
                faces, vectors = album.faces_and_vectors()
                who = {file.sha256: file.path.split("/")[0] for file in album.files().values()}
            if folder.is_relative_to(scratch):
                shutil.rmtree(kept)
        found[name] = (
            np.array([who[face.sha256] for face in faces]),
            vectors,
            np.array([face.number == 1 for face in faces]),
        )
    return found


def row(
    encoder: str, where: str, method: str, parameter: Any, people: Any, vectors: F32, judged: Any
) -> dict[str, Any]:
    """One line of the table."""
    started = time.monotonic()
    groups = grouped(vectors, method, parameter)
    seconds = time.monotonic() - started
    result: Grouping = judge(people[judged], groups[judged])
    best = max(bcubed_f(people[judged], grouped(vectors, method, p)[judged]) for p in parameters(method))
    rates = {
        key: [getattr(result, key).value, getattr(result, key).low, getattr(result, key).high]
        for key in (
            "bcubed_precision",
            "bcubed_recall",
            "bcubed_f",
            "pair_precision",
            "pair_recall",
            "pair_f",
        )
    }
    return {
        "encoder": encoder,
        "album": where,
        "faces": len(people),
        "judged": int(judged.sum()),
        "people": len(np.unique(people[judged])),
        "method": method,
        "parameter": parameter,
        **rates,
        "groups": result.groups,
        "alone": result.alone,
        "best_bcubed_f": best,
        "seconds": round(seconds, 2),
    }


def line(row: dict[str, Any]) -> str:
    rates = "  ".join(
        f"{row[key][0]:.3f} [{row[key][1]:.3f}, {row[key][2]:.3f}]"
        for key in ("bcubed_precision", "bcubed_recall", "bcubed_f")
    )
    pairs = "  ".join(f"{row[key][0]:.3f}" for key in ("pair_precision", "pair_recall", "pair_f"))
    return (
        f"{row['encoder']:13}  {row['album']:17}  {row['method']:8} {words(row['parameter']):>5}  {rates} "
        f" pairs {pairs}  groups {row['groups']:4d} of {row['people']} people, alone {row['alone']:.1%}, best"
        f" {row['best_bcubed_f']:.3f}"
    )


def quality_of(runtime: Runtime) -> dict[str, Any]:
    """Whether detector's score, size and sharpness foretell who is grouped badly: AUC on wild/, and crops of
    the open people spoilt.

    Badly: less than half of the person's photos are in its group, or less than half of its group are the
    person's.
    """
    kept = ROOT / "data" / f"scan-wild-{runtime.encoder_id[:8]}"
    with Album.open(kept) as album:
        faces, vectors = album.faces_and_vectors()
        who = {file.sha256: file.path.split("/")[0] for file in album.files().values()}
    judged = np.array([face.number == 1 for face in faces])
    people = np.array([who[face.sha256] for face in faces])[judged]
    groups = grouped(vectors, "average", grouping.CHANCES["average"])[judged]
    precision, recall = bcubed_of_photos(people, groups)
    bad = (precision < 0.5) | (recall < 0.5)
    facts = {
        name: np.array([getattr(face, name) for face in faces])[judged]
        for name in ("score", "size_px", "sharpness")
    }
    auc = {name: area(-values[bad], -values[~bad]) for name, values in facts.items()}
    return {
        "photos": int(judged.sum()),
        "badly_grouped": int(bad.sum()),
        "auc": auc,
        "spoilt": spoilt(runtime),
    }


def area(bad: Any, good: Any) -> float:
    """The chance that a bad one lies above a good one."""
    if not len(bad) or not len(good):
        return float("nan")
    return float((bad[:, None] > good[None, :]).mean() + 0.5 * (bad[:, None] == good[None, :]).mean())


def spoilt(runtime: Runtime) -> dict[str, Any]:
    """Of each of the open people a third of the crops shrunk to 16..28 pixels and back: BCubed F of the
    others with and without them.
    """
    dataset = open_dataset(ROOT / "data/celeba_extra")
    rows = dataset.where("open")
    vectors, people = dataset_vectors(dataset, rows, runtime, {}, silent).copy(), dataset.people[rows]
    rng = np.random.default_rng(0)
    hit = rng.permutation(len(rows))[: len(rows) // 3]
    vectors[hit] = runtime.embed(
        np.stack([shrunk(dataset.crops[rows[i]], int(rng.integers(16, 29))) for i in hit])
    )
    whole = np.setdiff1d(np.arange(len(rows)), hit)
    chance = grouping.CHANCES["average"]
    together = grouped(vectors, "average", chance)
    return {
        "spoilt": len(hit), "whole": len(whole), "bcubed_f_of_all": bcubed_f(people, together),
        "bcubed_f_of_whole_with_spoilt_among_them": bcubed_f(people[whole], together[whole]),
        "bcubed_f_of_whole_alone": bcubed_f(people[whole], grouped(vectors[whole], "average", chance)),
        "bcubed_f_of_spoilt": bcubed_f(people[hit], together[hit]),
    }  # fmt: skip


def shrunk(crop: Any, side: int) -> Any:
    small = cv2.resize(np.ascontiguousarray(crop), (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, crop.shape[:2], interpolation=cv2.INTER_LINEAR)


def measure(n: int, d: int = 512) -> None:
    """Time and memory of average linkage and DBSCAN on n made-up faces, 25 a person, as far apart as real
    ones are.
    """
    rng = np.random.default_rng(0)
    people = np.arange(n) // 25
    centres = rng.standard_normal((people[-1] + 1, d), np.float32)
    vectors = centres[people] + 0.85 * rng.standard_normal((n, d), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    results: dict[str, Any] = {
        "faces": n,
        "dimension": d,
        "people": int(people[-1]) + 1,
        "vectors_mb": round(vectors.nbytes / 2**20),
        "n_x_n_float32_would_be_mb": round(n * n * 4 / 2**20),
    }
    ways: dict[str, Callable[[], I64]] = {
        m: lambda m=m: grouping.group(vectors, m, grouping.usual_threshold(vectors, m))
        for m in ("average", "dbscan")
    }
    for name, way in ways.items():
        before, started = peak_mb(), time.monotonic()
        groups = way()
        results[name] = {
            "seconds": round(time.monotonic() - started, 1),
            "peak_above_before_mb": max(0, peak_mb() - before),
            "bcubed_f": bcubed_f(people, groups),
        }
        click.echo(f"{name}: {results[name]}")
        make_folder(OUT)
        replace_json(OUT / f"memory-{n}.json", results)


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
