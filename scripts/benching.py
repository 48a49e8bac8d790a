"""What every benchmark tells beside its figures: the machine, the versions, the commit; and how the simple
ones are started.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from facesearch.files import make_folder, replace_json

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "torch",
    "torchvision",
    "openvino",
    "faiss-cpu",
    "numpy",
    "opencv-python-headless",
    "hnswlib",
    "usearch",
)
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def machine() -> dict[str, Any]:
    """What the figures are measured on, and how busy it was before."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = [line.partition(":") for line in cpuinfo.read_text().splitlines()] if cpuinfo.is_file() else []
    processor = {key.strip(): value.strip() for key, _, value in lines}
    return {
        "cpu": processor.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "instructions": [name for name in INSTRUCTIONS if name in processor.get("flags", "").split()],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "load_before": os.getloadavg()[0],
    }


def commit() -> str:
    """The commit of this checkout, 40 digits: as COMMIT says where there is no git history; else empty."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()
    except FileNotFoundError:
        found = ""
    return found or os.environ.get("COMMIT", "")


def write(result: dict[str, Any], out: Path, about: dict[str, Any]) -> None:
    """Figures as JSON, with the machine they were measured on."""
    make_folder(out.parent)
    replace_json(out, {"machine": about, **result})


def start(
    doc: str, run: Callable[[bool], dict[str, Any]], lines: Callable[[dict[str, Any]], list[str]], out: Path
) -> None:
    """A benchmark's command line: measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=out)
    given = parser.parse_args()
    about = machine()
    result = run(given.quick)
    print("\n".join(lines(result)))
    write(result, given.out, about)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
