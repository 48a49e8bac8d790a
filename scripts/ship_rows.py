"""What is measured of the encoder that ships and of those it is compared with, the same way for each.

A row is an encoder: the one that ships, the one that shipped before, the teacher, MobileFaceNet. Vectors are
made once an encoder and crop and kept in runs/ship/vectors, so a second run of scripts/ship.py takes minutes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
from benching import ROOT
from remembering import Remembering
from tqdm import tqdm
from wild import wild

from facesearch.api.detector import FaceDetector
from facesearch.api.encoder import Encoder
from facesearch.datasets.table import Dataset, open_dataset
from facesearch.encoder.dataset_vectors import dataset_lengths
from facesearch.encoder.runtime import Runtime, load_runtime
from facesearch.encoder.weights import SHIPPED
from facesearch.encoder.weights_file import encoder_meta
from facesearch.evaluation.evaluate import evaluate
from facesearch.evaluation.given import Embedder
from facesearch.evaluation.results import Evaluation
from facesearch.files import make_folder
from facesearch.gallery.build import build_index
from facesearch.gallery.calibrate import calibrate, strangers_of
from facesearch.gallery.store.store import Store
from facesearch.metrics.people import worst_share
from facesearch.records import ScoredBy
from facesearch.report.lines import threshold_words

SHARED = ROOT.parent / "shared"
KEPT = ROOT / "runs" / "ship"
FPIR = 0.01
HALVINGS = 8
WAYS = {"by photo": "", "by template": " by mean template"}
"""A gallery's two ways to score a person, and what `evaluate` calls them in a figure's name."""
REFUSED = {"none": "", "5 %": " less 5% shortest vectors", "10 %": " less 10% shortest vectors"}
MISSED = "FNIR at FPIR 1.0%"
LEAST_GAIN = 0.95
"""Lengths are told with an encoder when without the 5 % shortest at most so much of the misses is left."""
LENGTH_SHARES = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9, 1.0)
WORST_SHARES = (0.05, 0.1, 0.25)


@dataclass(frozen=True)
class World:
    """The prepared data that all rows are measured on."""

    data: Dataset
    extra: Dataset
    ir: Dataset

    @classmethod
    def opened(cls) -> World:
        """Raises NotFound where `make data` has not been run."""
        return cls(
            *(open_dataset(ROOT / "data" / name) for name in ("celeba500", "celeba_extra", "celeba_ir"))
        )


@dataclass(frozen=True)
class Row:
    """An encoder. preprocess: of a foreign ONNX file."""

    name: str
    weights: Path
    preprocess: str = "imagenet"

    @cached_property
    def runtime(self) -> Runtime:
        return Remembering(load_runtime(self.weights, preprocess=self.preprocess), KEPT / "vectors")

    @property
    def embedder(self) -> Embedder:
        return Embedder(self.runtime, {}, bar(f"{self.name}: embed"))


def shipped_before(encoder_id: str) -> Path:
    """The encoder that shipped before the one with this id, read from the repository's history."""
    place, out = SHIPPED.relative_to(ROOT), make_folder_for(KEPT / "before.safetensors")
    for commit in _git("log", "--format=%H", "--", str(place)).decode().split():
        out.write_bytes(_git("cat-file", "blob", f"{commit}:{place}"))
        if encoder_meta(out)["encoder_id"] != encoder_id:
            return out
    raise click.ClickException(f"the history of {place} holds no other encoder: is this a shallow clone?")


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True).stdout


def make_folder_for(path: Path) -> Path:
    """path, whose folder is there now."""
    make_folder(path.parent)
    return path


def measured(row: Row, world: World, split: str, seed: int) -> Evaluation:
    """What `facesearch evaluate` measures. Of test the closed set alone: the rest is the same on each."""
    sections = ("closed",) if split == "test" else ("closed", "open", "ir")
    return evaluate(
        world.data,
        world.extra,
        world.ir,
        row.embedder,
        split=split,
        weights=row.weights,
        seed=seed,
        fpir=FPIR,
        sections=sections,
    )


def halvings(row: Row, world: World) -> dict[str, dict[str, list[float]]]:
    """FNIR at FPIR 1 % in each of eight draws of who is enrolled, with no search refused and without those of
    the 5 and 10 % shortest vectors, strangers' and enrolled people's alike: by way, by share.
    """
    out: dict[str, dict[str, list[float]]] = {way: {share: [] for share in REFUSED} for way in WAYS}
    for seed in range(HALVINGS):
        result = evaluate(
            world.data,
            world.extra,
            None,
            row.embedder,
            split="val",
            weights=row.weights,
            seed=seed,
            fpir=FPIR,
            sections=("open",),
        )
        value = {figure.name: figure.rate.value for figure in result.figures}
        for way, how in WAYS.items():
            for share, less in REFUSED.items():
                out[way][share].append(value.get(f"{MISSED}{how}{less}", float("nan")))
    return out


def lengths_that_sort(worth: dict[str, dict[str, list[float]]], row: Row, world: World) -> dict[str, Any]:
    """(share, length) of ordinary photos, by which faces/quality.py judges; nothing where refusing the
    shortest vectors does not lower what is missed of people that the encoder was not trained on. worth: what
    halvings gave.
    """
    for shares in worth.values():
        if not np.mean(shares["5 %"]) < LEAST_GAIN * np.mean(shares["none"]):
            return {}
    rows = world.extra.where("open")
    lengths = dataset_lengths(world.extra, rows, row.runtime, bar(f"{row.name}: lengths"))
    return {"lengths": [[share, float(np.quantile(lengths, share))] for share in LENGTH_SHARES]}


def per_person(result: Evaluation) -> dict[str, Any]:
    """How rank-1 differs between people: of the worst, and by how many photos of them are enrolled."""
    rates = np.array([person.rank1.value for person in result.people])
    enrolled = np.array([person.enrolled for person in result.people])
    groups = {"1 to 9": (0, 10), "10 to 19": (10, 20), "20 and more": (20, 10**9)}
    within = {name: (enrolled >= low) & (enrolled < high) for name, (low, high) in groups.items()}
    return {
        "split": result.split,
        "people": len(rates),
        "rank1_of_worst": {f"{share:.0%}": asdict(worst_share(rates, share)) for share in WORST_SHARES},
        "people_always_found": float((rates == 1).mean()),
        "people_found_in_under_half": float((rates < 0.5).mean()),
        "rank1_by_enrolled_photos": {
            name: {"people": int(there.sum()), "rank1": float(rates[there].mean())}
            for name, there in within.items()
            if there.any()
        },
    }


def gallery_of(row: Row, world: World, folder: Path, by: ScoredBy | None, seed: int) -> str:
    """Make the gallery of all photos of CelebA-500 in an empty folder, its threshold set on the `open` people
    for FPIR 1 %. The threshold in words.
    """
    make_folder(folder)
    for old in [*folder.glob("gallery.sqlite*"), *folder.glob("vectors*")]:
        old.unlink()
    build_index([world.data], folder, row.runtime, splits=(), fpir=None, progress=bar(f"{row.name}: gallery"))
    with Store.open(folder) as gallery:
        strangers = strangers_of(world.extra, "open", gallery, row.runtime, bar(f"{row.name}: strangers"))
        threshold = calibrate(
            gallery, strangers, FPIR, seed=seed, by=by, progress=bar(f"{row.name}: calibrate")
        )
    return threshold_words(threshold)


def in_the_wild(row: Row, gallery: Path) -> dict[str, Any]:
    """scripts/wild.py of this row, whose gallery it is."""
    return wild(SHARED / "data" / "wild", gallery, Encoder.of(row.runtime), FaceDetector())


def bar(words: str) -> Callable[[int, int], None]:
    """A progress bar that shows itself to people only."""
    shown = tqdm(disable=None, desc=words, leave=False)

    def progress(done: int, total: int) -> None:
        shown.total = total
        shown.update(done - shown.n)

    return progress
