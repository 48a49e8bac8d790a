"""A gallery as a program opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import facesearch
from tests.helpers.drawn import ColourEncoder


def opened(folder: Path, **given: Any) -> facesearch.Gallery:
    """A gallery of colours: what is answered is plain to see."""
    return facesearch.open_gallery(
        folder, **{"encoder": facesearch.Encoder.of(ColourEncoder()), "detector": "aligned", **given}
    )
