"""What can go wrong between the processes of one run."""

from __future__ import annotations

from dataclasses import dataclass

from facesearch.errors.base import FaceSearchError


@dataclass(eq=False)
class PeerLost(FaceSearchError):
    """Another process of the run is gone, so this one cannot go on. kept: what is safe; resume: the command that goes on."""

    rank: int
    world: int
    kept: str
    resume: str

    def __str__(self) -> str:
        return (
            f"process {self.rank + 1} of {self.world}: the connection to another process of this run has broken: it was killed, ran out "
            f"of memory, or failed with a message of its own.\n{self.kept}. Go on with:\n  {self.resume}"
        )


@dataclass(eq=False)
class OfOneProcess(FaceSearchError):
    """An expected error of a process that is not the first one, with its number: several may speak at once."""

    rank: int
    world: int
    text: str

    def __str__(self) -> str:
        return f"process {self.rank + 1} of {self.world}: {self.text}"
