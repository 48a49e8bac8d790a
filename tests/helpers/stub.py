"""A detector that finds what it is told to find."""

from __future__ import annotations

from facesearch.records import U8, Face


class Stub:
    """Finds the same faces in every photo."""

    name = "stub"

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def detect(self, pixels: U8) -> list[Face]:
        return self.faces

    def another(self) -> Stub:
        return self
