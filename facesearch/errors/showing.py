"""What others named is shown, not obeyed: names of photos and people, paths, and words from files may hold
anything that a terminal, a shell or a reader takes for something else.
"""

from __future__ import annotations

import copy
import os
import re
import shlex
import unicodedata
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePath
from typing import TypeVar

from facesearch.errors.joiners import is_at_home

T = TypeVar("T")

_UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
"""Characters that are letters, marks or symbols by their category, and show nothing."""
_UNSEEN_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_SUSPECT = re.compile(r"[^ -~]|\\")
_BLANK = re.compile(f"[{_UNSEEN}]")
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U(00(?:0[0-9a-f]|10)[0-9a-f]{4})|(\\))")


_BYTES = 0xDC00
_FIRST_BYTE = _BYTES + 0x80
"""Python's characters for the bytes of a name that are no UTF-8 (PEP 383)."""


class Written(str):
    """Text that has been through `shown`, as photos' names that are kept or answered: shown as it is."""

    __slots__ = ()


def shown(value: T) -> T:
    """The same text with every character escaped that is not seen as it is: controls, line feeds, those that
    turn or hide text; as `\\x1b`, `\\u202e`. A byte that is no character, as in a file's name that is not
    UTF-8, is shown as `\\xe9`.

    `unshown` is the way back. Of a path, list, tuple, dict or record all texts in it are shown. What is
    `Written` has been shown once; it is only kept on one line.
    """
    if isinstance(value, Written):
        return one_line(value)  # type: ignore[return-value]
    if isinstance(value, str):
        return _shown(value)  # type: ignore[return-value]
    if isinstance(value, PurePath):
        text = str(value)
        return value if (safe := _shown(text)) == text else type(value)(safe)
    if isinstance(value, dict):
        return {shown(key): shown(item) for key, item in value.items()}  # type: ignore[return-value]
    if isinstance(value, list):
        return [shown(item) for item in value]  # type: ignore[return-value]
    if type(value) is tuple:
        return tuple(shown(item) for item in value)  # type: ignore[attr-defined, return-value]
    if is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for field in fields(value):
            before = getattr(value, field.name)
            if (after := shown(before)) is not before:
                changed[field.name] = after
        if not changed:
            return value
        twin = copy.copy(value)
        for name, after in changed.items():
            object.__setattr__(twin, name, after)
        return twin
    return value


def written(name: str | PurePath) -> Written:
    """A file's name or path as it is kept, answered and put into tables: as shown, so valid UTF-8 on one
    line, whatever bytes the file system has.
    """
    return Written(_shown(str(name)))


def unshown(text: str) -> str:
    """The text that `shown` was given."""
    return _ESCAPED.sub(_unescaped, text)


def one_line(text: str) -> str:
    """The same text with nothing unseen in it; backslashes stay as they are. Done again, it does nothing."""
    if not _odd(text):
        return text
    return type(text)("".join(_escape(c) if _is_unseen(text, i) else c for i, c in enumerate(text)))


def unseen_in(text: str) -> str:
    """The first character in it that is not seen as it is; empty when there is none."""
    return next((c for i, c in enumerate(text) if _is_unseen(text, i)), "")


def counted(n: int, thing: str, things: str = "", *, commas: bool = False) -> str:
    """`1 photo`, `2 photos`: so many of a thing. things: more than one of it, where an s does not make it;
    commas: thousands are parted.
    """
    number = f"{n:,}" if commas else str(n)
    return f"{number} {thing if n == 1 else things or _several(thing)}"


def _several(thing: str) -> str:
    before, space, last = thing.rpartition(" ")
    if last == "person":
        return f"{before}{space}people"
    return thing + ("es" if last.endswith(("s", "ch")) and last != "epoch" else "s")


def calm(text: str) -> str:
    """The last door before a terminal: as shown, but lines stay lines and backslashes as they are."""
    if not _odd(text):
        return text
    return "".join(c if c in "\n\t" or not _is_unseen(text, i) else _escape(c) for i, c in enumerate(text))


def pasted(thing: str | Path) -> str:
    """A path or a name as one word of a command line that may be pasted into a shell."""
    text = str(thing)
    if not unseen_in(text):
        return shlex.quote(text)
    whole = (chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in os.fsencode(text))
    return f"$'{''.join(whole)}'"


def _odd(text: str) -> bool:
    return _SUSPECT.search(text) is not None


def _shown(text: str) -> str:
    if not _odd(text):
        return text
    out = []
    for i, c in enumerate(text):
        if c == "\\":
            ambiguous = _ESCAPED.match(text, i) or (i + 1 < len(text) and _is_unseen(text, i + 1))
            out.append("\\\\" if ambiguous else c)
        else:
            out.append(_escape(c) if _is_unseen(text, i) else c)
    return "".join(out)


def _is_unseen(text: str, at: int) -> bool:
    c = text[at]
    if " " <= c <= "~":
        return False
    hidden = unicodedata.category(c) in _UNSEEN_CATEGORIES or _BLANK.match(c) is not None
    return hidden and not is_at_home(text, at)


def _escape(c: str) -> str:
    code = ord(c)
    if _FIRST_BYTE <= code < _FIRST_BYTE + 0x80:
        return f"\\x{code - _BYTES:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _unescaped(found: re.Match[str]) -> str:
    if found[4]:
        return "\\"
    code = int(found[1] or found[2] or found[3], 16)
    return chr(code + _BYTES if found[1] and code >= 0x80 else code)
