"""Does a Milvus server with an approximate index, really built, name the same people as the exact index
beside the gallery?

    .venv/bin/python scripts/studies/milvus_recall.py --store milvus:http://127.0.0.1:19530 --index hnsw
        --index ivf_sq8

A copy of the gallery is synced, the index is waited for, and noisy copies of enrolled vectors and random
directions are searched. Prints a line an index, writes scripts/results/past/recall.json, and drops the
projection.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benching import machine

from facesearch.cli.given import access_of
from facesearch.files import make_folder, replace_json
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.milvus.engine import connected
from facesearch.gallery.milvus.index import open_projection
from facesearch.gallery.milvus.projections import collection_of, place_of
from facesearch.gallery.milvus.sync import drop, sync
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store.store import Store

RESULTS = Path(__file__).resolve().parents[1] / "results" / "past" / "recall.json"
TOP = 5


def searches(vectors: Any, n: int) -> Any:
    """n unit vectors: half of them enrolled ones with as much noise as signal, half random."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(n, vectors.shape[1]))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    noise[: n // 2] += vectors[rng.choice(len(vectors), n // 2)]
    return (noise / np.linalg.norm(noise, axis=1, keepdims=True)).astype(np.float32)


def wait_until_indexed(place: Any, name: str, limit_s: float) -> float:
    started = time.perf_counter()
    with connected(place) as engine:
        while engine.unindexed(name) >= 1024:
            if time.perf_counter() - started > limit_s:
                raise TimeoutError(f"{engine.unindexed(name)} rows are not indexed after {limit_s:.0f} s")
            time.sleep(2)
        time.sleep(10)  # until the indexed segments have taken the place of the growing ones
    return time.perf_counter() - started


@click.command()
@click.option("--store", required=True)
@click.option("--index", "kinds", multiple=True, default=("hnsw", "ivf_sq8"), show_default=True)
@click.option("--gallery", type=click.Path(path_type=Path), default=Path("index"), show_default=True)
@click.option("--queries", default=400, show_default=True)
@click.option("--limit-s", default=1200.0, show_default=True, help="How long to wait for an index.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=None,
    help="The server's folder, to measure its index files.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=RESULTS, show_default="scripts/results/past/recall.json"
)
def main(
    store: str,
    kinds: tuple[str, ...],
    gallery: Path,
    queries: int,
    limit_s: float,
    data: Path | None,
    out: Path,
) -> None:
    root, place = Path(tempfile.mkdtemp(prefix="facesearch-recall-")), place_of(store, access_of())
    about = machine()
    found: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    try:
        shutil.copytree(gallery, root / "g")
        with Store.open(root / "g") as opened:
            own = open_index(opened)
            asked = searches(opened.faces.vectors()[1], queries)
            plain = [nearest_people(opened, own, query, TOP) for query in asked]
            for kind in kinds:
                sync(opened, place, index=kind, progress=lambda done, total: None)
                try:
                    waited = wait_until_indexed(place, collection_of(opened), limit_s)
                    files = (
                        sum(p.stat().st_size for p in (data / "index_files").rglob("*") if p.is_file())
                        if data
                        else None
                    )
                    first = all_of = 0
                    with open_projection(opened, place) as index:
                        for query, here in zip(asked, plain, strict=True):
                            there = nearest_people(opened, index, query, TOP)
                            first += (
                                there[0].person == here[0].person
                                and abs(there[0].score - here[0].score) < 1e-6
                            )
                            all_of += [m.person for m in there] == [m.person for m in here]
                    with connected(place) as engine:
                        version = engine.version()
                finally:
                    drop(opened, place, abandon=False)
                found[kind] = {
                    "machine": about,
                    "server": version,
                    "faces": len(opened),
                    "queries": queries,
                    "same_first": first,
                    "same_five": all_of,
                    "indexed_s": waited,
                    "index_bytes": None if files is None else files / len(opened),
                }
                click.echo(
                    f"{kind}: first person the same in {first} of {queries} searches, all five in {all_of};"
                    f" indexed in {waited:.0f} s"
                )
    finally:
        shutil.rmtree(root)
    make_folder(out.parent)
    replace_json(out, found)


if __name__ == "__main__":
    main()
