"""What can go wrong between the processes of one run."""

from __future__ import annotations

from dataclasses import dataclass

from facesearch.errors.base import FacesearchError, TrainingError


@dataclass(eq=False)
class PeerLost(TrainingError):
    """Another process of the run is gone, so this one cannot go on.

    Attributes:
        kept: What is safe.
        resume: The command that goes on.
    """

    rank: int
    world: int
    kept: str
    resume: str

    @property
    def where(self) -> str:
        return f"process {self.rank + 1} of {self.world}"

    @property
    def what(self) -> str:
        return (
            "The connection to another process of this run has broken. That process was killed, ran out of"
            " memory, or failed with a message of its own."
        )

    @property
    def advice(self) -> str:
        return f"{self.kept}. Go on with:\n  {self.resume}"


@dataclass(eq=False)
class OfOneProcess(TrainingError):
    """An expected error of a process that is not the first one, with its number."""

    rank: int
    world: int
    error: FacesearchError

    @property
    def where(self) -> str:
        number = f"process {self.rank + 1} of {self.world}"
        return f"{number}: {self.error.where}" if self.error.where else number

    @property
    def what(self) -> str:
        return self.error.what

    @property
    def advice(self) -> str:
        return self.error.advice
