"""Findings of an audit that a person has looked at and called right, remembered beside the gallery without
telling whose they are.

Only salted hashes are kept, and each takes in the contents of the photos that it is about: no name can be
read or guessed from the file, and an erasure finds nothing in it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from pathlib import Path

from facesearch.errors import CannotRead
from facesearch.files import read_json, replace_json

FILE = "confirmed.json"


def finding_id(kind: str, contents: Iterable[str], people: Iterable[str]) -> str:
    """What one finding is known by: its kind, the SHA-256 of its photos, its people; in any order.
    Hexadecimal.
    """
    parts = [kind, *sorted(contents), *sorted(people)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def confirmed(folder: Path, findings: Iterable[str]) -> set[str]:
    """Which of these finding ids were confirmed. Raises CannotRead for a file that is not ours."""
    salt, digests = _load(folder)
    return {finding for finding in findings if _digest(salt, finding) in digests}


def confirm(folder: Path, finding: str, *, right: bool) -> None:
    """Remember a finding as right, or no longer. Raises CannotRead, CannotWrite."""
    salt, digests = _load(folder)
    digest = _digest(salt, finding)
    digests = digests | {digest} if right else digests - {digest}
    replace_json(folder / FILE, {"salt": salt, "findings": sorted(digests)})


def _load(folder: Path) -> tuple[str, set[str]]:
    path = folder / FILE
    if not path.is_file():
        return secrets.token_hex(16), set()
    entry = read_json(path)
    if (
        not isinstance(entry, dict)
        or not isinstance(entry.get("salt"), str)
        or not isinstance(entry.get("findings"), list)
    ):
        raise CannotRead(
            path, "it is no list of confirmed findings", "Delete it; the findings will be listed again."
        )
    return entry["salt"], {str(digest) for digest in entry["findings"]}


def _digest(salt: str, finding: str) -> str:
    return hashlib.sha256((salt + finding).encode()).hexdigest()
