"""How one photo is searched for faces: which looks it takes, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from facesearch.faces.boxes import iou
from facesearch.faces.face_network import without_doubles
from facesearch.faces.fit import Fit, fit_of
from facesearch.faces.windows import (
    CELL_PX,
    FACE_PX,
    OVERLAP_PX,
    Look,
    Window,
    carried,
    cell_of,
    coarse,
    fine,
    mosaics,
    small,
    tiles,
)
from facesearch.records import F32, U8

MIN_SCORE = 0.7
"""Of a face that counts."""
CANDIDATE = 0.3
"""Of one that is worth a window of its own."""
SURE = 0.915
"""A face on its side, with upright landmarks on it, has less: of 250 drawn at random none had more in a
window."""
SURE_OF_PHOTO = 0.85
"""When its best face has less, the whole photo is looked at in all turns."""
LEAD, LEAD_ASIDE = 0.025, 0.015
"""By which a face's best turn must beat those that are upside down to it, and those at a right angle."""
TURNED_SCORE, TURNED_DEG = 0.85, 60.0
"""What a face scores at least that is turned by more, or was seen in another turn only: 99 in 100 do, and
less of what is no face."""
SMALL_PX = 48
"""A face that is smaller in a look gets a window, if the photo has more of it to show."""
STRAIGHT_DEG = 6.0
TURNED_STRAIGHT_DEG = 2.0
"""A face that seems rolled by more gets a window in which it is straight; and one that is turned already."""
SEEN_OF_ROLL = 1.7
"""Degrees of roll to one that YuNet's landmarks show: 15 look like 9, 30 like 17."""
TURNS = tuple(45.0 * number for number in range(8))
STRAIGHTENED = 2
BOX_SIZES = (0.7, 1.0, 1.4)
"""Of a face, to a box around it that a person has drawn."""
MOST_TURNED = 24
"""Faces that are looked at in all turns, the largest ones of a photo."""
MOST_CANDIDATES = 400
NEAR = 0.2
"""In a window the face's middle lies within this share of the side from the window's."""


@dataclass(frozen=True, slots=True)
class SeenFace:
    """row (15,) in the photo's pixels; shown_px: the face's longer side in what was looked at; roll_deg: by
    how much that was turned; unclear: other turns fit as well.
    """

    row: F32
    shown_px: float
    roll_deg: float = 0.0
    unclear: bool = False

    @property
    def score(self) -> float:
        return float(self.row[14])

    @property
    def face_px(self) -> float:
        return float(max(self.row[2:4]))


class FaceSearch:
    """One photo: find is the network (see FaceNetwork.find), pixels (h, w, 3) uint8 RGB."""

    def __init__(self, find: Callable[[U8, float], F32], pixels: U8, scale: float = 1.0) -> None:
        """scale: pixels of the original photo to one of these."""
        self._find, self._pixels = find, pixels
        self._fine = fine(pixels, scale)
        self._small = small(pixels if self._fine is None else self._fine)

    def faces(self) -> list[SeenFace]:
        """What is in the photo, largest first."""
        found = self._improved(self._seen())
        if max((one.score for one in found), default=0.0) < SURE_OF_PHOTO:
            found = _apart([*found, *self._improved(self._seen_turned())])
        good = [one for one in found if one.score >= (TURNED_SCORE if _is_turned(one) else MIN_SCORE)]
        return sorted(good, key=lambda one: -float(one.row[2] * one.row[3]))

    def face_in(self, box: F32, least_overlap: float) -> SeenFace | None:
        """The face in a box (4,) that a person has drawn, somewhat larger or smaller than a face's own."""
        turns = []
        for size in BOX_SIZES:
            side = float(max(box[2:4])) * size
            row = np.zeros(15, np.float32)
            row[:4] = [*(box[:2] + box[2:4] / 2 - side / 2), side, side]
            drawn = SeenFace(row, side)
            turns += self._in_windows([drawn] * len(TURNS), TURNS)
        fit = [
            one for one in turns if one is not None and iou(one.row.tolist(), box.tolist()) >= least_overlap
        ]
        best = _best_turn(fit)
        return None if best is None else self._straightened([best])[0]

    # ---- looks

    def _seen(self) -> list[SeenFace]:
        """What the whole photo and its tiles show."""
        found = list(self._in_look(coarse(self._pixels, self._small), CANDIDATE))
        large = [one for one in found if one.score >= SURE]
        for tile in () if self._fine is None else tiles(self._pixels, self._fine):
            found += [
                one
                for one in self._in_look(tile, CANDIDATE)
                if one.shown_px <= OVERLAP_PX and not any(_is_part(one, face) for face in large)
            ]
        return _apart(found)[:MOST_CANDIDATES]

    def _seen_turned(self) -> list[SeenFace]:
        """What the whole photo shows when it is turned."""
        turned = [
            replace(one, roll_deg=90.0 * quarters)
            for quarters in (1, 2, 3)
            for one in self._in_look(coarse(self._pixels, self._small, quarters), MIN_SCORE)
        ]
        return _apart(turned)

    def _in_look(self, look: Look, floor: float) -> Iterable[SeenFace]:
        rows = self._find(look.square, floor)
        w, h = look.size
        left, top, right, bottom = look.inner
        for row, own in zip(rows, carried(rows, look.back), strict=True):
            x, y, bw, bh = row[:4]
            cut = (
                (left and x < 2)
                or (top and y < 2)
                or (right and x + bw > w - 2)
                or (bottom and y + bh > h - 2)
            )
            if not cut and min(bw, bh) > 0:
                yield SeenFace(own, float(max(bw, bh)))

    # ---- windows

    def _improved(self, found: Sequence[SeenFace]) -> list[SeenFace]:
        """Each at its own size and upright."""
        few = [one for one in found if one.shown_px < min(SMALL_PX, one.face_px * 0.99)]
        larger = self._in_windows(few, [one.roll_deg for one in few])
        better = {id(one): new for one, new in zip(few, larger, strict=True)}
        return _apart(self._straightened(self._turned(_replaced(found, better))))

    def _turned(self, found: Sequence[SeenFace]) -> list[SeenFace]:
        """Those that are not sure, in that of eight turns that fits best."""
        doubtful = sorted((one for one in found if one.score < SURE), key=lambda one: -one.face_px)
        doubtful = doubtful[:MOST_TURNED]
        rolls = [roll for _ in doubtful for roll in TURNS]
        looked = self._in_windows([one for one in doubtful for _ in TURNS], rolls)
        better: dict[int, SeenFace | None] = {}
        for number, one in enumerate(doubtful):
            turns = looked[number * len(TURNS) : (number + 1) * len(TURNS)]
            best = _best_turn(turns)
            risen = best is not None and one.score < MIN_SCORE and best.score < TURNED_SCORE
            better[id(one)] = None if risen else best
        return _replaced(found, better)

    def _straightened(self, found: Sequence[SeenFace]) -> list[SeenFace]:
        """Those that are rolled where they were looked at, in a window in which they are straight."""
        done = list(found)
        for _ in range(STRAIGHTENED):
            seen = [_difference(_fit(one).roll_deg, one.roll_deg) for one in done]
            limits = [STRAIGHT_DEG if one.roll_deg == 0 else TURNED_STRAIGHT_DEG for one in done]
            rolled = [i for i, roll in enumerate(seen) if abs(roll) > limits[i]]
            rolls = [done[i].roll_deg + SEEN_OF_ROLL * seen[i] for i in rolled]
            looked = self._in_windows([done[i] for i in rolled], rolls)
            for i, new in zip(rolled, looked, strict=True):
                if new is not None and new.score >= done[i].score - LEAD:
                    done[i] = replace(new, unclear=done[i].unclear)
        return done

    def _in_windows(self, found: Sequence[SeenFace], rolls: Sequence[float]) -> list[SeenFace | None]:
        """The same faces in windows that are turned so; None where one does not show its face."""
        windows = []
        for one, roll in zip(found, rolls, strict=True):
            x, y, w, h = (float(value) for value in one.row[:4])
            windows.append(Window(x + w / 2, y + h / 2, one.face_px, roll))
        looked: list[SeenFace | None] = []
        for square, some in mosaics(self._pixels, windows):
            rows = self._find(square, CANDIDATE)
            middles = rows[:, :2] + rows[:, 2:4] / 2
            for number, window in enumerate(some):
                off = np.abs(middles - cell_of(number) - CELL_PX / 2).max(axis=1, initial=0)
                mine = np.flatnonzero(off <= NEAR * CELL_PX)
                looked.append(self._of_window(rows[mine], number, window))
        return looked

    def _of_window(self, rows: F32, number: int, window: Window) -> SeenFace | None:
        sizes = rows[:, 2:4].max(axis=1, initial=0)
        rows = rows[(sizes > FACE_PX / 2) & (sizes < FACE_PX * 2)]
        if not len(rows):
            return None
        row = rows[:1].copy()
        corner = np.tile(cell_of(number), 5)
        row[0, :2] -= corner[:2]
        row[0, 4:14] -= corner
        back = np.asarray(cv2.invertAffineTransform(window.matrix()), np.float64)
        return SeenFace(carried(row, back)[0], float(rows[0, 2:4].max()), window.roll_deg)


def _replaced(found: Sequence[SeenFace], by: dict[int, SeenFace | None]) -> list[SeenFace]:
    """Each face, or what stands for it (by its id) in its place; those for which nothing does are gone."""
    chosen = (by.get(id(one), one) for one in found)
    return [one for one in chosen if one is not None]


def _best_turn(turns: Sequence[SeenFace | None]) -> SeenFace | None:
    """The turn with the highest score; None where no turn shows a face. It is unclear when one that is far
    from it fits as well.
    """
    there = [one for one in turns if one is not None and _fit(one).is_face]
    if not there:
        return None
    best = max(there, key=lambda one: one.score)
    unclear = False
    for one in there:
        apart = abs(_difference(one.roll_deg, best.roll_deg))
        lead = LEAD if apart >= 135 else LEAD_ASIDE if apart >= 90 else -1.0
        unclear |= one.score > best.score - lead
    return replace(best, unclear=unclear)


def _is_turned(one: SeenFace) -> bool:
    return abs(_difference(one.roll_deg, 0.0)) > TURNED_DEG


def _is_part(one: SeenFace, of: SeenFace) -> bool:
    """Whether what looks like a face lies in a much larger one."""
    x, y, w, h = of.row[:4]
    mx, my = one.row[:2] + one.row[2:4] / 2
    return bool(x < mx < x + w and y < my < y + h and one.face_px < of.face_px / 3)


def _fit(one: SeenFace) -> Fit:
    return fit_of(one.row[4:14].reshape(5, 2))


def _difference(a: float, b: float) -> float:
    """Of two angles, in [-180, 180)."""
    return (a - b + 180) % 360 - 180


def _apart(found: Sequence[SeenFace]) -> list[SeenFace]:
    """Without those that a better one covers."""
    if not found:
        return []
    return [found[number] for number in without_doubles(np.stack([one.row for one in found]))]
