"""Run the examples of README.md and docs/ again and write what they print; fill their tables from results.

    .venv/bin/python scripts/examples.py                # all of them; no dataset is needed
    .venv/bin/python scripts/examples.py --only archivist --only demo
    .venv/bin/python scripts/examples.py --check        # write nothing, say what differs
    .venv/bin/python scripts/examples.py --tables       # only the tables, at once

An example is one or more blocks of code of a page, each after a comment that names it:

    <!-- example: NAME -->                runs in an empty folder
    <!-- example: NAME in WORLD -->       runs in a folder with something in it, see WORLDS
    <!-- example: NAME file FILE -->      runs nothing: the block is the contents of FILE
    <!-- example: NAME loosely -->        is compared without any number: what a training reaches

Blocks of one name run one after the other in the same folder. bash runs the `$ ` lines; one that ends in `&`
runs until the example ends, and its first line of output is shown; `export NAME=VALUE` holds for what
follows. What follows each line is replaced. The block keeps its form: a line that ends in ... is cut as short
again, a lone ... stands where lines are left out, and of stderr's lines (written `# ...`) those are kept that
begin with a word that was kept before.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path

import click
from tables import TABLES

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(
    r"(<!-- example: ([\w-]+)(?: in (\w+))?(?: file ([\w./-]+))?( loosely)? -->\n```\w*\n)(.*?)(?=```)",
    re.DOTALL,
)
TABLE = re.compile(r"(<!-- table: (\w+) -->\n(?:\|[^\n]*\n){2})((?:\|[^\n]*\n)*)")
HOME = "/home/ada"
"""What a world's folder is called in the pages."""
PORT = "8008"
"""The port in the pages; a free one stands in for it while an example runs."""
PATIENCE_S = 600


def pages() -> list[Path]:
    """README.md and every page of docs/, in order."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@dataclass(frozen=True, slots=True)
class Step:
    """A command of an example, and the lines that the page shows after it."""

    command: str
    shown: tuple[str, ...]


def steps(block: str) -> Iterator[Step]:
    """The commands of a block, in order. A line that ends in a backslash goes on in the next one."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        first = next(n for n, line in enumerate(lines) if not line.endswith("\\"))
        yield Step("\n".join(lines[: first + 1]), tuple(lines[first + 1 :]))


def written(step: Step, out: Sequence[str], err: Sequence[str]) -> list[str]:
    """What stands in the page after a command that printed out and err."""
    kept = {line.split()[1] for line in step.shown if line.startswith("# ")}
    lines = _elided(step.shown, out) if "..." in step.shown else _cut(step.shown, out)
    return [*lines, *(f"# {line}" for line in err if line.strip() and line.split()[0] in kept)]


def _elided(shown: Sequence[str], out: Sequence[str]) -> list[str]:
    """Lines of out whose label was shown, the rest as `...`."""
    labels = {_label(line) for line in shown}
    lines = [line if _label(line) in labels else "..." for line in out]
    return [line for line, _ in groupby(lines)]


def _label(line: str) -> str:
    """What a line is about: all up to its first gap, or, where it has none, to its first digit or colon."""
    label, *rest = re.split(r"(?<=\S)  ", line.strip(), maxsplit=1)
    return label if rest else re.split(r"[\d:]", label)[0]


def _cut(shown: Sequence[str], out: Sequence[str]) -> list[str]:
    lengths = [len(line) if line.endswith("...") else None for line in shown] + [None] * len(out)
    return [
        line if length is None or len(line) <= length else line[: length - 3] + "..."
        for line, length in zip(out, lengths, strict=False)
    ]


VARIES = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"\b[0-9a-f]{12,64}\b", "HASH"),
    (r"\d{4}-\d\d-\d\d(T[\d:.]+(\+00:00|Z)?)?", "DATE"),
    (r"\d[\d,]*(\.\d+)? ?(s|ms|min|img/s|bytes)\b", "TAKEN"),
    (r"\b(bytes|generation)( +)\d+", r"\1\2N"),
    (r"(generation_\w+\": )\d+", r"\1N"),
    (r"-\d+\.json", "-N.json"),
    (r"\bat -?\d+,-?\d+ \d+x\d+", "at BOX"),
    (r"\[-?\d+(\.\d+)?, ?-?\d+(\.\d+)?, ?\d+(\.\d+)?, ?\d+(\.\d+)?\]", "[BOX]"),
    (r"\d+ threads?, (bfloat16|float32)", "THREADS"),
    (r"^(epoch\s+\d+/\d+).*", r"\1"),
)
"""What differs between machines or runs, and what stands in its place when two runs are compared."""
ANY_NUMBER = (r"-?\b\d[\d,]*(\.\d+)?%?", "N")


def same(shown: str, printed: str, loosely: bool = False) -> bool:
    """Whether two lines say the same, but for what VARIES and for the last digits of decimals.

    Decimals may differ by 0.03; shares in per cent and numbers above 1.5 by a tenth or half a point. Loosely,
    all numbers are the same.
    """
    texts: list[list[str]] = []
    for line in (shown, printed):
        for pattern, instead in (*VARIES, ANY_NUMBER) if loosely else VARIES:
            line = re.sub(pattern, instead, line)
        texts.append(re.split(r"(-?\d+\.\d+%?)", re.sub(r"  +", "  ", line.rstrip())))
    if shown.endswith("...") and shown != "...":  # cut within a number, maybe
        end = min(map(len, texts)) - 1
        texts = [parts[:end] for parts in texts]
    if len(texts[0]) != len(texts[1]):
        return False
    return all(
        _near(one, other) if number % 2 else one == other
        for number, (one, other) in enumerate(zip(*texts, strict=True))
    )


def _near(one: str, other: str) -> bool:
    if one.endswith("%") != other.endswith("%"):
        return False
    a, b = float(one.rstrip("%")), float(other.rstrip("%"))
    wide = one.endswith("%") or max(abs(a), abs(b)) > 1.5
    return abs(a - b) <= (max(0.5, 0.1 * max(abs(a), abs(b))) if wide else 0.03)


@dataclass(slots=True)
class World:
    """A folder in which an example runs, and what runs in it until the example ends."""

    folder: Path
    port: str
    exported: dict[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """That of this process, without what it says of galleries; `facesearch` is this checkout's."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith("FACESEARCH_")}
        return (
            mine
            | self.exported
            | {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "COLUMNS": "110",
                "OMP_NUM_THREADS": "1",  # on a busy machine two threads wait for each other
            }
        )

    def run(self, command: str) -> tuple[list[str], list[str]]:
        """What a command printed: the lines of stdout, those of stderr."""
        command = command.replace(PORT, self.port)
        if export := re.fullmatch(r"export (\w+)=([\w./-]+)", command):
            self.exported[export.group(1)] = export.group(2)
            return [], []
        if command.rstrip().endswith("&"):
            return [self._start(command.rstrip().removesuffix("&"))], []
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        if done.returncode and not re.search(r"^Error: ", done.stderr, re.MULTILINE):
            raise click.ClickException(f"{command}\nended with {done.returncode}\n{done.stdout}{done.stderr}")
        return self._told(done.stdout).splitlines(), self._told(done.stderr).splitlines()

    def write(self, name: str, text: str) -> None:
        """A file of the example."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(PORT, self.port), "utf-8")

    def stop(self) -> None:
        """End what still runs."""
        for process in self.running:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=60)

    def _start(self, command: str) -> str:
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.running.append(process)
        assert process.stdout is not None
        first = process.stdout.readline().rstrip("\n")
        if not first:
            raise click.ClickException(f"{command}\n{(self.folder / 'log').read_text()}")
        return self._told(first)

    def _told(self, text: str) -> str:
        text = text.replace(f"{ROOT}/", "").replace(str(self.folder), HOME)
        return re.sub(rf"\b{self.port}\b", PORT, text)


@cache
def _drawn() -> tempfile.TemporaryDirectory[str]:
    """People who do not exist, drawn and enrolled once for all examples of a process."""
    from drawn_world import make_world

    folder = tempfile.TemporaryDirectory(prefix="examples-drawn-")
    make_world(Path(folder.name))
    return folder


def put_drawn(here: Path) -> None:
    """people/, strangers/, asked/ and the gallery `gallery` of scripts/drawn_world.py."""
    shutil.copytree(_drawn().name, here, dirs_exist_ok=True)


def put_shipped(here: Path) -> None:
    """`gallery`, a copy of the one that comes with facesearch, and scripts/demo_photos.py's `photos`."""
    from demo_photos import main as draw_photos

    (here / "gallery").mkdir(mode=0o700)
    shutil.copy(ROOT / "index" / "gallery.sqlite", here / "gallery")
    draw_photos(here / "photos")


WORLDS: dict[str, Callable[[Path], None]] = {
    "empty": lambda here: None,
    "drawn": put_drawn,
    "shipped": put_shipped,
}


@contextmanager
def world(kind: str) -> Iterator[World]:
    """A folder with what this kind of world has in it, deleted in the end."""
    with tempfile.TemporaryDirectory(prefix="examples-") as temp, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        here = World(Path(temp).resolve(), str(port))
        WORLDS[kind](here.folder)
        try:
            yield here
        finally:
            here.stop()


@dataclass(frozen=True, slots=True)
class Example:
    """All blocks of one name on one page."""

    page: Path
    name: str
    world: str
    loosely: bool


def examples(page: Path) -> list[Example]:
    """The examples of a page, in order."""
    found: dict[str, Example] = {}
    for match in BLOCK.finditer(page.read_text("utf-8")):
        _, name, kind, _, loosely, _ = match.groups()
        found.setdefault(name, Example(page, name, kind or "empty", bool(loosely)))
    return list(found.values())


def renewed(text: str, name: str, here: World) -> str:
    """text with the blocks of the example `name` run in the world `here`."""

    def again(match: re.Match[str]) -> str:
        head, named, _, file, _, block = match.groups()
        if named != name:
            return match.group(0)
        if file:
            here.write(file, block)
            return match.group(0)
        lines: list[str] = []
        for step in steps(block):
            lines += [f"$ {step.command}", *written(step, *here.run(step.command))]
        return head + "\n".join(lines) + "\n"

    return BLOCK.sub(again, text)


def differences(before: str, after: str, loosely: bool = False) -> list[str]:
    """The lines in which two versions of a page say something else, for people to read."""
    old, new = before.splitlines(), after.splitlines()
    if len(old) == len(new):
        return [f"- {a}\n+ {b}" for a, b in zip(old, new, strict=True) if not same(a, b, loosely)]
    import difflib

    kept = [line for line in difflib.unified_diff(old, new, lineterm="", n=0) if line[:1] in "+-"]
    return kept[2:]


def run_example(example: Example) -> tuple[str, str]:
    """The page as it stands, and as it is after the example was run once more."""
    before = example.page.read_text("utf-8")
    with world(example.world) as here:
        return before, renewed(before, example.name, here)


def filled(text: str) -> str:
    """text with the rows of every table after `<!-- table: NAME -->` and its two lines of head."""

    def again(match: re.Match[str]) -> str:
        rows = (f"| {' | '.join(cells)} |" for cells in TABLES[match.group(2)]())
        return match.group(1) + "".join(re.sub(r"  (?=\|)", " ", row) + "\n" for row in rows)

    return TABLE.sub(again, text)


@click.command(help=__doc__.splitlines()[0])
@click.option("--only", multiple=True, help="An example's name; again for several.")
@click.option(
    "--check", is_flag=True, help="Write nothing; say what differs, and exit with 1 if anything does."
)
@click.option("--tables", is_flag=True, help="Fill the tables and run nothing.")
def main(only: tuple[str, ...], check: bool, tables: bool) -> None:
    """Each page is written after each of its examples, so that what was run is not lost."""
    known = {example.name for page in pages() for example in examples(page)}
    for name in set(only) - known:
        raise click.BadParameter(f"no page has an example {name!r}; there are {', '.join(sorted(known))}")
    wrong = False
    for page in pages():
        for example in () if tables else examples(page):
            if only and example.name not in only:
                continue
            started = time.monotonic()
            before, after = run_example(example)
            told = differences(before, after, example.loosely)
            click.echo(
                f"{page.relative_to(ROOT)} {example.name}: {time.monotonic() - started:.0f} s", err=True
            )
            if check:
                click.echo("".join(f"{line}\n" for line in told), nl=False)
                wrong |= bool(told)
            else:
                page.write_text(after, "utf-8")
        text = page.read_text("utf-8")
        if check:
            wrong |= filled(text) != text
        elif filled(text) != text:
            page.write_text(filled(text), "utf-8")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
