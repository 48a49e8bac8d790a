"""How long a whole process takes from its start to its answer: --help, and a query of the shipped gallery.

    python scripts/bench_cold.py [--quick]

The processes take turns; medians count. The disk cache is warm. Writes scripts/results/cold/bench.json.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benching import start

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
PHOTO = "data/wild"
RESULTS = ROOT / "scripts" / "results" / "cold"


def timed(words: list[str]) -> tuple[float, float, str]:
    """Seconds by the clock and of CPU, and stderr, of one process. Raises CalledProcessError."""
    before = os.times()
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "facesearch", *words], capture_output=True, text=True, check=True, cwd=ROOT
    )
    seconds = time.perf_counter() - started
    after = os.times()
    return (
        seconds,
        after.children_user + after.children_system - before.children_user - before.children_system,
        done.stderr,
    )


def run(quick: bool) -> dict[str, Any]:
    """Median milliseconds of each process, by the clock and of CPU, and where a query says that its time
    went.
    """
    photo = next(path for path in sorted((SHARED / PHOTO).rglob("*.jpg")))
    with tempfile.TemporaryDirectory() as scratch:
        gallery = Path(scratch) / "gallery"
        shutil.copytree(ROOT / "index", gallery)
        ask = ["query", str(photo), "--gallery", str(gallery), "--timing", "--engine"]
        processes = {
            "python, nothing imported": None, "facesearch --help": ["--help"],
            "query, engine openvino": [*ask, "openvino"], "query, engine torch": [*ask, "torch"],
        }  # fmt: skip
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in processes}
        stages: dict[str, list[float]] = {}
        for number in range(1 + (3 if quick else 10)):
            for name, words in processes.items():
                seconds, cpu, said = timed(words) if words else _bare()
                if number == 0:  # makes the index, exports the network, warms the disk
                    continue
                times[name].append((seconds, cpu))
                if name == "query, engine openvino":
                    for stage, ms in re.findall(r"(\w+) (\d+) ms", said.partition("time: ")[2]):
                        stages.setdefault(stage, []).append(float(ms))
    return {
        "processes": {
            name: {
                "ms": 1000 * statistics.median(t for t, _ in found),
                "cpu_ms": 1000 * statistics.median(c for _, c in found),
            }
            for name, found in times.items()
        },
        "query_stages_ms": {stage: statistics.median(found) for stage, found in stages.items()},
    }


def _bare() -> tuple[float, float, str]:
    before = os.times()
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    after = os.times()
    return (
        time.perf_counter() - started,
        after.children_user + after.children_system - before.children_user - before.children_system,
        "",
    )


def lines(result: dict[str, Any]) -> list[str]:
    """The result as a table in Markdown."""
    base = result["processes"]["query, engine torch"]["ms"]
    out = ["| whole process | ms | of them CPU | times faster than with torch |", "|---|---|---|---|"]
    for name, found in result["processes"].items():
        ratio = f"{base / found['ms']:.1f}" if name.startswith("query") else ""
        out.append(f"| {name} | {found['ms']:.0f} | {found['cpu_ms']:.0f} | {ratio} |")
    stages = ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in result["query_stages_ms"].items())
    return [
        *out,
        "",
        f"a query's own account: {stages} (start: imports, gallery, detector and engine, side by side)",
    ]


if __name__ == "__main__":
    start(__doc__, run, lines, RESULTS / "bench.json")
