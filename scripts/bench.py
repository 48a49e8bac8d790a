"""Every figure of speed from one command: embedding, cold starts, search at size, training, the service.

    python scripts/bench.py            all of it, about a quarter of an hour
    python scripts/bench.py --quick    under two minutes: fewer photos, ten thousand faces, no service
    python scripts/bench.py --only embedding --only cold

Each part is a script of its own, run in a process of its own, one after the other; each compares with its baselines in the same run.
Prints their tables and writes all their results with the machine and the versions to scripts/results/bench.json (bench-quick.json).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from facesearch.files import replace_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "scripts" / "results"
PARTS = {
    "embedding": ("bench_embed.py", ["--quick"]),
    "cold": ("bench_cold.py", ["--quick"]),
    "search": ("bench_search.py", ["--sizes", "10000", "--vectors", "face"]),
    "training": ("bench_train.py", ["--quick"]),
    "service": ("bench_serve.py", None),
}
"""Script, and its words when all has to be quick; None: left out then."""
PACKAGES = ("torch", "torchvision", "openvino", "faiss-cpu", "numpy", "opencv-python-headless", "hnswlib", "usearch")


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    cpu = next((line.partition(": ")[2] for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")), platform.processor())
    flags = next((line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("flags")), "")
    wanted = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if f" {name}" in flags]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {
        "cpu": cpu, "cores": os.cpu_count(), "instructions": wanted, "python": platform.python_version(), "versions": versions,
        "commit": commit, "date": time.strftime("%Y-%m-%d"), "load_before": os.getloadavg()[0],
    }  # fmt: skip


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


@click.command()
@click.option("--quick", is_flag=True, help="Under two minutes.")
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="These parts alone.")
def main(quick: bool, only: tuple[str, ...]) -> None:
    """Run the parts one after the other."""
    target = RESULTS / ("bench-quick.json" if quick else "bench.json")
    before = json.loads(target.read_text())["parts"] if only and target.is_file() else {}
    result: dict[str, object] = {"machine": machine(), "parts": before}
    failed = []
    for name, (script, words) in PARTS.items():
        if (only and name not in only) or (quick and words is None and not only):
            continue
        click.echo(f"\n## {name}\n")
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "result.json"
            done = subprocess.run(
                [sys.executable, str(ROOT / "scripts" / script), *(words or [] if quick else []), "--out", str(out)], cwd=ROOT
            )
            if done.returncode or not out.is_file():
                failed.append(name)
                continue
            before[name] = {"seconds": round(time.monotonic() - started, 1), **json.loads(out.read_text())}
        replace_json(target, result)
    if failed:
        raise click.ClickException(f"these parts failed: {', '.join(failed)}")
    click.echo(f"\n{target.relative_to(ROOT)}", err=True)


if __name__ == "__main__":
    main()
