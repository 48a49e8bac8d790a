"""Best photo or mean template? What a person's score should be, asked of people that things may be chosen on.

    .venv/bin/python scripts/ways_to_score.py

CelebA-500 plays an open set: half of its people are enrolled by 1, 2, 5 or all of their train photos, their
val photos are the mated searches, the others' val photos the non-mated ones; drawn again for every seed.
Templates are found as `query` finds them: of the COMPARED people with the nearest photos. The encoder has
learned from all these people, so the rates themselves are too good; what is asked is which way misses less.
Nobody who is evaluated takes part. Beside it, how much longer a search of the shipped gallery takes by
templates. Writes scripts/results/ways_to_score.json.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from benching import machine, write

import facesearch
from facesearch.cli.terminal import bar
from facesearch.datasets.table import open_dataset
from facesearch.encoder.dataset_vectors import dataset_vectors
from facesearch.gallery.index.faiss_index import open_index
from facesearch.gallery.known_vectors import known_vectors
from facesearch.gallery.nearest import COMPARED, nearest_people
from facesearch.gallery.store.store import Store
from facesearch.metrics.openset import Searches, best_candidates, fnir_at, mean_templates, threshold_at_fpir
from facesearch.records import F32, F64, I64, WAYS_TO_SCORE, ScoredBy

ROOT = Path(__file__).resolve().parent.parent
ENROLLED = (1, 2, 5, None)
FPIRS = (0.1, 0.03, 0.01)
SEARCHES = 200


@click.command()
@click.option("--seeds", default=10, show_default=True, help="So many draws of who is enrolled.")
def main(seeds: int) -> None:
    """Print the table and write it."""
    about = machine()
    runtime = facesearch.load_encoder().runtime
    data = open_dataset(ROOT / "data/celeba500")
    with bar("embed", "photo") as progress:
        vectors = dataset_vectors(
            data, np.arange(len(data)), runtime, known_vectors(ROOT / "index", runtime.encoder_id), progress
        )
    _, people = np.unique(data.people, return_inverse=True)
    train, val = data.where("train"), data.where("val")
    click.echo(
        f"{runtime.words}; {seeds} draws; FNIR by best photo, by mean template, and their difference (mean,"
        " standard error)"
    )
    click.echo(
        "photos a person  "
        + "  ".join(f"FPIR {rate:.0%}".ljust(34) for rate in FPIRS)
        + "rank-1           another answer than by comparing all"
    )
    rows: list[dict[str, Any]] = []
    for most in ENROLLED:
        drawn = [
            _draw(vectors, people.astype(np.int64), train, val, most, np.random.default_rng(seed))
            for seed in range(seeds)
        ]
        best, template, other = (np.array([draw[i] for draw in drawn]) for i in range(3))
        less = template - best
        error = less.std(axis=0, ddof=1) / np.sqrt(seeds)
        row = {
            "enrolled": most,
            "best": best.mean(0),
            "template": template.mean(0),
            "difference": less.mean(0),
            "error": error,
        }
        rows.append(
            {
                **{
                    key: value.tolist() if isinstance(value, np.ndarray) else value
                    for key, value in row.items()
                },
                "other": other.mean(),
            }
        )
        cells = [
            f"{b:.4f}  {t:.4f}  {d:+.4f} ± {e:.4f}"
            for b, t, d, e in zip(best.mean(0), template.mean(0), less.mean(0), error, strict=True)
        ]
        ranks = f"{1 - best.mean(0)[-1]:.4f}  {1 - template.mean(0)[-1]:.4f}"
        click.echo(
            f"{most or 'all':>15}  "
            + "  ".join(cell.ljust(34) for cell in cells[:-1])
            + f"{ranks}   {other.mean():.2%}"
        )
    columns = [*(f"FNIR at FPIR {rate:.0%}" for rate in FPIRS), "1 - rank-1"]
    ratio = _slower(vectors[val[:: len(val) // SEARCHES]])
    click.echo(
        f"a search of index/ by mean templates takes {ratio:.1f} times as long as by best photo (median of"
        f" {SEARCHES}, in turn)"
    )
    result = {
        "encoder": runtime.words,
        "encoder_id": runtime.encoder_id,
        "draws": seeds,
        "columns": columns,
        "rows": rows,
        "times_as_long": ratio,
    }
    write(result, ROOT / "scripts/results/ways_to_score.json", about)


def _draw(
    vectors: F32, people: I64, train: I64, val: I64, most: int | None, rng: np.random.Generator
) -> tuple[list[float], list[float], float]:
    """One draw: FNIR at each rate and the share of mated searches led by somebody else, by best photo and by
    mean template; and the share of searches whose best template is another one when all are compared."""
    inside = np.isin(people, rng.permutation(people.max() + 1)[: (people.max() + 1) // 2])
    gallery = rng.permutation(train[inside[train]])
    if most is not None:
        gallery = gallery[_turns(people[gallery]) < most]
    asked = np.concatenate([val[inside[val]], val[~inside[val]]])
    mated = int(inside[val].sum())
    best, row = best_candidates(vectors[asked], vectors[gallery], np.arange(len(gallery)))
    templates, names = mean_templates(vectors[gallery], people[gallery])
    near = _near(vectors[asked] @ vectors[gallery].T, np.searchsorted(names, people[gallery]), len(names))
    cosines = vectors[asked] @ templates.T
    found = np.where(near, cosines, -1)
    other = float((found.argmax(axis=1) != cosines.argmax(axis=1)).mean())
    return (
        _rates(best, people[gallery][row.astype(np.int64)], people[asked], mated),
        _rates(found.max(axis=1), names[found.argmax(axis=1)], people[asked], mated),
        other,
    )


def _slower(asked: F32) -> float:
    """The median time of a search of the shipped gallery by mean templates, over that by best photo; both of
    every vector in turn.
    """
    seconds: dict[ScoredBy, list[float]] = {way: [] for way in WAYS_TO_SCORE}
    with Store.open(ROOT / "index") as gallery:
        index = open_index(gallery)
        for vector in asked:
            for way, taken in seconds.items():
                started = time.perf_counter()
                nearest_people(gallery, index, vector, 5, by=way)
                taken.append(time.perf_counter() - started)
    return float(np.median(seconds["mean-template"]) / np.median(seconds["best-photo"]))


def _turns(codes: I64) -> I64:
    """Of each row how many rows of the same person come before it."""
    turn = np.zeros(len(codes), np.int64)
    for code in np.unique(codes):
        turn[codes == code] = np.arange((codes == code).sum())
    return turn


def _near(cosines: F32, column: I64, count: int) -> Any:
    """Which people (q, count) a query compares by their templates, see nearest_people."""
    order = np.argsort(-cosines, axis=1, kind="stable")
    near = np.zeros((len(cosines), count), bool)
    for i, photos in enumerate(order):
        whose = column[photos]
        _, first = np.unique(whose, return_index=True)
        near[i, whose[np.sort(first)[:COMPARED]]] = True
    return near


def _rates(score: F32, who: I64, true: I64, mated: int) -> list[float]:
    searches = Searches(score[:mated], who[:mated] == true[:mated], true[:mated], score[mated:], true[mated:])
    missed: F64 = np.array(
        [fnir_at(searches, threshold_at_fpir(searches.stranger_score, rate)) for rate in FPIRS]
    )
    return [*missed.tolist(), float(1 - searches.mated_right.mean())]


if __name__ == "__main__":
    main()
