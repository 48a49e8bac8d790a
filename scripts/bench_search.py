"""How fast is search, and what does it find: the gallery's own store and index, beside what others do, at
growing sizes.

    .venv/bin/python scripts/bench_search.py --quick          # 10,000 and 50,000 faces
    .venv/bin/python scripts/bench_search.py                  # 10,000, 100,000 and 1,000,000
    .venv/bin/python scripts/bench_search.py --sizes 10000000 --vectors face

Two kinds of vectors: like faces (people drawn with the covariance of the shipped gallery's person means, ten
photos each around them with its covariance within a person), and random unit vectors, the worst case for
anything that is not exact. Asked with new photos of enrolled people and with photos of strangers. Every stage
runs in a process of its own, so that its peak memory is its own. Prints a table, writes
scripts/results/search/bench.json.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
from benching import machine, write

from facesearch.gallery.forget import forget
from facesearch.gallery.index.choice import choose_index, index_parts
from facesearch.gallery.index.faiss_index import open_for, open_index, refresh
from facesearch.gallery.nearest import nearest_people, nearest_to_each
from facesearch.gallery.store.rows import NewFace, Threshold
from facesearch.gallery.store.store import Store
from facesearch.gallery.tidy import tidy
from facesearch.records import F32, I64, WAYS_TO_SCORE, ScoredBy

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "scripts/results/search"
SHIPPED = ROOT / "index"
D = 512
PHOTOS = 10
CHUNK = 20_000
ASKED = 200
K = 10
GRAPHS_UP_TO = 100_000
"""hnswlib and usearch take many minutes to build above it."""
PLAIN_UP_TO = 1_000_000
"""IndexFlatIP holds 4 bytes a number in memory."""
LOOPS_UP_TO = 100_000


# ---- vectors


@lru_cache(maxsize=1)
def spectrum() -> tuple[F32, F32, F32]:
    """Of the shipped gallery: the mean of all people (d,), and roots (d, d) of the covariances of people and
    within a person.
    """
    with Store.open(SHIPPED) as gallery:
        _, vectors, names = gallery.faces.vectors()
    _, person = np.unique(names, return_inverse=True)
    count = np.bincount(person)
    means = np.stack([np.bincount(person, vectors[:, i]) / count for i in range(vectors.shape[1])], axis=1)
    rest = vectors - means[person]
    within = rest.T @ rest / (len(vectors) - len(count))
    return means.mean(axis=0).astype(np.float32), _root(np.cov(means.T)), _root(within)


def _root(covariance: Any) -> F32:
    values, vectors = np.linalg.eigh(covariance)
    return np.ascontiguousarray((vectors * np.sqrt(np.clip(values, 0, None))).T, np.float32)


def _unit(vectors: F32) -> F32:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def people_of(kind: str, chunk: int) -> F32:
    """The people of a chunk of CHUNK photos (CHUNK / PHOTOS, d). Chunk -1: strangers."""
    mean, between, _ = spectrum()
    drawn = np.random.default_rng([chunk + 1, 1]).standard_normal((CHUNK // PHOTOS, D), np.float32)
    return drawn @ between + mean if kind == "face" else drawn


def photos_of(kind: str, people: F32, seed: int) -> F32:
    """One photo (n, d) of each, a unit vector in float16's precision. Random vectors have no people: every
    photo is its own.
    """
    drawn = np.random.default_rng([seed, 2]).standard_normal((len(people), D), np.float32)
    return (
        _unit(people + drawn @ spectrum()[2] if kind == "face" else drawn)
        .astype(np.float16)
        .astype(np.float32)
    )


def gallery_vectors(kind: str, n: int) -> Iterator[F32]:
    """All enrolled vectors, a chunk (CHUNK, d) at a time; photo i is of person i // PHOTOS."""
    for chunk in range(-(-n // CHUNK)):
        people = np.repeat(people_of(kind, chunk), PHOTOS, axis=0)
        yield photos_of(kind, people, chunk)[: n - chunk * CHUNK]


def queries(kind: str, n: int) -> dict[str, F32]:
    """New photos of enrolled people, and of strangers, (ASKED, d) each."""
    if kind != "face":
        return {"random": photos_of(kind, people_of(kind, 0)[:ASKED], 10**6)}
    enrolled = people_of(kind, 0)[: min(ASKED, n // PHOTOS)]
    return {
        "enrolled": photos_of(kind, enrolled, 10**6),
        "strangers": photos_of(kind, people_of(kind, -1)[:ASKED], 10**6 + 1),
    }


def content(number: int) -> str:
    """What stands for the SHA-256 of a photo's file."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def name_of(person: int) -> str:
    return f"person {person:08}"


def nearest(kind: str, n: int, asked: F32) -> tuple[I64, F32]:
    """The K nearest of all by trying all: numbers (q, K) and cosines (q, K), best first."""
    numbers, best = np.zeros((len(asked), K), np.int64), np.full((len(asked), K), -2, np.float32)
    for chunk, vectors in enumerate(gallery_vectors(kind, n)):
        scores = np.concatenate([best, asked @ vectors.T], axis=1)
        named = np.concatenate(
            [numbers, np.broadcast_to(np.arange(len(vectors)) + chunk * CHUNK, (len(asked), len(vectors)))],
            axis=1,
        )
        order = np.argsort(-scores, axis=1)[:, :K]
        numbers, best = np.take_along_axis(named, order, 1), np.take_along_axis(scores, order, 1)
    return numbers, best


def recall(found: I64, truth: I64) -> float:
    return float(
        np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), truth.tolist(), strict=True)])
    )


# ---- stages: each runs in its own process


def in_own_process(stage: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
    """Run a stage in a new process; adds its peak memory (mapped files included, as far as they were read)
    and its own memory.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, stage, given).result()


def _measured(stage: Callable[..., dict[str, Any]], given: tuple[Any, ...]) -> dict[str, Any]:
    os.umask(0o077)
    result = stage(*given)
    status = Path("/proc/self/status")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines()) if status.exists() else {}
    own, peak = (int(lines.get(key, "0 kB").split()[0]) // 1024 for key in ("RssAnon", "VmHWM"))
    return result | {"peak_mb": peak, "own_mb": own}


def fill(folder: str, kind: str, n: int) -> dict[str, Any]:
    """Enroll n faces in the store, as a bulk import does."""
    started = time.perf_counter()
    with Store.create(Path(folder), "b" * 64, D, "drawn vectors") as gallery:
        number = 0
        for vectors in gallery_vectors(kind, n):
            faces = [
                NewFace(name_of((number + i) // PHOTOS), content(number + i), f"photo-{number + i:08}.jpg", v)
                for i, v in enumerate(vectors)
            ]
            gallery.faces.add(faces)
            number += len(faces)
        gallery.notes.set_threshold(Threshold(0.6, 0.01, "drawn", 1000, n, by="mean-template"))
        gallery.eraser.cut_log()
    return {"fill_s": time.perf_counter() - started}


def build(folder: str, choice: str) -> dict[str, Any]:
    started = time.perf_counter()
    with Store.open(Path(folder)) as gallery:
        choose_index(gallery, choice)
        refresh(gallery, "bench")
        seconds = time.perf_counter() - started
        made = index_parts(gallery)
    files = {
        path.suffix[1:]: path.stat().st_size
        for path in Path(folder).iterdir()
        if path.suffix in (".faiss", ".ids", ".codes", ".index")
    }
    return {
        "build_s": seconds,
        "index": made,
        "files": files,
        "store_bytes": (Path(folder) / "gallery.sqlite").stat().st_size,
    }


def search(folder: str, asked: dict[str, F32], truth: dict[str, I64]) -> dict[str, Any]:
    """Open, then ask one by one (the index alone, and whole answers with people: by best photo and by
    template, in turn), then all at once.
    """
    opened: dict[ScoredBy, list[float]] = {way: [] for way in WAYS_TO_SCORE}
    for way in [*WAYS_TO_SCORE] * 3:
        started = time.perf_counter()
        with Store.open(Path(folder)) as gallery:
            open_for(gallery, way)
        opened[way].append(time.perf_counter() - started)
    with Store.open(Path(folder)) as gallery:
        index, people = open_index(gallery), open_for(gallery, "mean-template")
        everything = np.concatenate(list(asked.values()))
        index.search(everything[:8], K)
        alone = _timed([lambda q=q: index.search(q[None], K) for q in everything])
        answers: list[Callable[[], Any]] = []
        for q in everything:
            answers.append(lambda q=q: nearest_people(gallery, index, q, 5))
            answers.append(lambda q=q: nearest_people(gallery, people, q, 5, by="mean-template"))
        times = _times(answers)
        whole, by_template = _spread(times[::2]), _spread(times[1::2])
        agree = _templates_agree(gallery, people, everything)
        started = time.perf_counter()
        for _ in range(3):
            index.search(everything, K)
        batched = 3 * len(everything) / (time.perf_counter() - started)
        recalls = {
            name: recall(index.search(q, K)[0] - 1, truth[name]) for name, q in asked.items()
        }  # ids begin at 1
        exact = _scores_are_exact(gallery, index, everything[:20])
    return {
        "open_ms": 1000 * min(opened["best-photo"]),
        "template_open_ms": 1000 * min(opened["mean-template"]),
        **{f"search_{k}": v for k, v in alone.items()},
        **{f"answer_{k}": v for k, v in whole.items()},
        **{f"template_{k}": v for k, v in by_template.items()},
        "template_first_right": agree,
        "batched_per_s": batched,
        "recall": recalls,
        "scores_exact": exact,
    }


def _templates_agree(gallery: Store, people: Any, asked: F32) -> float:
    """The share of searches by template whose first person is the nearest of all, by comparing all."""
    _, vectors, names = gallery.templates.vectors()
    best = np.concatenate([vectors @ part.T for part in np.array_split(asked, 20)], axis=1).argmax(axis=0)
    found = nearest_to_each(gallery, people, asked, "mean-template")
    return float(np.mean([name == names[i] for i, (name, _) in zip(best, found, strict=True)]))


def _scores_are_exact(gallery: Store, index: Any, asked: F32) -> bool:
    ids, scores = index.search(asked, K)
    vectors = gallery.faces.vectors_at(ids.ravel().tolist())
    return bool(
        np.allclose(
            [[vectors[i] @ q for i in row] for row, q in zip(ids.tolist(), asked, strict=True)],
            scores,
            atol=1e-5,
        )
    )


def change(folder: str, kind: str, n: int) -> dict[str, Any]:
    """Enroll one face at a time, as the command does once its vector is there; then forget people, with the
    proof.
    """
    times = []
    for i, vector in enumerate(photos_of(kind, people_of(kind, -1)[:20], 99)):
        started = time.perf_counter()
        with Store.open(Path(folder)) as gallery:
            gallery.faces.add([NewFace(f"new {i}", content(-1 - i), f"new-photo-{i}.jpg", vector)])
            tidy(gallery, {}, None)
        times.append(time.perf_counter() - started)
    forgotten = []
    for i in range(2):
        started = time.perf_counter()
        forget(name_of(7 + i), Path(folder), (), lambda line: None)
        forgotten.append(time.perf_counter() - started)
    return {
        "enroll_p50_ms": _ms(times[1:], 50),
        "enroll_p95_ms": _ms(times[1:], 95),
        "enroll_first_ms": 1000 * times[0],
        "forget_s": min(forgotten),
    }


def _timed(calls: list[Callable[[], Any]]) -> dict[str, float]:
    return _spread(_times(calls))


def _times(calls: list[Callable[[], Any]]) -> list[float]:
    times = []
    for call in calls:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return times


def _spread(times: list[float]) -> dict[str, float]:
    return {"p50_ms": _ms(times, 50), "p95_ms": _ms(times, 95)}


def _ms(times: list[float], share: float) -> float:
    return float(np.percentile(times, share)) * 1000


# ---- what others do


def _array(kind: str, n: int) -> F32:
    vectors = np.empty((n, D), np.float32)
    for chunk, part in enumerate(gallery_vectors(kind, n)):
        vectors[chunk * CHUNK : chunk * CHUNK + len(part)] = part
    return vectors


def plain_faiss(kind: str, n: int, asked: F32, truth: I64) -> dict[str, Any]:
    import faiss

    index = faiss.IndexFlatIP(D)
    started = time.perf_counter()
    for part in gallery_vectors(kind, n):
        index.add(part)
    return {"build_s": time.perf_counter() - started, **_asked(lambda q: index.search(q, K)[1], asked, truth)}


def by_hnswlib(kind: str, n: int, asked: F32, truth: I64) -> dict[str, Any]:
    import hnswlib

    index = hnswlib.Index("ip", D)
    index.init_index(n, M=16, ef_construction=200)
    index.set_ef(100)
    started = time.perf_counter()
    for chunk, part in enumerate(gallery_vectors(kind, n)):
        index.add_items(part, np.arange(len(part)) + chunk * CHUNK)
    return {
        "build_s": time.perf_counter() - started,
        **_asked(lambda q: index.knn_query(q, K)[0].astype(np.int64), asked, truth),
    }


def by_usearch(kind: str, n: int, asked: F32, truth: I64) -> dict[str, Any]:
    from usearch.index import Index

    index = Index(ndim=D, metric="ip", dtype="f16", connectivity=16, expansion_add=200, expansion_search=100)
    started = time.perf_counter()
    for chunk, part in enumerate(gallery_vectors(kind, n)):
        index.add(np.arange(len(part)) + chunk * CHUNK, part)

    def find(q: F32) -> I64:
        return np.atleast_2d(index.search(q, K).keys).astype(np.int64)

    return {"build_s": time.perf_counter() - started, **_asked(find, asked, truth)}


def as_face_recognition(kind: str, n: int, asked: F32, truth: I64) -> dict[str, Any]:
    """numpy over all rows in float64: face_distance(known, face), as its examples call it on what they have
    loaded.
    """
    known = _array(kind, n).astype(np.float64)
    return _asked(
        lambda q: np.argsort(np.linalg.norm(known - q[0], axis=1))[None, :K], asked[:20], truth[:20]
    )


def as_deepface(kind: str, n: int, asked: F32, truth: I64) -> dict[str, Any]:
    """A pickle of lists loaded for every search, and a loop in Python over all rows: DeepFace.find, before it
    kept an .npz file.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "representations.pkl"
        rows = [{"identity": f"{i}.jpg", "embedding": v.tolist()} for i, v in enumerate(_array(kind, n))]
        path.write_bytes(pickle.dumps(rows))

        def find(q: F32) -> I64:
            loaded = pickle.loads(path.read_bytes())  # noqa: S301  (the way it is done there is what is measured)
            target = q[0]
            distances = []
            for row in loaded:
                source = np.array(row["embedding"])
                distances.append(1 - source @ target / (np.linalg.norm(source) * np.linalg.norm(target)))
            return np.argsort(distances)[None, :K]

        return {**_asked(find, asked[:3], truth[:3]), "file_bytes": path.stat().st_size}


def _asked(find: Callable[[F32], I64], asked: F32, truth: I64) -> dict[str, Any]:
    find(asked[:1])
    times, found = [], []
    for query in asked:
        started = time.perf_counter()
        found.append(find(query[None]))
        times.append(time.perf_counter() - started)
    return {
        "search_p50_ms": _ms(times, 50),
        "search_p95_ms": _ms(times, 95),
        "recall": recall(np.concatenate(found), truth),
    }


PEERS: dict[str, tuple[Callable[..., dict[str, Any]], int]] = {
    "faiss IndexFlatIP": (plain_faiss, PLAIN_UP_TO),
    "hnswlib": (by_hnswlib, GRAPHS_UP_TO),
    "usearch f16": (by_usearch, GRAPHS_UP_TO),
    "as face_recognition": (as_face_recognition, LOOPS_UP_TO),
    "as deepface": (as_deepface, LOOPS_UP_TO),
}


# ---- all of it


def bench(
    kind: str,
    n: int,
    *,
    choices: tuple[str, ...] = ("auto",),
    peers_up_to: int = GRAPHS_UP_TO,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Everything of one kind of vectors at one size. choices: indexes to be measured one after the other;
    peers_up_to: so many faces at most are given to the slow ones of PEERS; 0: no peer at all."""
    scratch = Path(tempfile.mkdtemp(prefix="bench-search-"))
    folder = str(scratch / "g")
    try:
        asked = queries(kind, n)
        nearby = {name: nearest(kind, n, q) for name, q in asked.items()}
        truth = {name: numbers for name, (numbers, _) in nearby.items()}
        facts: dict[str, Any] = {
            "vectors": kind,
            "faces": n,
            "best_score": {name: float(s[:, 0].mean()) for name, (_, s) in nearby.items()},
        }
        facts |= in_own_process(fill, folder, kind, n)
        facts["indexes"] = {}
        for choice in choices:
            made = in_own_process(build, folder, choice)
            found = in_own_process(search, folder, asked, truth)
            for line in own_lines(kind, n, choice, made, found):
                tell(line)
            changed = in_own_process(change, folder, kind, n) if choice == choices[-1] else {}
            if changed:
                tell(change_line(made, changed))
            facts["indexes"][choice] = {"build": made, "search": found, "change": changed}
        first = next(iter(asked))
        facts["peers"] = {}
        for name, (stage, most) in PEERS.items():
            if n <= (most if most == PLAIN_UP_TO and peers_up_to else min(most, peers_up_to)):
                facts["peers"][name] = got = in_own_process(stage, kind, n, asked[first], truth[first])
                ratio = got["search_p50_ms"] / facts["indexes"][choices[0]]["search"]["search_p50_ms"]
                facts["peers"][name]["times_ours"] = ratio
                built = f"build {got['build_s']:7.1f} s  " if "build_s" in got else " " * 17
                tell(
                    f"    {name:<20} {built}p50 {got['search_p50_ms']:9.3f} ms  p95"
                    f" {got['search_p95_ms']:9.3f} ms  recall@10 {got['recall']:.4f}  {got['peak_mb']:6d} MB "
                    f" {ratio:8.1f} x ours"
                )
        return facts
    finally:
        shutil.rmtree(scratch)


def own_lines(kind: str, n: int, choice: str, made: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    """What is printed of one index."""
    shape = " + ".join(
        part["kind"] + (f"/{part['rerank']}" if part["rerank"] else "") for part in made["index"]
    )
    recalls = ", ".join(f"{name} {value:.4f}" for name, value in found["recall"].items())
    yield (
        f"{kind} {n:,}  --index {choice} -> {shape}: build {made['build_s']:.1f} s, peak {made['peak_mb']}"
        f" MB, own {made['own_mb']} MB"
    )
    yield (
        f"    open {found['open_ms']:.1f} ms; search p50 {found['search_p50_ms']:.3f} p95"
        f" {found['search_p95_ms']:.3f} ms, with people p50 {found['answer_p50_ms']:.3f} p95"
        f" {found['answer_p95_ms']:.3f} ms; {found['batched_per_s']:.0f}/s batched; own {found['own_mb']} MB"
    )
    yield (
        f"    by template: open {found['template_open_ms']:.1f} ms; with people p50"
        f" {found['template_p50_ms']:.3f} p95 {found['template_p95_ms']:.3f} ms,"
        f" {found['template_p50_ms'] / found['answer_p50_ms']:.2f} times that by photo;"
        f" first person as by comparing all: {found['template_first_right']:.4f}"
    )
    yield f"    recall@{K}: {recalls}; scores exact: {found['scores_exact']}"


def change_line(made: dict[str, Any], changed: dict[str, Any]) -> str:
    return (
        f"    enroll one: p50 {changed['enroll_p50_ms']:.1f} p95 {changed['enroll_p95_ms']:.1f} ms; forget"
        f" one person, with proof: {changed['forget_s']:.2f} s; files {sum(made['files'].values()):,} bytes"
        f" beside a store of {made['store_bytes']:,}"
    )


@click.command()
@click.option("--quick", is_flag=True, help="10,000 and 50,000 faces only.")
@click.option("--sizes", default="10000,100000,1000000", show_default=True, help="Numbers of faces.")
@click.option("--vectors", type=click.Choice(["face", "random", "both"]), default="both", show_default=True)
@click.option(
    "--index",
    "choices",
    multiple=True,
    default=("auto",),
    show_default=True,
    help="As build-index takes it; may be given again.",
)
@click.option("--peers/--no-peers", default=True, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=OUT / "bench.json", show_default=False)
def main(quick: bool, sizes: str, vectors: str, choices: tuple[str, ...], peers: bool, out: Path) -> None:
    """Run everything, print a table, write JSON."""
    numbers = [10_000, 50_000] if quick else [int(size) for size in sizes.split(",")]
    kinds = ["face", "random"] if vectors == "both" else [vectors]
    limit = 0 if not peers else 10_000 if quick else GRAPHS_UP_TO
    results, about = [], machine()
    for kind in kinds:
        for n in numbers:
            results.append(bench(kind, n, choices=choices, peers_up_to=limit, tell=click.echo))
            write({"runs": results}, out, about)
    for kind in kinds:
        own = [
            (run["faces"], run["indexes"][choices[0]]["search"]["search_p50_ms"])
            for run in results
            if run["vectors"] == kind
        ]
        for (few, quick_ms), (many, slow_ms) in pairwise(own):
            click.echo(
                f"{kind}: {many / few:.0f} times the faces, {slow_ms / quick_ms:.1f} times the time of a"
                " query"
            )
    sys.exit(0 if all(i["search"]["scores_exact"] for run in results for i in run["indexes"].values()) else 1)


if __name__ == "__main__":
    main()
