"""The key of encrypted galleries: 32 random bytes as 64 hexadecimal digits, in a file that only its owner can
read.

It is no password: nothing slows down guessing, because nobody guesses 256 random bits.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from facesearch.errors import BadKey, counted, reason_of, writing
from facesearch.files import OWNER_ONLY

KEY_BYTES = 32
LONGEST_FILE = 1024
HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
GIVEN = "the key given"


@dataclass(frozen=True, slots=True)
class Key:
    """secret: KEY_BYTES bytes, never printed. origin: where it came from, in words."""

    secret: bytes = field(repr=False)
    origin: str = field(compare=False)


def as_key(given: Key | bytes | str | os.PathLike[str] | None) -> Key | None:
    """What a caller gives for a key: one of ours, its 32 bytes or 64 hexadecimal digits, or the file that
    holds it. Raises BadKey.
    """
    if given is None or isinstance(given, Key):
        return given
    if isinstance(given, bytes | bytearray):
        if len(given) != KEY_BYTES:
            raise BadKey(GIVEN, f"it has {counted(len(given), 'byte')}, not {KEY_BYTES}")
        return Key(bytes(given), GIVEN)
    if (
        len(os.fspath(given)) == 2 * KEY_BYTES and set(os.fspath(given)) <= HEXADECIMAL
    ):  # the key itself: never told as a file's name
        return Key(secret_of(os.fspath(given), GIVEN), GIVEN)
    return read_key_file(Path(given))


def read_key_file(path: Path) -> Key:
    """Read a key's file. Raises BadKey: not there, no key in it, or open to others than its owner."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(LONGEST_FILE + 1)
    except OSError as error:
        raise BadKey(str(path), reason_of(error)) from error
    if os.name == "posix" and mode & 0o077:
        reason = f"others than its owner may read or write that file (mode {mode:03o})"
        raise BadKey(str(path), reason, f"Close it with: chmod 600 {path}")
    return Key(secret_of(data.decode("ascii", "replace"), str(path)), str(path))


def new_key_file(path: Path) -> None:
    """Make a random key and write it where there is no file yet, for its owner alone. Raises CannotWrite."""
    with writing(path), open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as file:
        file.write(secrets.token_hex(KEY_BYTES).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def secret_of(text: str, origin: str) -> bytes:
    """64 hexadecimal digits, blanks around them allowed. Raises BadKey, which does not quote what was
    there."""
    digits = text.strip()
    if len(digits) != 2 * KEY_BYTES or not set(digits) <= HEXADECIMAL:
        raise BadKey(origin, f"it is not {2 * KEY_BYTES} hexadecimal digits")
    return bytes.fromhex(digits)
