"""What tells that a photo is too poor? Error-versus-reject curves of everything that is known of a face.

    .venv/bin/python scripts/quality.py
    .venv/bin/python scripts/quality.py --weights ../shared/models/facesearch-r34-h100.safetensors --name h100
        --enrolled 3

As Meng et al. 2021 (MagFace, arXiv:2103.06627) and Terhoerst et al. 2020 (SER-FIQ, arXiv:2003.09373): refuse
the poorest photos by one fact alone, and see what the others get wrong. Two errors: FNMR, of pairs of photos
of one person, at the score that one pair of strangers in 1,000 reaches with nobody refused (a pair is as good
as its poorer photo); and FNIR at FPIR 1 %, the threshold set again on the strangers that are left, searched
among CelebA-500's train photos and half of the people's own, over 20 dealings of who is enrolled; in wild/,
which is small, at FPIR 3 %.

Nobody in `open` or `wild` was seen by an encoder. The 100 people of `open` are parted: what a fact is worth
was looked at on the first 50 and is checked on the others, and on wild/. `val` is of people that the shipped
encoder was trained on, which is shown for the warning in it: there its vectors' lengths sort like nothing
else. Writes scripts/results/quality/NAME.{json,svg}. Vectors and what the detector saw are kept in --keep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from benching import machine
from numpy.typing import NDArray
from remembering import Remembering

import facesearch
from facesearch.cli.terminal import bar
from facesearch.datasets.table import Dataset, open_dataset
from facesearch.encoder.runtime import Runtime, measured
from facesearch.encoder.stream import detected, one_face
from facesearch.faces.detect import load_detector
from facesearch.faces.fit import fit_of
from facesearch.faces.found_by import SHIPPED
from facesearch.faces.people_folders import people_folders
from facesearch.faces.quality import quality_of
from facesearch.files import make_folder, replace_file, replace_json
from facesearch.metrics.openset import threshold_at_fpir
from facesearch.records import F32, F64, I64, Bools, Seen, Skipped
from facesearch.report.charts import Chart, Line, even, svg_file

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "scripts" / "results" / "quality"
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
LENGTH_SHARES = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9, 1.0)
"""Of the table that an encoder whose lengths sort may carry as `lengths` among its notes."""
FMR, FPIR = 1e-3, 0.01
DEALINGS = 20
FACTS: dict[str, Callable[[Seen], float]] = {
    "detector's score": lambda seen: seen.score,
    "looks ahead (yaw)": lambda seen: -abs(fit_of(np.array(seen.landmarks, np.float32)).yaw),
    "landmarks fit": lambda seen: -fit_of(np.array(seen.landmarks, np.float32)).off_px,
    "upright (roll)": lambda seen: -abs(fit_of(np.array(seen.landmarks, np.float32)).roll_deg),
    "size": lambda seen: min(seen.box[2:]),
    "sharpness": lambda seen: seen.sharpness,
    "vector's length": lambda seen: seen.length,
}


@dataclass(frozen=True)
class Photos:
    """Photos of people: vectors (n, d), people (n,), and what was seen of each; None where the detector found
    nothing."""

    vectors: F32
    people: NDArray[np.str_]
    seen: list[Seen | None]

    def part(self, kept: Bools) -> Photos:
        return Photos(
            self.vectors[kept],
            self.people[kept],
            [seen for seen, there in zip(self.seen, kept, strict=True) if there],
        )


@click.command()
@click.option("--weights", type=click.Path(path_type=Path), default=None)
@click.option("--name", default="shipped", show_default=True)
@click.option("--enrolled", default=0, help="Of CelebA-500 so many train photos a person; 0 for all.")
@click.option("--few", default=0, help="Of `open` so many photos a person, without `val`; 0 for all of both.")
@click.option("--keep", type=click.Path(path_type=Path), default=ROOT / "runs" / "ship")
def main(weights: Path | None, name: str, enrolled: int, few: int, keep: Path) -> None:
    """Print the tables and write them with their plot."""
    make_folder(keep)
    runtime = Remembering(facesearch.load_encoder(weights).runtime, keep / "vectors")
    data, extra = open_dataset(ROOT / "data/celeba500"), open_dataset(ROOT / "data/celeba_extra")
    gallery, *_ = _embedded(data, "train", enrolled, runtime)
    sets = {}
    for dataset, split, folder in (
        (extra, "open", "celebA_extra/celebA_imgs"),
        (data, "val", "celebA_train_500/celebA_imgs"),
    )[: 1 if few else 2]:
        vectors, lengths, rows = _embedded(dataset, split, few, runtime)
        paths = [SHARED / folder / dataset.rows[i].file for i in rows]
        seen = _seen(paths, lengths, keep / f"seen-{split}.npz")
        sets[split] = Photos(vectors, dataset.people[rows], seen)
    sets["wild"] = _wild(runtime)
    names = np.unique(sets["open"].people)
    chosen = np.random.default_rng(0).permutation(names)[: len(names) // 2]
    first = np.isin(sets["open"].people, chosen)
    tried = {
        "open, 50 people to choose on": sets["open"].part(first),
        "open, 50 people to check on": sets["open"].part(~first),
        "open, all 100 people": sets["open"],
        "wild, 40 people": sets["wild"],
    }
    if "val" in sets:
        tried["val, people of the training"] = sets["val"]
    lengths = [one.length for one in sets["open"].part(first).seen if one is not None]
    result: dict[str, Any] = {
        "encoder": runtime.words,
        "enrolled": len(gallery),
        "lengths": [[share, float(np.quantile(lengths, share))] for share in LENGTH_SHARES],
        "sets": {},
    }
    notes = runtime.notes
    for title, photos in tried.items():
        rate = 0.0 if title.startswith("val") else FPIR if len(photos.people) > 600 else 3 * FPIR
        result["sets"][title] = _measured(photos, gallery, notes, rate)
        _say(title, result["sets"][title])
    make_folder(RESULTS)
    replace_json(RESULTS / f"{name}.json", {**result, "shares": SHARES, "machine": machine()})
    replace_file(RESULTS / f"{name}.svg", svg_file(_charts(result["sets"])))


def _measured(photos: Photos, gallery: F32, notes: dict[str, Any], fpir: float) -> dict[str, Any]:
    """fpir 0: without searches, since all these people are enrolled."""
    found = photos.part(np.array([seen is not None for seen in photos.seen]))
    seen = [one for one in found.seen if one is not None]
    facts = {name: np.array([fact(one) for one in seen]) for name, fact in FACTS.items()}
    facts["quality (what facesearch takes)"] = np.array(
        [quality_of(one, SHIPPED, notes) or 0.0 for one in seen]
    )
    facts["a coin"] = np.random.default_rng(1).random(len(seen))
    every = {
        name: {"fnmr": _fnmr(found, values)} | ({"fnir": _fnir(found, values, gallery, fpir)} if fpir else {})
        for name, values in facts.items()
    }
    own = _own(found)
    ranks = {name: _rank_correlation(values, own) for name, values in facts.items()}
    return {
        "photos": len(seen),
        "fpir": fpir,
        "people": len(np.unique(found.people)),
        "rank correlation with the best score to the person's own photos": ranks,
        "facts": every,
        "percentiles": {
            name: np.percentile(values, [0, 0.5, 1, 2, 5, 10, 25, 50, 75, 100]).tolist()
            for name, values in facts.items()
        },
    }


def _fnmr(photos: Photos, fact: F64) -> list[float]:
    first, second = np.triu_indices(len(photos.people), 1)
    scores = (photos.vectors @ photos.vectors.T)[first, second]
    same = photos.people[first] == photos.people[second]
    limit = threshold_at_fpir(scores[~same], FMR)
    worse = np.minimum(fact[first], fact[second])[same]
    missed = scores[same] < limit
    return [float(missed[worse >= _least(fact, share)].mean()) for share in SHARES]


def _fnir(photos: Photos, fact: F64, gallery: F32, fpir: float) -> list[float]:
    """The mean over the dealings."""
    elsewhere = np.concatenate(
        [(photos.vectors[i : i + 512] @ gallery.T).max(axis=1) for i in range(0, len(photos.people), 512)]
    )
    among = photos.vectors @ photos.vectors.T
    out = []
    for seed in range(DEALINGS):
        inside, half = _dealt(photos.people, seed)
        own, whose = among[:, half], photos.people[half]
        best, mine = own.max(axis=1), whose[own.argmax(axis=1)] == photos.people
        right, score = mine & (best >= elsewhere), np.maximum(best, elsewhere)
        asked = ~half
        row = []
        for share in SHARES:
            kept = fact >= _least(fact[asked], share)
            strangers, mated = score[asked & ~inside & kept], asked & inside & kept
            limit = threshold_at_fpir(strangers, fpir)
            row.append(float(1 - (right & (score >= limit))[mated].mean()))
        out.append(row)
    return np.array(out).mean(axis=0).tolist()


def _dealt(people: NDArray[np.str_], seed: int) -> tuple[Bools, Bools]:
    """Which photos are of people who are enrolled, and which of these are the enrolled ones: every second of
    a person."""
    rng = np.random.default_rng(seed)
    names = np.unique(people)
    inside = np.isin(people, rng.permutation(names)[: len(names) // 2])
    half = np.zeros(len(people), bool)
    for name in names:
        own = rng.permutation(np.flatnonzero(people == name))
        half[own[::2]] = True
    return inside, half & inside


def _least(fact: F64, share: float) -> float:
    return float(np.quantile(fact, share)) if share else -np.inf


def _own(photos: Photos) -> F64:
    among = np.where(photos.people[:, None] == photos.people, photos.vectors @ photos.vectors.T, -2.0)
    np.fill_diagonal(among, -2)
    return np.asarray(among.max(axis=1), np.float64)


def _rank_correlation(a: F64, b: F64) -> float:
    """Spearman's, equal values in the order in which they come."""
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


# ---- what is measured


def _few(rows: I64, people: NDArray[np.str_], most: int) -> I64:
    if not most:
        return rows
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(rows[people[rows] == name])[:most] for name in np.unique(people[rows])]
    return np.sort(np.concatenate(chosen))


def _embedded(dataset: Dataset, split: str, most: int, runtime: Runtime) -> tuple[F32, F32, I64]:
    """Vectors, lengths, and of which rows."""
    rows = _few(dataset.where(split), dataset.people, most)
    return *_in_batches(runtime, dataset.crops, rows), rows


def _in_batches(runtime: Runtime, crops: Any, rows: Sequence[int] | I64) -> tuple[F32, F32]:
    parts = []
    with bar("embed", "photo") as progress:
        for start in range(0, len(rows), 64):
            parts.append(measured(runtime, np.stack([crops[i] for i in rows[start : start + 64]])))
            progress(start, len(rows))
    return np.concatenate([v for v, _ in parts]), np.concatenate([n for _, n in parts])


def _seen(paths: list[Path], lengths: F32, keep: Path) -> list[Seen | None]:
    """What a detector sees of each photo; that is kept, a row a photo."""
    if keep.is_file():
        with np.load(keep) as kept:
            place = {path: number for number, path in enumerate(kept["paths"].tolist())}
            if place.keys() >= {str(path) for path in paths}:
                return _as_seen(kept["facts"][[place[str(path)] for path in paths]], lengths)
    facts = np.full((len(paths), 16), np.nan)
    with bar("detect", "photo") as progress:
        find = lambda path, own: one_face(path, own, largest=True)  # noqa: E731
        for number, face in enumerate(detected(find, paths, load_detector(None), workers=1)):
            if not isinstance(face, Skipped):
                seen = face.seen()
                facts[number] = *seen.box, *np.ravel(seen.landmarks), seen.score, seen.sharpness
            progress(number + 1, len(paths))
    np.savez(keep, paths=[str(path) for path in paths], facts=facts)
    return _as_seen(facts, lengths)


def _as_seen(facts: F64, lengths: F32) -> list[Seen | None]:
    out: list[Seen | None] = []
    for row, length in zip(facts.tolist(), lengths.tolist(), strict=True):
        x, y, w, h, *points, score, sharpness = row
        pairs = tuple(zip(points[::2], points[1::2], strict=True))
        out.append(None if np.isnan(score) else Seen((x, y, w, h), pairs, score, sharpness, length))
    return out


def _wild(runtime: Runtime) -> Photos:
    photos, _ = people_folders(SHARED / "wild")
    find = lambda path, own: one_face(path, own, largest=True)  # noqa: E731
    faces = list(detected(find, [path for _, path in photos], load_detector(None), workers=1))
    there = [(p, f) for (p, _), f in zip(photos, faces, strict=True) if not isinstance(f, Skipped)]
    vectors, lengths = _in_batches(runtime, [face.crop for _, face in there], range(len(there)))
    seen = [
        replace(face.seen(), length=float(length)) for (_, face), length in zip(there, lengths, strict=True)
    ]
    return Photos(vectors, np.array([person for person, _ in there]), [*seen])


# ---- what is told


def _say(title: str, found: dict[str, Any]) -> None:
    click.echo(f"\n{title}: {found['photos']} photos of {found['people']} people")
    shares = "".join(f"{share:8.0%}" for share in SHARES)
    for error, words in _errors(found):
        click.echo(f"  {words + ', refused:':<34}{shares}")
        for name, curves in found["facts"].items():
            click.echo(f"  {name:<34}" + "".join(f"{value:8.4f}" for value in curves[error]))


def _errors(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Which errors were measured, and what they are called."""
    searches = [("fnir", f"FNIR at FPIR {found['fpir']:.0%}")] if found["fpir"] else []
    return [*searches, ("fnmr", f"FNMR at FMR {FMR}")]


def _charts(sets: dict[str, Any]) -> list[Chart]:
    charts = []
    for title, found in sets.items():
        if title.startswith("open, 50"):  # the two halves stand in the table
            continue
        for error, words in _errors(found):
            if error == "fnir" and title.startswith("wild"):  # two searches more or less are seen in it
                continue
            curves = {name: np.array(each[error]) for name, each in found["facts"].items()}
            top = max(float(curve.max()) for curve in curves.values())
            low = min(float(curve.min()) for curve in curves.values())
            lines = [Line(name, np.array(SHARES), curve) for name, curve in curves.items()]
            says = "what is missed when the poorest are refused, by each fact alone"
            across = even("share of photos refused", 0.0, SHARES[-1])
            charts.append(
                Chart(f"{title}: {words}", says, across, even(words, low * 0.95, top * 1.05), lines)
            )
    return charts


if __name__ == "__main__":
    main()
