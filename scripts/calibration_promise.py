"""Is the promised rate of strangers named kept? Set on one half of the strangers, counted on the other, at
several gallery sizes.

    .venv/bin/python scripts/calibration_promise.py
    .venv/bin/python scripts/calibration_promise.py --weights ../shared/models/mobilefacenet.onnx --name
        mobilefacenet

The gallery: all train photos of the first 50, 150, 300, 500 people of CelebA-500, dealt by a seed.
Strangers: 100 people of the split `open` of celebA_extra (or of another --strangers and --split), halved at
random again and again. A promise is kept when the FPIR that the other half reaches lies within the interval
that `facesearch calibrate` states. Beside it, the gallery's own people as strangers (what build-index does by
itself). Nothing is chosen here. Writes scripts/results/calibration/NAME.json.
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
from facesearch.errors import TooFewSearches
from facesearch.gallery.calibration import from_strangers, within_gallery
from facesearch.metrics.openset import best_candidates, fpir_at

ROOT = Path(__file__).resolve().parent.parent
SIZES = (50, 150, 300, 500)
MOST_STRANGERS = 100
"""Of more people so many are drawn for each halving."""


@click.command()
@click.option("--weights", type=click.Path(path_type=Path), default=None)
@click.option("--name", default="shipped", show_default=True)
@click.option("--strangers", type=click.Path(path_type=Path), default=ROOT / "data/celeba_extra")
@click.option("--split", default="open", show_default=True)
@click.option("--fpir", "fpirs", multiple=True, type=float, default=(0.1, 0.03, 0.01))
@click.option("--halvings", default=50, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    weights: Path | None,
    name: str,
    strangers: Path,
    split: str,
    fpirs: tuple[float, ...],
    halvings: int,
    seed: int,
) -> None:
    """Print the table and write it."""
    about = machine()
    runtime = facesearch.load_encoder(weights).runtime
    data, extra = open_dataset(ROOT / "data/celeba500"), open_dataset(strangers)
    train, rows_asked = data.where("train"), extra.where(split)
    with bar("embed", "photo") as progress:
        vectors = dataset_vectors(data, train, runtime, {}, progress)
        asked = dataset_vectors(extra, rows_asked, runtime, {}, progress)
    who, people = extra.people[rows_asked], data.people[train]
    order = np.random.default_rng(seed).permutation(np.unique(people))
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        inside = np.isin(people, order[:size])
        best, _ = best_candidates(asked, vectors[inside], people[inside])
        for fpir in fpirs:
            own = within_gallery(vectors[inside], people[inside], fpir, seed=seed)
            rows.append(
                {
                    "people": size,
                    "faces": int(inside.sum()),
                    "fpir": fpir,
                    **kept(best, who, int(inside.sum()), fpir, halvings, seed),
                    "within_reached": None if own is None else fpir_at(best, own.score),
                }
            )
    click.echo(
        f"{runtime.words}; {len(best)} searches of {len(np.unique(who))} strangers, {halvings} halvings"
    )
    click.echo(
        "people  faces  promised FPIR  interval, median of halvings  width  reached, mean [5 %, 95 %]   kept"
        "  |  set within the gallery: reached"
    )
    for r in rows:
        own = "–" if r["within_reached"] is None else f"{r['within_reached']:.2%}"
        if "kept" not in r:
            click.echo(f"{r['people']:6} {r['faces']:6}  {r['fpir']:13.1%}  {r['refused']:55}  |  {own}")
            continue
        click.echo(
            f"{r['people']:6} {r['faces']:6}  {r['fpir']:13.1%}  [{r['low']:.2%}, {r['high']:.2%}]".ljust(60)
            + f"{r['width']:6.2%} "
            + f"{r['reached']:.2%} [{r['reached_5']:.2%}, {r['reached_95']:.2%}]".ljust(27)
            + f"{r['kept']:5.0%}  |  {own}"
        )
    result = {
        "encoder": runtime.words,
        "encoder_id": runtime.encoder_id,
        "strangers": f"{strangers.name}, {split}",
        "seed": seed,
        "halvings": halvings,
        "rows": rows,
    }
    write(result, ROOT / "scripts/results/calibration" / f"{name}.json", about)


def kept(best: Any, who: Any, faces: int, fpir: float, halvings: int, seed: int) -> dict[str, Any]:
    """Over many halvings: the interval promised on one half, the rate reached on the other, and how often it
    lay within.
    """
    names = np.unique(who)
    most = min(len(names), MOST_STRANGERS)
    lows, highs, reached = [], [], []
    for number in range(halvings):
        dealt = np.random.default_rng([seed, number]).permutation(names)[:most]
        half, other = np.isin(who, dealt[: most // 2]), np.isin(who, dealt[most // 2 :])
        try:
            threshold = from_strangers(best[half], who[half], faces, fpir, seed=number)
        except TooFewSearches as error:
            return {"refused": error.what}
        assert threshold.low is not None and threshold.high is not None
        lows.append(threshold.low)
        highs.append(threshold.high)
        reached.append(fpir_at(best[other], threshold.score))
    low, high, rate = np.array(lows), np.array(highs), np.array(reached)
    return {
        "low": float(np.median(low)), "high": float(np.median(high)), "reached": float(rate.mean()),
        "width": float(np.median(high - low)),
        "reached_5": float(np.quantile(rate, 0.05)), "reached_95": float(np.quantile(rate, 0.95)),
        "kept": float(((low <= rate) & (rate <= high)).mean()),
    }  # fmt: skip


if __name__ == "__main__":
    main()
