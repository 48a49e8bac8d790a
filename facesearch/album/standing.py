"""What an album remembers of its groups: how sure each is, which are perhaps one person's, and where a face
that is in none perhaps belongs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from facesearch.album.album import Album
from facesearch.album.promise import Found
from facesearch.records import I64

_GROUPS = "standing"


@dataclass(frozen=True, slots=True)
class Standing:
    """sure: of a group's number, whether it is called sure, and how likely all its faces are one person's;
    alike: pairs of groups that are perhaps one person's, with how likely; leans: of a face, by its id, the
    group in which it perhaps belongs. Groups of which nothing is said are not there: a person made them, or
    another method."""

    sure: dict[int, tuple[bool, float]] = field(default_factory=dict)
    alike: tuple[tuple[int, int, float], ...] = ()
    leans: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, album: Album) -> Standing:
        """What is remembered. An album may come from anybody: what is none is passed over."""
        try:
            noted = json.loads(album.value(_GROUPS) or "{}")
            return cls(
                {int(number): (bool(sure), float(right)) for number, sure, right in noted.get("sure", ())},
                tuple((int(one), int(other), float(right)) for one, other, right in noted.get("alike", ())),
                {int(face): int(number) for face, number in noted.get("leans", ())},
            )
        except (ValueError, TypeError, AttributeError):
            return cls()

    def keep(self, album: Album) -> None:
        """Remember it."""
        noted = {
            "sure": [[number, *told] for number, told in self.sure.items()],
            "alike": [list(pair) for pair in self.alike],
            "leans": list(self.leans.items()),
        }
        album.remember(_GROUPS, json.dumps(noted, separators=(",", ":")))

    def and_found(self, found: Found, labels: I64, numbers: I64, face_ids: Sequence[int]) -> Standing:
        """The same after faces were grouped. labels (n,): which of what was found each face is in, -1 for
        none; numbers (n,): its group's number now, 0 for none.

        Of groups that were put together, what is said of the least sure.
        """
        number_of: dict[int, int] = {}
        told: dict[int, tuple[bool, float]] = {}
        for label, number in dict(zip(labels.tolist(), numbers.tolist(), strict=True)).items():
            if label < 0 or not number:
                continue
            number_of[label] = number
            if found.made[label]:
                this = (bool(found.sure[label]), round(float(found.right[label]), 3))
                told[number] = min(told.get(number, this), this)
        alike = {}
        for one, other, right in found.alike:
            pair = sorted((number_of.get(one, 0), number_of.get(other, 0)))
            if pair[0] and pair[0] != pair[1]:
                alike[pair[0], pair[1]] = right
        there, alone = set(numbers.tolist()), numbers == 0
        alike = {(one, other): right for one, other, right in self.alike} | alike
        leans = {
            face_ids[i]: number_of[int(found.leans[i])]
            for i in np.flatnonzero(alone & (found.leans >= 0)).tolist()
            if int(found.leans[i]) in number_of
        }
        still = {face_ids[i] for i in np.flatnonzero(alone).tolist()}
        before = {face: number for face, number in self.leans.items() if face in still and number in there}
        return Standing(
            {number: told for number, told in (self.sure | told).items() if number in there},
            tuple((*pair, right) for pair, right in alike.items() if set(pair) <= there),
            before | leans,
        )
