"""How fast crops become vectors, engine by engine, and what the way around the network costs.

    python scripts/bench_embed.py [--quick]

Engines take turns on the same crops, round after round, and the best round of each counts: the machines are
noisy, so only ratios within one run mean anything. Needs data/celeba500 and ../shared; writes
scripts/results/embedding/bench.json.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from benching import start

from facesearch.datasets.table import Dataset, open_dataset
from facesearch.encoder.runtime import Runtime, load_runtime
from facesearch.encoder.stream import detected, embedded, read_faces
from facesearch.encoder.weights import SHIPPED
from facesearch.faces.align import crop_face
from facesearch.faces.detect import Detector, load_detector
from facesearch.faces.photos import read_photo, walk
from facesearch.gallery.build import build_index
from facesearch.gallery.enroll import enroll
from facesearch.metrics.verification import pair_cosines
from facesearch.records import F32, U8, Photo, Skipped

ROOT = Path(__file__).resolve().parent.parent
DATA, SHARED = ROOT / "data" / "celeba500", ROOT.parent / "shared"
RESULTS = ROOT / "scripts" / "results" / "embedding"


def quiet(done: int, total: int) -> None:
    """No progress is shown: it would be in the times."""


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV alone on one thread: shared out to several, its detector takes more CPU time than its work
    needs.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


class PlainTorch:
    """The network as torch runs it when nobody does anything: float32, nothing folded, memory as it comes.
    What peers run.
    """

    def __init__(self, weights: Path) -> None:
        from facesearch.encoder.checkpoint import load_encoder
        from facesearch.encoder.network import UnitVectors

        encoder, _ = load_encoder(weights)
        self._whole = UnitVectors(encoder)

    def embed(self, crops: U8) -> F32:
        """crops (n, 112, 112, 3) uint8 -> (n, d) float32 unit rows."""
        import torch

        with torch.inference_mode():
            return np.concatenate(
                [
                    self._whole(torch.from_numpy(crops[i : i + 64].copy())).numpy()
                    for i in range(0, len(crops), 64)
                ]
            )


def engines() -> dict[str, Callable[[U8], F32]]:
    """Everything that can run the shipped encoder on this CPU; the first is the baseline and the
    reference."""
    found: dict[str, Callable[[U8], F32]] = {"torch float32, as it comes": PlainTorch(SHIPPED).embed}
    for engine, name in (("torch", "torch {}, norms folded"), ("openvino", "OpenVINO {}")):
        for precision in ("float32", "bfloat16"):
            found[name.format(precision)] = load_runtime(
                SHIPPED, device="cpu", engine=engine, precision=precision
            ).embed
    return found


def compare_engines(crops: U8, rounds: int) -> list[dict[str, Any]]:
    """img/s of every engine by its best round, its ratio to the first, and its lowest cosine to the first's
    vectors.
    """
    there = engines()
    vectors = {name: embed(crops) for name, embed in there.items()}
    best = dict.fromkeys(there, float("inf"))
    for _ in range(rounds):
        for name, embed in there.items():
            started = time.perf_counter()
            embed(crops)
            best[name] = min(best[name], time.perf_counter() - started)
    first = next(iter(there))
    same = np.arange(len(crops))
    cosine = {
        name: pair_cosines(np.concatenate([vectors[first], v]), same, same + len(crops))
        for name, v in vectors.items()
    }
    return [
        {
            "engine": name,
            "img_per_s": len(crops) / best[name],
            "ratio": best[first] / best[name],
            "lowest_cosine": float(cosine[name].min()),
        }
        for name in there
    ]


def whole_build(dataset: Dataset, runtime: Runtime, rounds: int) -> dict[str, Any]:
    """build-index of a prepared dataset into an empty gallery, beside the network alone on the same crops, in
    turns.
    """
    crops = np.asarray(dataset.crops)
    alone, whole = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        runtime.embed(crops)
        alone.append(time.perf_counter() - started)
        with tempfile.TemporaryDirectory() as scratch:
            whole.append(
                len(crops)
                / build_index(
                    [dataset], Path(scratch) / "g", runtime, splits=(), fpir=0.01, progress=quiet
                ).img_per_s
            )
    return {
        "photos": len(crops),
        "alone_img_per_s": len(crops) / min(alone),
        "build_img_per_s": len(crops) / min(whole),
        "ratio": min(alone) / min(whole),
    }


def photo_stages(runtime: Runtime, detector: Detector, photos: list[Path]) -> dict[str, Any]:
    """JPEG files to an enrolled gallery: the CPU time of each stage alone, and all together.

    share is of what the cores could do with nothing else to do: photos / (CPU seconds of all stages alone /
    cores).
    """
    decoded = [photo for path in photos if isinstance(photo := read_photo(path), Photo)]
    stages: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = work()
        stages[name] = (time.process_time() - started) / len(decoded)
        return result

    timed("decode", lambda: [read_photo(photo.path) for photo in decoded])
    with one_thread():
        faces = timed("detect", lambda: [detector.detect(photo.pixels) for photo in decoded])
    pairs = [(photo, found[0]) for photo, found in zip(decoded, faces, strict=True) if found]
    crops = timed(
        "align", lambda: np.stack([crop_face(photo.pixels, face.landmarks) for photo, face in pairs])
    )
    timed("network", lambda: runtime.embed(crops))
    wanted = [(f"p{i}", photo.path) for i, (photo, _) in enumerate(pairs)]
    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        enroll(wanted, Path(scratch) / "g", runtime, detector, largest=True, fpir=0.01, progress=quiet)
        together = (time.perf_counter() - started) / len(wanted)
    cores = os.cpu_count() or 1
    possible = sum(stages.values()) / cores
    return {
        "photos": len(wanted),
        "cpu_ms": {name: 1000 * s for name, s in stages.items()},
        "photos_per_s": 1 / together,
        "possible_per_s": 1 / possible,
        "share": possible / together,
    }


def memory_over(runtime: Runtime, photos: list[Path], count: int) -> dict[str, Any]:
    """Resident memory while `count` aligned photos (files, again and again) stream through; MiB at tenths of
    the way.
    """
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return {}
    page = resource.getpagesize()
    marks: list[float] = []
    stream = detected(
        lambda path, _: read_faces(path, None), (photos[i % len(photos)] for i in range(count)), None
    )
    crops = ((None, [face.crop for face in found]) for found in stream if not isinstance(found, Skipped))
    for number, _ in enumerate(embedded(crops, runtime), 1):
        if number % (count // 10) == 0:
            marks.append(int(statm.read_text().split()[1]) * page / 2**20)
    return {
        "photos": count,
        "resident_mib": marks,
        "grown_mib": marks[-1] - marks[1] if len(marks) > 1 else 0.0,
    }


def run(quick: bool) -> dict[str, Any]:
    """All figures. quick: fewer photos and rounds, and no count of memory."""
    dataset = open_dataset(DATA)
    crops = np.asarray(dataset.crops[: 256 if quick else 1024])
    runtime = load_runtime(SHIPPED)
    photos = [path for path in walk(SHARED / "data" / "wild") if isinstance(path, Path)][
        : 100 if quick else 400
    ]
    small = dataset if not quick else _first(dataset, 1024)
    result: dict[str, Any] = {
        "runtime": runtime.words,
        "engines": compare_engines(crops, 2 if quick else 4),
        "build_index": whole_build(small, runtime, 1 if quick else 2),
        "photos": photo_stages(runtime, load_detector(None), photos),
    }
    if not quick:
        result["memory"] = memory_over(_Cheap(), photos, 100_000)
    return result


class _Cheap:
    """Stands for the network where only memory is looked at: 100,000 photos through it would take ten
    minutes.
    """

    encoder_id, dimension, words = "0" * 64, 512, "mean colours"
    notes: dict[str, Any] = {}  # noqa: RUF012

    def embed(self, crops: U8) -> F32:
        return np.ones((len(crops), 512), np.float32) / np.float32(512**0.5)


def _first(dataset: Dataset, n: int) -> Dataset:
    return Dataset(dataset.folder, dataset.crops[:n], dataset.rows[:n], dataset.manifest)


def lines(result: dict[str, Any]) -> list[str]:
    """The result as tables in Markdown."""
    out = ["| engine | img/s | times torch float32 | lowest cosine to it |", "|---|---|---|---|"]
    out += [
        f"| {e['engine']} | {e['img_per_s']:.0f} | {e['ratio']:.2f} | {e['lowest_cosine']:.5f} |"
        for e in result["engines"]
    ]
    b, p = result["build_index"], result["photos"]
    out += [
        "",
        (
            f"build-index, {b['photos']} prepared crops: {b['build_img_per_s']:.0f} img/s, {b['ratio']:.2f}"
            " of the network alone"
        ),
    ]
    stages = ", ".join(f"{name} {ms:.1f} ms" for name, ms in p["cpu_ms"].items())
    out += [
        f"JPEG photos with detection: {p['photos_per_s']:.0f} photos/s, {p['share']:.2f} of the cores' best"
        f" ({stages} of CPU)"
    ]
    if result.get("memory"):
        m = result["memory"]
        out += [
            f"memory over {m['photos']:,} photos: grown by {m['grown_mib']:.0f} MiB from the second tenth to"
            " the last"
        ]
    return out


if __name__ == "__main__":
    start(__doc__, run, lines, RESULTS / "bench.json")
