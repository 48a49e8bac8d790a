"""What a gallery remembers of the file of its encoder: a JSON object with `file`, where it lay, and
`preprocess` of a foreign one.

The note may come from anybody with the rest of a gallery: it is read leniently, and what cannot be read says
nothing.
"""

from __future__ import annotations

import json
from pathlib import PurePath

LONGEST = 4096


def read_note(text: str) -> dict[str, str]:
    """The note, without characters that a terminal might obey; empty when it is none."""
    if len(text) > LONGEST:
        return {}
    try:
        noted = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(noted, dict):
        return {}
    return {
        str(key): "".join(filter(str.isprintable, value))
        for key, value in noted.items()
        if isinstance(value, str)
    }


def note_of_name(text: str) -> str:
    """The same note with the file's name alone: the folders of this machine are nobody else's business."""
    noted = read_note(text)
    if "file" in noted:
        noted["file"] = PurePath(noted["file"]).name
    return json.dumps(noted)
