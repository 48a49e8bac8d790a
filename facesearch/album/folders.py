"""What the folders are called that an album is sorted into."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

UNKNOWN = "_unknown"
LONGEST_FOLDER_BYTES = 100


def folder_names(people: Iterable[str]) -> dict[str, str]:
    """A folder's name for each person: their own where every file system takes it, else with what it cannot
    take replaced and a piece of the name's hash added. No two people share a folder, even where upper and
    lower case are one."""
    wanted = {name: _safe(name) for name in people}
    count = Counter(safe.casefold() for safe in wanted.values())
    return {
        name: safe if count[safe.casefold()] == 1 else _marked(safe, name) for name, safe in wanted.items()
    }


def _safe(name: str) -> str:
    """The name as a folder's, on any file system."""
    plain = re.sub(r'[<>:"/\\|?*]', "_", name)
    plain = "".join("_" if unicodedata.category(c).startswith("C") else c for c in plain).rstrip(". ")
    plain = plain.encode()[:LONGEST_FOLDER_BYTES].decode(errors="ignore")
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", plain)
    return (
        plain
        if plain == name and not reserved and not plain.startswith((".", "_", "-", "~"))
        else _marked(plain, name)
    )


def _marked(plain: str, name: str) -> str:
    start = plain.lstrip("._-~ ") or "person"
    return f"{start}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
