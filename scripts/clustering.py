"""Are the groups that are called sure as pure as is promised, at any mixture of people? And what do others
do?

.venv/bin/python scripts/clustering.py .venv/bin/python scripts/clustering.py --memory 50000

The constants of album/promise.py were fixed on drawn albums of celebA_extra's 300 `train` people, by
MobileFaceNet's vectors: the shipped encoder was trained on these very people, and keeps them apart as it
keeps nobody else apart. (`--choose` shows what they gave there.) Judged, with nothing left to choose, by the
shipped encoder's vectors: the 100 `open` people, the 51 people of the identification-rate set, the 40 of
wild/, each in six mixtures.

before: average linkage, cut where each face has four strangers by the normal law of the album's pairs
(versions up to 0.2). sure: groups that are called so; groups: with those that are perhaps one person's;
answered: when every question on the page is answered with yes. hdbscan: scikit-learn's; the other three are
in grouping_rivals.py, on pairs of faces at or above the score that one pair of strangers in 10,000 reaches.

Writes scripts/results/clustering/mixtures.json (with --memory: memory-N.json); no photo, no name.
"""

from __future__ import annotations

import functools
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import click
import cv2
import numpy as np
from grouping_rivals import chinese_whispers, finch, infomap

from facesearch.album.arrange import LEAST_SCORE, LEAST_SHARPNESS
from facesearch.album.group import average_linkage, group, in_order, pair_spread
from facesearch.album.linkage import near_pairs
from facesearch.album.promise import PROMISED, Found, find_groups
from facesearch.album.strangers import known_strangers
from facesearch.datasets.compare import crop_facts
from facesearch.datasets.table import open_dataset
from facesearch.encoder.dataset_vectors import dataset_vectors
from facesearch.encoder.runtime import Runtime, load_runtime
from facesearch.encoder.stream import read_faces
from facesearch.encoder.weights import SHIPPED
from facesearch.faces.detect import load_detector
from facesearch.files import make_folder, replace_json
from facesearch.metrics.bootstrap import interval
from facesearch.metrics.clustering import bcubed_of_photos, judge
from facesearch.records import F32, I64, Skipped

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
OUT = ROOT / "scripts/results/clustering"
ALONE = np.empty((0, 2), np.int64)
SEEDS = 4
"""So many albums of each mixture, but of the whole heap."""
MIXTURES = ("one photo each", "two each", "power law", "1, 3 and all", "ten people", "all")


@click.command()
@click.option("--kept", type=click.Path(path_type=Path), default=None, help="Keep vectors here between runs.")
@click.option("--choose", is_flag=True, help="What the constants gave where they were fixed.")
@click.option("--memory", type=int, default=0, help="Only time and memory, on so many made-up vectors.")
def main(kept: Path | None, choose: bool, memory: int) -> None:
    """Print the tables and write them."""
    if memory:
        measure(memory)
        return
    peer = SHARED / "models/mobilefacenet.onnx"
    runtime = load_runtime(peer if choose else SHIPPED)
    rows = []
    for where, (people, vectors) in heaps(runtime, kept, choose=choose).items():
        for mixture in MIXTURES:
            rows += table(where, mixture, people, vectors, runtime)
    promised = promise_kept(rows)
    click.echo(f"promised {1 - PROMISED:.0%}; kept: {promised}")
    make_folder(OUT)
    out: dict[str, Any] = {
        "encoder": runtime.encoder_id,
        "promised": PROMISED,
        "kept": promised,
        "rows": rows,
    }
    if not choose:
        out["poor"] = poor_faces(runtime)
        click.echo(str(out["poor"]))
    replace_json(OUT / ("chosen.json" if choose else "mixtures.json"), out)


def silent(done: int, total: int) -> None:
    """No bar: a few minutes in all."""


def heaps(runtime: Runtime, kept: Path | None, *, choose: bool) -> dict[str, tuple[Any, F32]]:
    """Whose face each is (n,), and vectors (n, d), of every heap."""
    wanted = {"celeba_extra": ("train",) if choose else ("open",), "celeba_ir": () if choose else ("query",)}
    found = {}
    for name, splits in wanted.items():
        for split in splits:
            dataset = open_dataset(ROOT / "data" / name)
            rows = dataset.where(split)
            vectors = from_kept(
                kept,
                f"{name}-{split}",
                runtime,
                lambda d=dataset, r=rows: dataset_vectors(d, r, runtime, {}, silent),
            )
            found[f"{name} {split}"] = (dataset.people[rows], vectors)
    if not choose:
        people, crops, _ = wild()
        found["wild"] = (people, from_kept(kept, "wild", runtime, lambda: runtime.embed(crops)))
    return found


def from_kept(kept: Path | None, name: str, runtime: Runtime, make: Callable[[], F32]) -> F32:
    """Vectors that were kept, or made now and kept."""
    if kept is None:
        return make()
    path = kept / f"{name}-{runtime.encoder_id[:8]}.npy"
    if not path.is_file():
        np.save(path, make())
    vectors: F32 = np.load(path)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@functools.cache
def wild() -> tuple[Any, Any, Any]:
    """Of wild/ each photo's largest face: whose, crops (n, 112, 112, 3), the detector's scores (n,)."""
    detector = load_detector(None)
    people, crops, scores = [], [], []
    for path in sorted((SHARED / "data/wild").glob("*/*")):
        faces = read_faces(path, detector)
        if not isinstance(faces, Skipped):
            people.append(path.parent.name)
            crops.append(faces[0].crop)
            scores.append(faces[0].score)
    return np.array(people), np.stack(crops), np.array(scores)


def drawn(people: Any, mixture: str, seed: int) -> I64:
    """The rows of an album of such a mixture."""
    rng = np.random.default_rng(seed)
    own = {who: rng.permutation(np.flatnonzero(people == who)) for who in rng.permutation(np.unique(people))}
    if mixture == "all":
        return np.arange(len(people))
    if mixture == "ten people":
        largest = sorted(own, key=lambda who: -len(own[who]))[:30]
        return np.concatenate([own[who][:100] for who in rng.permutation(largest)[:10]])
    counts = {
        "one photo each": lambda i: 1,
        "two each": lambda i: 2,
        "power law": lambda i: min(100, 1 + int(rng.pareto(1.0))),
        "1, 3 and all": lambda i: (1, 3, 100)[i % 3],
    }[mixture]
    return np.concatenate([rows[: counts(i)] for i, rows in enumerate(own.values())])


def table(where: str, mixture: str, people: Any, vectors: F32, runtime: Runtime) -> list[dict[str, Any]]:
    """A row for each way of grouping, over the albums of a mixture."""
    sets = [drawn(people, mixture, seed) for seed in range(1 if mixture == "all" else SEEDS)]
    rows = []
    for name, way in ways(runtime).items():
        whose, labels, taken = [], [], 0.0
        for seed, at in enumerate(sets):
            started = time.monotonic()
            groups = way(vectors[at])
            taken += time.monotonic() - started
            top = max((int(one.max(initial=-1)) for one in labels), default=-1) + 1
            labels.append(np.where(groups >= 0, groups + top, -1))
            whose.append(np.char.add(people[at].astype(str), f"#{seed}"))
        rows.append(row(where, mixture, name, np.concatenate(whose), np.concatenate(labels), len(sets)))
        rows[-1]["seconds"] = round(taken, 2)
        click.echo(line(rows[-1]))
    return rows


def ways(runtime: Runtime) -> dict[str, Callable[[F32], I64]]:
    """Every way of grouping unit vectors (n, d): labels (n,), -1 for none."""
    known = runtime.notes.get("impostors")
    limit = known_strangers(known).score(1e-4)
    last: list[tuple[F32, Found]] = []

    def found(vectors: F32) -> Found:
        """Groups, found once for the three rows that tell of them."""
        for of, what in last:
            if of.shape == vectors.shape and (of == vectors).all():
                return what
        last.append((vectors, find_groups(vectors, ALONE, known)))
        return last[-1][1]

    def sure(of: Found) -> I64:
        return np.where(np.append(of.sure, False)[of.labels], of.labels, -1)

    return {
        "before": lambda v: in_order(average_linkage(v, old_cut(v))),
        "sure": lambda v: sure(found(v)),
        "groups": lambda v: found(v).labels,
        "answered": lambda v: answered(found(v)),
        "hdbscan": lambda v: group(v, "hdbscan", 0.0),
        "chinese whispers": lambda v: chinese_whispers(near_pairs(v, limit), len(v)),
        "finch": lambda v: finch(v, limit),
        "infomap": lambda v: infomap(near_pairs(v, limit), len(v)),
    }


def old_cut(vectors: F32) -> float:
    """Where each face has four strangers by the normal law."""
    middle, spread = pair_spread(vectors)
    return min(0.999, middle + NormalDist().inv_cdf(1 - min(0.02, 4 / len(vectors))) * spread)


def answered(found: Found) -> I64:
    """The groups when all that is perhaps so is so."""
    labels = np.where(found.labels >= 0, found.labels, found.leans)
    target = np.arange(len(found.sure))
    for one, other, _ in found.alike:
        target[target == target[other]] = target[one]
    return np.where(labels >= 0, np.append(target, -1)[labels], -1)


def row(where: str, mixture: str, way: str, people: Any, groups: I64, albums: int) -> dict[str, Any]:
    """One line of the table; groups: of two faces or more."""
    result = judge(people, groups)
    sizes, wrong, mixed, whole = [], [], 0, set()
    codes = np.unique(people, return_inverse=True)[1]
    photos = np.bincount(codes)
    for label in np.unique(groups[groups >= 0]):
        counts = np.bincount(codes[groups == label])
        sizes.append(int(counts.sum()))
        wrong.append(int(counts.sum() - counts.max()))
        mixed += wrong[-1] > 0
        who = int(counts.argmax())
        if not wrong[-1] and counts[who] == photos[who] >= 5:
            whole.add(who)
    drawn_again = np.random.default_rng(0).integers(0, max(1, len(sizes)), (1000, len(sizes)))
    shares = [np.array(wrong)[i].sum() / np.array(sizes)[i].sum() for i in drawn_again] if sizes else [0.0]
    low, high = interval(np.array(shares))
    return {
        "where": where, "mixture": mixture, "way": way, "albums": albums, "faces": len(people),
        "people": len(photos), "grouped": sum(sizes), "wrong": sum(wrong),
        "wrong_share": sum(wrong) / sum(sizes) if sizes else 0.0, "wrong_low": low, "wrong_high": high,
        "groups": len(sizes), "mixed": mixed, "whole": len(whole), "people_of_5": int((photos >= 5).sum()),
        **{
            key: [getattr(result, key).value, getattr(result, key).low, getattr(result, key).high]
            for key in ("bcubed_precision", "bcubed_recall", "bcubed_f")
        },
    }  # fmt: skip


def line(of: dict[str, Any]) -> str:
    rates = " ".join(
        f"{of[key][0]:.3f} [{of[key][1]:.3f}, {of[key][2]:.3f}]"
        for key in ("bcubed_precision", "bcubed_recall", "bcubed_f")
    )
    return (
        f"{of['where']:18} {of['mixture']:14} {of['way']:16} P R F {rates}  mixed {of['mixed']} of"
        f" {of['groups']}, whole and pure {of['whole']} of {of['people_of_5']}, wrong {of['wrong']} of"
        f" {of['grouped']} faces ({of['wrong_share']:.1%} [{of['wrong_low']:.1%}, {of['wrong_high']:.1%}])"
    )


def promise_kept(rows: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Of each mixture, the faces in sure groups that are somebody else's, and those in sure groups."""
    kept = {}
    for mixture in MIXTURES:
        own = [one for one in rows if one["mixture"] == mixture and one["way"] == "sure"]
        kept[mixture] = [sum(one["wrong"] for one in own), sum(one["grouped"] for one in own)]
    return kept


def poor_faces(runtime: Runtime) -> dict[str, Any]:
    """What the limits of the drawer take of ordinary faces, and of crops shrunk to 16 to 28 pixels and back;
    and the BCubed F of whole crops with a third as many shrunk ones grouped among them, and without."""
    dataset = open_dataset(ROOT / "data/celeba_extra")
    rng = np.random.default_rng(0)
    rows = rng.permutation(dataset.where("open"))[:600]
    crops = np.stack([dataset.crops[i] for i in rows])
    hit = np.arange(200)
    small = np.stack([shrunk(crops[i], int(rng.integers(16, 29))) for i in hit])
    _, wild_crops, scores = wild()
    sharp = {
        name: crop_facts(some, silent)[0][:, 2] < LEAST_SHARPNESS
        for name, some in (("whole", crops), ("shrunk", small), ("wild", wild_crops))
    }
    people, vectors = dataset.people[rows], runtime.embed(crops)
    mixed = vectors.copy()
    mixed[hit] = runtime.embed(small)
    rest = np.arange(200, 600)
    known = runtime.notes.get("impostors")
    together, apart = (find_groups(v, ALONE, known).labels for v in (mixed, mixed[rest]))
    return {
        "below_sharpness": {name: float(poor.mean()) for name, poor in sharp.items()},
        "wild_below_score": float((scores < LEAST_SCORE).mean()),
        "bcubed_f_of_whole_among_shrunk": bcubed_f(people[rest], together[rest]),
        "bcubed_f_of_whole_alone": bcubed_f(people[rest], apart),
    }


def bcubed_f(people: Any, groups: I64) -> float:
    precision, recall = (float(part.mean()) for part in bcubed_of_photos(people, groups))
    return 2 * precision * recall / (precision + recall)


def shrunk(crop: Any, side: int) -> Any:
    small = cv2.resize(np.ascontiguousarray(crop), (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, crop.shape[:2], interpolation=cv2.INTER_LINEAR)


def measure(n: int, d: int = 512) -> None:
    """Time and memory of grouping n made-up faces from nothing: a power law of photos a person, as far apart
    as real ones are."""
    rng = np.random.default_rng(0)
    counts = np.minimum(1 + rng.pareto(1.0, n).astype(np.int64), 500)
    people = np.repeat(np.arange(n), counts)[:n]
    own = unit(rng.standard_normal((int(people[-1]) + 1, d), np.float32))
    vectors = np.empty((n, d), np.float32)
    for start in range(0, n, 4096):
        part = people[start : start + 4096]
        noise = unit(rng.standard_normal((len(part), d), np.float32))
        vectors[start : start + 4096] = unit(np.sqrt(0.5) * (own[part] + noise))
    before, started, cpu = peak_mb(), time.monotonic(), time.process_time()
    found = find_groups(vectors, ALONE, None)
    results = {
        "faces": n,
        "people": int(people[-1]) + 1,
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_mb": peak_mb(),
        "peak_before_mb": before,
        "groups": len(found.sure),
        "sure": int(found.sure.sum()),
    }
    click.echo(str(results))
    make_folder(OUT)
    replace_json(OUT / f"memory-{n}.json", results)


def unit(vectors: Any) -> Any:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
