"""Charts as inline SVG: text stays text, colours come from the page's style sheet, nothing is fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from facesearch.records import F32, F64

WIDTH, HEIGHT = 480, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 52
BAR_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: x, y rising in x. label goes into the legend."""

    label: str
    x: F64
    y: F64


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
    return Axis(label, low, 1.0, tuple(round(1 - i * step, 2) for i in range(int(round((1 - low) / step, 6)) + 1))[::-1])


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, *, says: str, steps: bool = False, marks: Sequence[tuple[float, str]] = ()) -> str:
    """An SVG with a legend. says: the chart in one sentence, for who cannot see it; marks: upright lines at x with words."""
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    out = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(says)}">']
    for tick in x.ticks:
        at = LEFT + wide * float(x.place(np.array([tick]))[0])
        out.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{TOP + high}"/>')
        out.append(f'<text x="{at:.1f}" y="{TOP + high + 18}" text-anchor="middle">{_number(tick)}</text>')
    for tick in y.ticks:
        at = TOP + high * (1 - float(y.place(np.array([tick]))[0]))
        out.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{LEFT + wide}" y2="{at:.1f}"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    out.append(f'<line class="axis" x1="{LEFT}" y1="{TOP + high}" x2="{LEFT + wide}" y2="{TOP + high}"/>')
    out.append(f'<text class="label" x="{LEFT + wide / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x.label)}</text>')
    middle = TOP + high / 2
    turned = f'transform="rotate(-90 16 {middle:.0f})"'
    out.append(f'<text class="label" x="16" y="{middle:.0f}" text-anchor="middle" {turned}>{escape(y.label)}</text>')
    for score, words in marks:
        at = LEFT + wide * float(x.place(np.array([score]))[0])
        out.append(f'<line class="mark" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{TOP + high}"/>')
        out.append(f'<text x="{at - 6:.1f}" y="{TOP + 12}" text-anchor="end">{escape(words)}</text>')
    for number, line in enumerate(lines, 1):
        first = max(0, int(np.searchsorted(line.x, x.low, side="right")) - 1)  # of what lies before the axis only its last point
        px, py = LEFT + wide * x.place(line.x[first:]), TOP + high * (1 - y.place(line.y[first:]))
        out.append(f'<path class="line s{number}" d="{_path(px, py, steps=steps)}"/>')
    out.append("</svg>")
    if len(lines) > 1:
        keys = "".join(
            f'<li><svg viewBox="0 0 24 8" aria-hidden="true"><path class="line s{number}" d="M0 4H24"/></svg>{escape(line.label)}</li>'
            for number, line in enumerate(lines, 1)
        )
        out.append(f'<ul class="legend">{keys}</ul>')
    return "".join(out)


def score_chart(kinds: dict[str, F32], *, says: str, marks: Sequence[tuple[float, str]] = ()) -> str:
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
    step = next(step for step in (1, 2, 5, 10, 20, 50) if top / step <= 6)
    x = Axis(
        "score (cosine)", float(edges[0]), float(edges[-1]), tuple(np.round(np.arange(round(low * 5), round(high * 5) + 1) / 5, 1).tolist())
    )
    y = Axis("% of scores, a step of 0.02", 0.0, top * 1.05, tuple(float(v) for v in range(0, int(top) + 1, step)))
    return line_chart(lines, x, y, says=says, steps=True, marks=marks)


def interval_bar(value: float, low: float, high: float) -> str:
    """A rate from 0 to 1 as a dot on its interval, small enough for a table; decoration beside the numbers."""
    if not all(math.isfinite(number) for number in (value, low, high)) or not (low >= 0 and high <= 1):
        return ""
    a, b, c = (5 + (BAR_WIDTH - 10) * number for number in (low, value, high))
    return (
        f'<svg class="bar" viewBox="0 0 {BAR_WIDTH} 12" aria-hidden="true"><path class="rail" d="M5 6H{BAR_WIDTH - 5}"/>'
        f'<path class="span" d="M{a:.1f} 6H{c:.1f}"/><circle cx="{b:.1f}" cy="6" r="4"/></svg>'
    )


def _path(px: F64, py: F64, *, steps: bool) -> str:
    points = [f"{px[0]:.1f} {py[0]:.1f}"]
    for i in range(1, len(px)):
        if steps:
            points.append(f"{px[i]:.1f} {py[i - 1]:.1f}")
        here = f"{px[i]:.1f} {py[i]:.1f}"
        if here != points[-1]:
            points.append(here)
    return "M" + "L".join(points)


def _number(value: float) -> str:
    return f"{value:g}" if value >= 1e-3 or value <= 0 else f"{value:.0e}".replace("e-0", "e-")
