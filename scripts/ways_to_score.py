"""Best photo or mean template? What a person's score should be, asked of people that things may be chosen on.

    .venv/bin/python scripts/ways_to_score.py

CelebA-500 plays an open set: half of its people are enrolled by 1, 2, 5 or all of their train photos, their
val photos are the mated searches, the others' val photos the non-mated ones; drawn again for every seed.
Also asked: does a second template help those whose photos differ, such as over the years? People with FEWEST
photos or more get two, the centres of their photos in two clusters; all of them, or the third with the widest
spread. And: how often does an engine that holds photos alone (Milvus), where the COMPARED people with the
nearest photos are compared by their templates, lead to another answer? The encoder has learned from all these
people, so the rates themselves are too good; what is asked is which way misses less. Nobody who is evaluated
takes part. How long either way takes: scripts/bench_search.py. Writes scripts/results/ways_to_score.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from benching import machine, write

import facesearch
from facesearch.cli.terminal import bar
from facesearch.datasets.table import open_dataset
from facesearch.encoder.dataset_vectors import dataset_vectors
from facesearch.gallery.known_vectors import known_vectors
from facesearch.gallery.nearest import COMPARED
from facesearch.metrics.openset import Searches, fnir_at, mean_templates, threshold_at_fpir
from facesearch.records import F32, F64, I64

ROOT = Path(__file__).resolve().parent.parent
ENROLLED = (1, 2, 3, 5, 10, None)
FPIRS = (0.1, 0.03, 0.01)
WAYS = ("best", "template", "two", "two of a third")
FEWEST = 4
ROUNDS = 20


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
        f"{runtime.words}; {seeds} draws; FNIR, and what is less of it than by best photo ± standard error"
    )
    rows = []
    for most in ENROLLED:
        drawn = [
            _draw(vectors, people.astype(np.int64), train, val, most, np.random.default_rng(seed))
            for seed in range(seeds)
        ]
        rows.append(_row(most, drawn))
        click.echo(
            f"{most or 'all'} photos a person; another answer by photos first: {rows[-1]['other']:.2%}"
        )
        for way in WAYS:
            cells = [
                f"FPIR {rate:.0%} {value:.4f}" for rate, value in zip(FPIRS, rows[-1][way], strict=False)
            ]
            less = zip(rows[-1]["less"].get(way, []), rows[-1]["errors"].get(way, []), strict=True)
            cells += [f"{value:+.4f} ± {error:.4f}" for value, error in [*less][: len(FPIRS)]]
            click.echo(f"    {way:<16}  1 - rank-1 {rows[-1][way][-1]:.4f}  {'  '.join(cells)}")
    columns = [*(f"FNIR at FPIR {rate:.0%}" for rate in FPIRS), "1 - rank-1"]
    result = {
        "encoder": runtime.words,
        "encoder_id": runtime.encoder_id,
        "draws": seeds,
        "columns": columns,
        "rows": rows,
    }
    write(result, ROOT / "scripts/results/ways_to_score.json", about)


def _row(most: int | None, drawn: list[tuple[dict[str, list[float]], float]]) -> dict[str, Any]:
    """The means over draws; of every other way also what it misses less than the best photo does."""
    rates = {way: np.array([draw[way] for draw, _ in drawn]) for way in WAYS}
    less = {way: rates[way] - rates["best"] for way in WAYS[1:]}
    return {
        "enrolled": most,
        **{way: own.mean(0).tolist() for way, own in rates.items()},
        "less": {way: own.mean(0).tolist() for way, own in less.items()},
        "errors": {
            way: (own.std(axis=0, ddof=1) / np.sqrt(len(drawn))).tolist() for way, own in less.items()
        },
        "other": float(np.mean([other for _, other in drawn])),
    }


def _draw(
    vectors: F32, people: I64, train: I64, val: I64, most: int | None, rng: np.random.Generator
) -> tuple[dict[str, list[float]], float]:
    """One draw: FNIR at each rate and the share of mated searches led by somebody else, by every way; and the
    share of searches whose best template is another one when all are compared.
    """
    inside = np.isin(people, rng.permutation(people.max() + 1)[: (people.max() + 1) // 2])
    gallery = rng.permutation(train[inside[train]])
    if most is not None:
        gallery = gallery[_turns(people[gallery]) < most]
    asked = np.concatenate([val[inside[val]], val[~inside[val]]])
    mated, true, own = int(inside[val].sum()), people[asked], people[gallery]
    templates, names = mean_templates(vectors[gallery], own)
    cosines = vectors[asked] @ templates.T
    near = _near(vectors[asked] @ vectors[gallery].T, np.searchsorted(names, own), len(names))
    other = float((np.where(near, cosines, -1).argmax(axis=1) != cosines.argmax(axis=1)).mean())
    rates = {"best": _rates(vectors[asked] @ vectors[gallery].T, own, true, mated)}
    rates["template"] = _rates(cosines, names, true, mated)
    for way, share in (("two", 1.0), ("two of a third", 1 / 3)):
        more, whose = _two(vectors[gallery], own, templates, names, share)
        rates[way] = _rates(vectors[asked] @ more.T, whose, true, mated)
    return rates, other


def _two(vectors: F32, people: I64, templates: F32, names: I64, share: float) -> tuple[F32, I64]:
    """Templates (m, d) and whose they are (m,): two of this share of people, those with the widest spread, if
    they have FEWEST photos."""
    photos = [vectors[people == name] for name in names]
    spread = np.array([1 - np.linalg.norm(own.mean(axis=0)) for own in photos])
    wide = spread >= np.quantile(spread, 1 - share)
    rows = [
        _centres(own) if wide[i] and len(own) >= FEWEST else templates[i][None]
        for i, own in enumerate(photos)
    ]
    return np.concatenate(rows), np.repeat(names, [len(own) for own in rows])


def _centres(vectors: F32) -> F32:
    """The centres (2, d) of two clusters of unit vectors (n, d): k-means by cosine, from the two that are
    least alike.
    """
    cosines = vectors @ vectors.T
    centres: F32 = vectors[list(np.unravel_index(cosines.argmin(), cosines.shape))]
    for _ in range(ROUNDS):
        nearer = (vectors @ centres.T).argmax(axis=1)
        if len(np.unique(nearer)) < 2:
            break
        centres = np.stack([vectors[nearer == i].mean(axis=0) for i in (0, 1)])
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return centres


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


def _rates(cosines: F32, whose: I64, true: I64, mated: int) -> list[float]:
    """cosines (q, m) of searches with rows of people (m,); true (q,): who was searched, the first `mated` of
    them enrolled. FNIR at each of FPIRS, and the share of mated searches led by somebody else.
    """
    score, right = cosines.max(axis=1), whose[cosines.argmax(axis=1)] == true
    searches = Searches(score[:mated], right[:mated], true[:mated], score[mated:], true[mated:])
    missed: F64 = np.array(
        [fnir_at(searches, threshold_at_fpir(searches.stranger_score, rate)) for rate in FPIRS]
    )
    return [*missed.tolist(), float(1 - searches.mated_right.mean())]


if __name__ == "__main__":
    main()
