"""Charts as SVG: inside a page, whose style sheet colours them, or as a file of its own, in light and dark.
Text stays text, and nothing is fetched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from facesearch.records import F32, F64
from facesearch.report.pages import rendered

STYLES = 10
"""So many lines look different; further ones begin again."""
NOT_XML = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that an XML file must not hold; a folder's name may."""


class Frame(NamedTuple):
    """The size of a chart, and between which edges its lines run."""

    width: int = 480
    height: int = 340
    left: int = 62
    right: int = 466
    top: int = 14
    bottom: int = 288


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: x, y rising in x. label goes into the legend."""

    label: str
    x: F64
    y: F64


class Path(NamedTuple):
    """A line as drawn: its classes, those of its sample in the legend, and its points."""

    label: str
    look: str
    key: str
    d: str


@dataclass(frozen=True, slots=True)
class Axis:
    """low, high: the ends shown; ticks: where numbers stand. log: by the logarithm, both ends above 0."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def place(self, values: F64) -> F64:
        """Share of the axis's length, 0 to 1; what lies outside is laid on the end."""
        inside = np.clip(values, self.low, self.high)
        if self.log:
            return (np.log10(inside) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return (inside - self.low) / (self.high - self.low)


def decades(label: str, low: float) -> Axis:
    """From a power of ten up to 1, by the logarithm."""
    lowest = round(math.log10(low))
    between = (1, 2, 5) if lowest >= -2 else (1,)
    ticks = tuple(float(f"{times}e{power}") for power in range(lowest, 0) for times in between)
    return Axis(label, 10.0**lowest, 1.0, (*ticks, 1.0), log=True)


def rates(label: str, low: float = 0.0) -> Axis:
    """From low (rounded down to a tenth) to 1."""
    low = math.floor(low * 10 + 1e-9) / 10
    step = 0.2 if low <= 0.2 else 0.1 if low <= 0.7 else 0.05
    count = int(round((1 - low) / step, 6)) + 1
    return Axis(label, low, 1.0, tuple(round(1 - i * step, 2) for i in range(count))[::-1])


def even(label: str, low: float, high: float, *, whole: bool = False) -> Axis:
    """From low to high, numbers a round step apart, nine at most; whole: without fractions."""
    if not high > low:
        high = low + 1
    power = 10.0 ** math.floor(math.log10((high - low) / 8))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= (high - low) / 8 * (1 - 1e-9))
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Axis(label, low, high, tuple(float(f"{i * step:.12g}") for i in range(first, last + 1)))


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines between two axes.

    says: the chart in one sentence, for who cannot see it; marks: upright lines at x with words; steps: each
    y holds until the next x.
    """

    title: str
    says: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    marks: Sequence[tuple[float, str]] = ()
    steps: bool = False
    frame: ClassVar[Frame] = Frame()

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        """Where numbers stand below the chart, and which."""
        return [(self._across(tick), _number(tick)) for tick in self.x.ticks]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        """Where numbers stand beside the chart, and which."""
        places = self._up(np.array(self.y.ticks)).tolist()
        return [(round(at, 1), _number(tick)) for at, tick in zip(places, self.y.ticks, strict=True)]

    @property
    def uprights(self) -> list[tuple[float, str]]:
        """Where the marks stand, and their words."""
        return [(self._across(value), words) for value, words in self.marks]

    @property
    def paths(self) -> list[Path]:
        """The lines as SVG paths."""
        drawn = []
        for number, line in enumerate(self.lines):
            # Of what lies before the axis only its last point counts.
            first = max(0, int(np.searchsorted(line.x, self.x.low, side="right")) - 1)
            f, share = self.frame, self.x.place(line.x[first:])
            d = _path(f.left + (f.right - f.left) * share, self._up(line.y[first:]), steps=self.steps)
            key = f"line s{number % STYLES + 1}"
            drawn.append(Path(line.label, key if "L" in d else f"{key} point", key, d))
        return drawn

    def _across(self, value: float) -> float:
        f, share = self.frame, float(self.x.place(np.array([value]))[0])
        return round(f.left + (f.right - f.left) * share, 1)

    def _up(self, values: F64) -> F64:
        return self.frame.top + (self.frame.bottom - self.frame.top) * (1 - self.y.place(values))


def score_chart(
    title: str, says: str, kinds: Mapping[str, F32], marks: Sequence[tuple[float, str]] = ()
) -> Chart:
    """How scores are spread, each kind (n,) with the same area, in steps of 0.02."""
    every = np.concatenate([*kinds.values(), np.array([mark for mark, _ in marks], np.float32)])
    low, high = math.floor(float(every.min()) * 5) / 5, math.ceil(float(every.max()) * 5) / 5
    edges = np.arange(round(low * 50), round(high * 50) + 1) / 50
    lines, top = [], 0.0
    for name, scores in kinds.items():
        counts, _ = np.histogram(scores, edges)
        share = counts / max(1, len(scores)) * 100
        top = max(top, float(share.max()))
        lines.append(Line(name, edges, np.append(share, share[-1])))
    ticks = tuple(np.round(np.arange(round(low * 5), round(high * 5) + 1) / 5, 1).tolist())
    x = Axis("score (cosine)", float(edges[0]), float(edges[-1]), ticks)
    y = even("% of scores, a step of 0.02", 0.0, top * 1.05)
    return Chart(title, says, x, y, lines, marks, steps=True)


def svg_file(charts: Sequence[Chart]) -> bytes:
    """Charts side by side as a file that needs nothing else: its colours, light and dark, are in it."""
    rows = max(len(chart.lines) if len(chart.lines) > 1 else 0 for chart in charts)
    says = " ".join(f"{chart.title}: {chart.says}" for chart in charts)
    text = rendered("chart_file.svg", charts=charts, rows=rows, says=says)
    return NOT_XML.sub("\ufffd", text).encode()


def interval_places(value: float, low: float, high: float, width: int) -> tuple[float, float, float] | None:
    """Where low, value and high of a rate from 0 to 1 stand on a bar so wide; None for what is no rate."""
    if not all(math.isfinite(number) for number in (value, low, high)) or not (low >= 0 and high <= 1):
        return None
    a, b, c = (round(5 + (width - 10) * number, 1) for number in (low, value, high))
    return a, b, c


def _path(px: F64, py: F64, *, steps: bool) -> str:
    points = [f"{px[0]:.1f} {py[0]:.1f}"]
    for i in range(1, len(px)):
        if steps:
            points.append(f"{px[i]:.1f} {py[i - 1]:.1f}")
        here = f"{px[i]:.1f} {py[i]:.1f}"
        if here != points[-1]:
            points.append(here)
    return "M" + "L".join(points) + ("h0" if len(points) == 1 else "")


def _number(value: float) -> str:
    return f"{value:g}" if value >= 1e-3 or value <= 0 else f"{value:.0e}".replace("e-0", "e-")
