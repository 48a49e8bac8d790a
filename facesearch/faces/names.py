"""What can be a person's name: of people who are enrolled, of folders that hold their photos."""

from __future__ import annotations

import unicodedata

from facesearch.errors import BadName, one_line, unseen_in

LONGEST_NAME = 200
_NEVER = ("Cc", "Cs", "Zl", "Zp")
"""Categories of what no name may hold, in any gallery: controls, halves of characters, ends of lines."""
_PRIVATE = ("Co", "Cn")
"""Of characters that a newer Unicode or a font of one's own may show: names of people are written in some."""


def usual_form(name: str) -> str:
    """The one form in which a name is kept and asked for: Unicode NFC, no blanks around. Raises TypeError for
    what is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"a {type(name).__name__} is no name")
    return unicodedata.normalize("NFC", name).strip()


def clean_name(name: str) -> str:
    """Bring the name of somebody new to its usual form. Raises BadName for what no name can be.

    Names are data, never paths: slashes, dashes and every script are fine. Control characters, line breaks
    and what shows nothing, turns text around or hides it are not: two names that look alike would be two
    people. Joiners may stand where a script or an emoji needs them.
    """
    name = kept_name(name)
    if hidden := unseen_in("".join(c for c in name if unicodedata.category(c) not in _PRIVATE)):
        raise BadName(name, f"it holds the invisible character U+{ord(hidden):04X}")
    return name


def kept_name(name: str) -> str:
    """The same for a name that an older gallery may have taken: what only hides in it is let be."""
    name = usual_form(name)
    if not name:
        raise BadName(name, "it is empty")
    if len(name) > LONGEST_NAME:
        raise BadName(name, f"it has {len(name):,} characters; {LONGEST_NAME} are the limit")
    for c in name:
        if "\udc80" <= c <= "\udcff":
            raise BadName(name, "it is not UTF-8")
        if unicodedata.category(c) in _NEVER:
            raise BadName(name, f"it holds the control character U+{ord(c):04X}")
    return name


def clean_source(source: str) -> str:
    """A photo's name as a gallery keeps it: written on one line, its end if it is very long; "photo" where
    nothing is left. Done again, it does nothing.
    """
    kept = "".join(one_line(c) if unicodedata.category(c) in _NEVER else c for c in usual_form(source))
    return usual_form(kept[-LONGEST_NAME:]) or "photo"
