"""One large gallery simulated by several: do their merged answers equal those of one?

    .venv/bin/python scripts/studies/shards.py --gallery index --shards 4

People are dealt to shards by a hash of their name, so that all photos of a person are in one; each shard is a
gallery of its own, projected into a Milvus Lite of its own. A search asks all of them and keeps the best.
Prints one line, writes scripts/results/past/shards.json; exit code 1 when any answer differs.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benching import machine, write

from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.milvus.index import open_projection
from facesearch.gallery.milvus.projections import place_of
from facesearch.gallery.milvus.sync import sync
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store
from facesearch.records import Match

RESULTS = Path(__file__).resolve().parents[1] / "results" / "past" / "shards.json"
TOP = 5
EQUAL = 1e-6


def shard_of(person: str, shards: int) -> int:
    return int.from_bytes(hashlib.sha256(person.encode()).digest()[:8], "big") % shards


def differs(one: tuple[Match, ...], merged: list[Match]) -> bool:
    """Whether two answers name other people, or score them otherwise."""
    pairs = zip(one, merged, strict=True)
    return any(
        a.person != b.person or abs(a.score - b.score) > EQUAL or a.photos != b.photos for a, b in pairs
    )


@click.command()
@click.option("--gallery", type=click.Path(path_type=Path), default=Path("index"), show_default=True)
@click.option("--shards", default=4, show_default=True)
@click.option("--queries", default=500, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), default=RESULTS, show_default="scripts/results/past/shards.json"
)
def main(gallery: Path, shards: int, queries: int, out: Path) -> None:
    about, root = machine(), Path(tempfile.mkdtemp(prefix="facesearch-shards-"))
    rng = np.random.default_rng(1)
    try:
        shutil.copytree(gallery, root / "whole")
        with ExitStack() as stack:
            whole = stack.enter_context(Store.open(root / "whole"))
            faces, vectors = whole.faces.enrolled()
            parts, indexes = [], []
            for number in range(shards):
                part = stack.enter_context(
                    Store.create(
                        root / f"shard-{number}", whole.encoder_id, whole.dimension, whole.notes.encoder
                    )
                )
                rows = zip(faces, vectors, strict=True)
                part.faces.add(
                    [
                        NewFace(f.person, f.sha256, f.source, v)
                        for f, v in rows
                        if shard_of(f.person, shards) == number
                    ]
                )
                place = place_of(f"milvus:{root / f'shard-{number}.db'}")
                sync(part, place, progress=lambda done, total: None)
                parts.append(part)
                indexes.append(stack.enter_context(open_projection(part, place)))
            index, wrong = open_index(whole), 0
            for row in rng.choice(len(vectors), queries):
                near = vectors[row] + 0.05 * rng.normal(size=whole.dimension).astype(np.float32)
                near = (near / np.linalg.norm(near)).astype(np.float32)
                found = [
                    m
                    for part, there in zip(parts, indexes, strict=True)
                    for m in nearest_people(part, there, near, TOP)
                ]
                wrong += differs(
                    nearest_people(whole, index, near, TOP), sorted(found, key=lambda m: -m.score)[:TOP]
                )
            sizes = [len(part) for part in parts]
    finally:
        shutil.rmtree(root)
    write({"shards": shards, "faces": sizes, "queries": queries, "top": TOP, "wrong": wrong}, out, about)
    click.echo(
        f"{shards} shards of {sizes} faces, {queries} searches: {wrong} answers differ from those of one"
        " gallery"
    )
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
