"""Plain English: name every hard word of scripts/words.txt in what users and contributors read.

    .venv/bin/python scripts/words.py              say where (exit code 1), with what to write instead
    .venv/bin/python scripts/words.py FILE...      in these files only

Of Python files comments and texts are read, not names; of JSON the texts; of all others everything but
`code`. The lab book (scripts/LOG.md) and the results are records of the past, and are left alone.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".txt")
READ = re.compile(
    r"[^/]+\.md|docs/.+|facesearch/.+|scripts/[^/]+\.(py|sh)|index/README\.md|\.github/.+|compose.yaml"
)
KINDS = (".py", ".md", ".html", ".js", ".css", ".toml", ".json", ".sh", ".yaml", ".yml")
NOT_READ = {"scripts/LOG.md"}
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


ENTRY = re.compile(r"^ +\w+(?=: )", re.MULTILINE)
"""The name of an argument or attribute, in its section of a docstring."""


def hard_words() -> tuple[re.Pattern[str], dict[str, str]]:
    """What is looked for, and what to write instead of each form."""
    instead = {}
    for line in LIST.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            forms, _, plain = line.partition(": ")
            instead |= dict.fromkeys(forms.split(", "), plain)
    spaced = (re.escape(form).replace(r"\ ", r"\s+") for form in sorted(instead, key=len, reverse=True))
    return re.compile(rf"\b({'|'.join(spaced)})\b", re.IGNORECASE), instead


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """What a person reads in a file, each part with the line where it begins."""
    whole = path.read_text("utf-8")
    if path.suffix == ".py":
        yield from _of_python(whole)
    elif path.suffix == ".json":
        yield from ((1, text) for text in _strings(json.loads(whole)) if " " in text)
    else:
        yield 1, whole


def _of_python(source: str) -> Iterator[tuple[int, str]]:
    strings = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in strings and " " in token.string:  # a single word is a key, not a text
            yield token.start[0], ENTRY.sub(lambda name: " " * len(name[0]), token.string)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def found(path: Path) -> Iterator[str]:
    """A line for each hard word in a file."""
    pattern, instead = hard_words()
    for start, text in texts(path):
        plain = CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)
        for match in pattern.finditer(plain):
            line = start + plain.count("\n", 0, match.start())
            word = " ".join(match[0].lower().split())
            yield f"{path.relative_to(ROOT)}:{line}: {word}: write {instead[word]}"


def files() -> list[Path]:
    """What is read, as git knows it."""
    known = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    names = [name for name in known.stdout.splitlines() if READ.fullmatch(name) and name not in NOT_READ]
    return [ROOT / name for name in names if name.endswith(KINDS) and (ROOT / name).is_file()]


def main() -> None:
    named = [Path(name).resolve() for name in sys.argv[1:]]
    chosen = [path for path in files() if not named or path in named]
    lines = [line for path in chosen for line in found(path)]
    print("\n".join(lines) if lines else f"no hard word in {len(chosen)} files")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
