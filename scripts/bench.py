"""Every figure of speed from one command: embedding, cold starts, search at size, training, the service.

    python scripts/bench.py            all of it
    python scripts/bench.py --quick    under two minutes: fewer photos, ten thousand faces, no service
    python scripts/bench.py --only embedding --only cold

Each part is a script of its own, run in a process of its own, one after the other; each compares with its
baselines in the same run. Prints their tables and writes all their results, each with the machine, the
versions and the commit, to scripts/results/bench.json (bench-quick.json).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

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


@click.command()
@click.option("--quick", is_flag=True, help="Under two minutes.")
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="These parts alone.")
def main(quick: bool, only: tuple[str, ...]) -> None:
    """Run the parts one after the other."""
    target = RESULTS / ("bench-quick.json" if quick else "bench.json")
    parts: dict[str, Any] = json.loads(target.read_text())["parts"] if only and target.is_file() else {}
    failed = []
    for name, (script, words) in PARTS.items():
        if (only and name not in only) or (quick and words is None and not only):
            continue
        click.echo(f"\n## {name}\n")
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "result.json"
            done = subprocess.run(
                [
                    sys.executable,
                    str(ROOT / "scripts" / script),
                    *(words or [] if quick else []),
                    "--out",
                    str(out),
                ],
                cwd=ROOT,
            )
            if done.returncode or not out.is_file():
                failed.append(name)
                continue
            parts[name] = {"seconds": round(time.monotonic() - started, 1), **json.loads(out.read_text())}
        replace_json(target, {"parts": parts})
    if failed:
        raise click.ClickException(f"these parts failed: {', '.join(failed)}")
    click.echo(f"\n{target.relative_to(ROOT)}", err=True)


if __name__ == "__main__":
    main()
