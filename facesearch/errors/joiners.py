"""Characters that show nothing of their own and that honest writing needs all the same, where it needs them:
joiners in Persian, in the scripts of India and in emoji, and selectors of a letter's or a picture's shape.
"""

from __future__ import annotations

import re
import unicodedata

NON_JOINER, JOINER = "\u200c", "\u200d"
_JOINS_ON = re.compile(
    "["
    "\u0620\u0626\u0628\u062a-\u062e\u0633-\u063f\u0641-\u0647\u0649-\u064a\u066e-\u066f\u0678-\u0687"
    "\u069a-\u06bf\u06c1-\u06c2\u06cc\u06ce\u06d0-\u06d1\u06fa-\u06fc\u06ff\u0712-\u0714\u071a-\u071d"
    "\u071f-\u0727\u0729\u072b\u072d-\u072e\u074e-\u0758\u075c-\u076a\u076d-\u0770\u0772\u0775-\u0777"
    "\u077a-\u077f\u07ca-\u07ea\u0841-\u0845\u0848\u084a-\u0853\u0855\u0860\u0862-\u0865\u0868\u0886"
    "\u0889-\u088d\u08a0-\u08a9\u08af-\u08b0\u08b3-\u08b8\u08ba-\u08c8\u1820-\u1878\u1887-\u18a8"
    "\u18aa\ua840-\ua872\U00010ac0-\U00010ac4\U00010acd\U00010ad3-\U00010adc\U00010ade-\U00010ae0"
    "\U00010b80\U00010b82\U00010b86-\U00010b88\U00010b8a-\U00010b8b\U00010b8d\U00010b90"
    "\U00010d00-\U00010d21\U00010d23\U00010f30-\U00010f32\U00010f34-\U00010f44\U00010f70-\U00010f73"
    "\U00010f76-\U00010f81\U00010fb0\U00010fb2-\U00010fb3\U00010fb8\U00010fbb-\U00010fbc"
    "\U00010fbe-\U00010fbf\U00010fc1\U00010fc4\U0001e900-\U0001e943"
    "]"
)
_JOINS_BACK = re.compile(
    "["
    "\u0620\u0622-\u063f\u0641-\u064a\u066e-\u066f\u0671-\u0673\u0675-\u06d3\u06d5\u06ee-\u06ef"
    "\u06fa-\u06fc\u06ff\u0710\u0712-\u072f\u074d-\u077f\u07ca-\u07ea\u0840-\u0858\u0860\u0862-\u0865"
    "\u0867-\u086a\u0870-\u0882\u0886\u0889-\u088e\u08a0-\u08ac\u08ae-\u08c8\u1820-\u1878"
    "\u1887-\u18a8\u18aa\ua840-\ua871\U00010ac0-\U00010ac5\U00010ac7\U00010ac9-\U00010aca"
    "\U00010ace-\U00010ad6\U00010ad8-\U00010ae1\U00010ae4\U00010b80-\U00010b91\U00010d01-\U00010d23"
    "\U00010f30-\U00010f44\U00010f70-\U00010f81\U00010fb0\U00010fb2-\U00010fb6\U00010fb8-\U00010fbf"
    "\U00010fc1-\U00010fc4\U0001e900-\U0001e943"
    "]"
)
"""Letters of scripts that are written joined, by the side on which they join (Unicode's Joining_Type)."""
_IDEOGRAPH = re.compile("[\u2e80-\u2fd5\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]")
_MONGOLIAN = re.compile("[\u1820-\u18aa]")
_VIRAMA = 9
"""The combining class of the sign by which letters of Indic scripts become one."""


def is_at_home(text: str, at: int) -> bool:
    """Whether the character here, which shows nothing, has a meaning for what stands around it (UAX #31 A1-B;
    RFC 5892, CONTEXTJ; UTS #51 for emoji).
    """
    c, before, after = text[at], text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if c == JOINER:
        return _is_virama(before) or (_is_emoji(text, at) and unicodedata.category(after or "a") == "So")
    if c == NON_JOINER:
        return _is_virama(before) or (
            _JOINS_ON.match(_base(text, range(at - 1, -1, -1))) is not None
            and _JOINS_BACK.match(_base(text, range(at + 1, len(text)))) is not None
        )
    if c in "\ufe0e\ufe0f":
        return bool(before) and (unicodedata.category(before) in ("So", "Sm", "Po") or after == "\u20e3")
    if "\ufe00" <= c <= "\ufe02" or "\U000e0100" <= c <= "\U000e01ef":
        return _IDEOGRAPH.match(before) is not None
    if "\u180b" <= c <= "\u180d":
        return _MONGOLIAN.match(before) is not None
    return False


def _is_virama(c: str) -> bool:
    return bool(c) and unicodedata.combining(c) == _VIRAMA


def _is_emoji(text: str, at: int) -> bool:
    """Whether an emoji ends before this place, with the shape or the colour of skin that may follow it."""
    before = text[:at].rstrip("\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")
    return bool(before) and unicodedata.category(before[-1]) == "So"


def _base(text: str, places: range) -> str:
    """The first character that is no mark over or under another; empty when there is none."""
    return next((text[i] for i in places if unicodedata.category(text[i]) not in ("Mn", "Me")), "")
