"""What looking at much val costs: the ROC of all pairs of so many photos, its time and its memory.

    .venv/bin/python scripts/studies/bench_val.py                  10,000, 40,000 and 100,000 photos
    .venv/bin/python scripts/studies/bench_val.py --quick          2,000 and 10,000

Vectors are drawn (20 photos a person, 512 numbers); each size runs in a process of its own, so that its peak
is its own. Where all pairs still fit into memory (10,000 photos), both ways are measured and their figures
compared. Writes scripts/results/train_speed/val.json.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benching import ROOT, start

from facesearch.metrics.verification import pair_scores, roc, roc_of_all_pairs

OUT = ROOT / "scripts" / "results" / "train_speed" / "val.json"
WHOLE = 10_000
"""Photos up to which all pairs are held in memory too, for comparison."""
RATE = 1e-3


def run(quick: bool) -> dict[str, Any]:
    """Measure each size in a process of its own."""
    rows = []
    for photos in (2_000, 10_000) if quick else (10_000, 40_000, 100_000):
        for way in ("blocks", "whole") if photos <= WHOLE else ("blocks",):
            found = subprocess.run(
                [sys.executable, __file__, "--one", way, str(photos)],
                capture_output=True,
                text=True,
                check=True,
            )
            rows.append(json.loads(found.stdout))
    return {"rows": rows}


def lines(result: dict[str, Any]) -> list[str]:
    """The sizes in words, a line each."""
    head = f"{'photos':>8} {'way':>7} {'seconds':>8} {'memory beside the vectors':>26}  TPR at FPR {RATE:g}"
    return [head] + [
        f"{r['photos']:8d} {r['way']:>7} {r['seconds']:8.1f} {r['gb']:23.2f} GB  {r['tpr']:.6f}"
        for r in result["rows"]
    ]


def one(way: str, photos: int) -> dict[str, Any]:
    """Time and peak memory of one way on one size, in this process."""
    random = np.random.default_rng(0)
    people = np.arange(photos) // 20
    vectors = random.standard_normal((photos // 20 + 1, 512), np.float32)[people]
    vectors += 2.2 * random.standard_normal((photos, 512), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    before, began = peak(), time.perf_counter()
    curve = roc(*pair_scores(vectors, people)) if way == "whole" else roc_of_all_pairs(vectors, people)
    assert curve is not None
    return {
        "photos": photos,
        "way": way,
        "seconds": time.perf_counter() - began,
        "gb": peak() - before,
        "tpr": curve.at_fpr(RATE)[0],
    }


def peak() -> float:
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(sys.argv[2], int(sys.argv[3]))))
    else:
        start(__doc__ or "", run, lines, OUT)
