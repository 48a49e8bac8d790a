"""Run the README's examples again and write what they print into it; fill its tables from the results beside
this script.

    .venv/bin/python scripts/readme.py
        all, under two minutes; needs ../shared and data/
    .venv/bin/python scripts/readme.py --only query --only index
    .venv/bin/python scripts/readme.py --tables                 # only the tables, in no time

An example is the block of code after `<!-- example: NAME -->`: its `$ ` lines are run by bash in a world of
their own, a folder beside the repository with a copy of the shipped gallery, and what follows each line is
replaced. The block keeps its form: a line that ends in ... is cut as short again, a lone ... stands where
lines are left out, and of stderr's lines (written `# ...`) those are kept that begin with a word that was
kept before.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from drawn_world import make_world, served
from tables import TABLES

ROOT = Path(__file__).resolve().parents[1]
README, SHARED = ROOT / "README.md", ROOT.parent / "shared"
EXAMPLE = re.compile(r"(<!-- example: (\w+) -->\n```\n)(.*?)(?=```)", re.DOTALL)
TABLE = re.compile(r"(<!-- table: (\w+) -->\n(?:\|[^\n]*\n){2})((?:\|[^\n]*\n)*)")
HOME = "/home/ada"
"""What a world's folder is called in the README."""
LABEL = 23
"""Columns of a label in what `info` prints."""
Run = Callable[[str], tuple[list[str], list[str]]]


@dataclass(frozen=True, slots=True)
class Step:
    """A command of an example, and the lines that the README shows after it."""

    command: str
    shown: tuple[str, ...]


def steps(block: str) -> Iterator[Step]:
    """The commands of a block, in order."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield Step(command, tuple(shown))


def written(step: Step, out: Sequence[str], err: Sequence[str]) -> list[str]:
    """What stands in the README after a command that printed out and err."""
    kept = {line.split()[1] for line in step.shown if line.startswith("# ")}
    lines = _elided(step.shown, out) if "..." in step.shown else _cut(step.shown, out)
    return [*lines, *(f"# {line}" for line in err if line.strip() and line.split()[0] in kept)]


def _elided(shown: Sequence[str], out: Sequence[str]) -> list[str]:
    labels = {line[:LABEL] for line in shown}
    lines = [line if line[:LABEL] in labels else "..." for line in out]
    return [line for line, _ in groupby(lines)]


def _cut(shown: Sequence[str], out: Sequence[str]) -> list[str]:
    lengths = [len(line) if line.endswith("...") else None for line in shown] + [None] * len(out)
    return [
        line if length is None or len(line) <= length else line[: length - 3] + "..."
        for line, length in zip(out, lengths, strict=False)
    ]


def renewed(text: str, only: Sequence[str], opened: Callable[[str], Any]) -> str:
    """text with each example (those in only, or all) run in the world that opened(name) gives."""

    def again(match: re.Match[str]) -> str:
        head, name, block = match.groups()
        if only and name not in only:
            return match.group(0)
        with opened(name) as run:
            if name == "demo":
                out, _ = run(f"bash {ROOT}/scripts/demo.sh 2>&1")
                return head + re.sub(r"\x1b\[\d*m", "", "\n".join(out)).strip() + "\n"
            lines: list[str] = []
            for step in steps(block):
                lines += [f"$ {step.command}", *written(step, *run(step.command))]
        return head + "\n".join(lines) + "\n"

    return EXAMPLE.sub(again, text)


@contextmanager
def world(name: str) -> Iterator[Run]:
    """Beside the repository: a copy of the shipped gallery with its index, the prepared data, two photos; for
    `service` drawn people.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        here = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="readme-", dir=ROOT.parent)))
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

        def run(command: str) -> tuple[list[str], list[str]]:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=here,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode and "Error: " not in done.stderr:
                raise click.ClickException(f"{name}: {command}\nended with {done.returncode}\n{done.stderr}")
            out, err = (
                text.replace(f"{ROOT}/", "").replace(str(here), HOME).splitlines()
                for text in (done.stdout, done.stderr)
            )
            return out, err

        if name == "service":
            stack.enter_context(served(make_world(here), "--port", 8008, log=here / "log"))
        elif name != "demo":  # which shows both streams as one, as a newcomer sees them
            shutil.copytree(
                ROOT / "index", here / "index", ignore=shutil.ignore_patterns("vectors*", "receipts")
            )
            (here / "data").symlink_to(ROOT / "data")
            for photo in ("face.jpg", "photo.jpg"):
                shutil.copy(SHARED / "data" / "wild" / "7274" / "007446.jpg", here / photo)
            run("facesearch index")
        yield run
    click.echo(f"{name}: {time.monotonic() - started:.0f} s", err=True)


def filled(text: str) -> str:
    """text with the rows of every table after `<!-- table: NAME -->` and its two lines of head."""

    def again(match: re.Match[str]) -> str:
        rows = (f"| {' | '.join(cells)} |" for cells in TABLES[match.group(2)]())
        return match.group(1) + "".join(re.sub(r"  (?=\|)", " ", row) + "\n" for row in rows)

    return TABLE.sub(again, text)


@click.command(help=__doc__.splitlines()[0])
@click.option("--only", multiple=True, help="An example's name; again for several.")
@click.option("--tables", is_flag=True, help="Fill the tables and run nothing.")
def main(only: tuple[str, ...], tables: bool) -> None:
    """Rewrite README.md in place, after each example, so that what was run is not lost."""
    text = README.read_text("utf-8")
    names = [match.group(2) for match in EXAMPLE.finditer(text)]
    for name in () if tables else only or names:
        if name not in names:
            raise click.BadParameter(f"README.md has no example {name!r}; it has {', '.join(names)}")
        text = renewed(text, [name], world)
        README.write_text(text, "utf-8")
    README.write_text(filled(text), "utf-8")


if __name__ == "__main__":
    main()
