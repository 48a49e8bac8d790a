"""The curves of training runs as SVG files, and runs side by side as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facesearch.errors import counted
from facesearch.files import replace_file
from facesearch.report.charts import Axis, Chart, Line, even, rates, svg_file

if TYPE_CHECKING:
    from facesearch.training.run_folder import EpochResult

ACCURACY, VERIFICATION = "val accuracy, no margin", "val verification (TPR)"


def write_curves(history: Sequence[EpochResult], path: Path) -> None:
    """Loss and accuracy over epochs as an SVG file. Raises CannotWrite."""
    epochs = [result.epoch for result in history]
    losses = _lines(
        _line("train (with margin and augmentation)", epochs, (r.train_loss for r in history)),
        _line("val", epochs, (r.val_loss for r in history)),
    )
    shares = _lines(
        _line("train accuracy (augmented)", epochs, (r.train_accuracy for r in history)),
        _line(ACCURACY, epochs, (r.val_accuracy for r in history)),
        _line(VERIFICATION, epochs, (r.val_tpr for r in history)),
        _line("val cosine to the teacher", epochs, (r.val_teacher for r in history)),
    )
    best = max((r.epoch for r in history if r.best), default=None)
    marks = [] if best is None else [(float(best), "best")]
    x = even("epoch", min(epochs), max(epochs), whole=True)
    said = f"over {counted(len(history), 'epoch')}" + ("" if best is None else f", the best is epoch {best}")
    charts = [
        Chart("Loss", f"The loss {said}.", x, _fitting("loss", losses), losses),
        Chart("Accuracy", f"Accuracy and verification {said}.", x, rates("share"), shares, marks),
    ]
    replace_file(path, svg_file(charts))


def write_comparison(runs: Mapping[str, Sequence[EpochResult]], path: Path) -> None:
    """Val accuracy and verification of several runs over epochs, and over minutes, as an SVG file. Raises
    CannotWrite.
    """
    accuracy, verification, timed = [], [], []
    for name, history in runs.items():
        epochs = [r.epoch for r in history]
        minutes = (np.cumsum([r.seconds for r in history]) / 60).tolist()
        tpr = [r.val_tpr for r in history]
        accuracy.append(_line(name, epochs, (r.val_accuracy for r in history)))
        verification.append(_line(name, epochs, tpr))
        timed.append(_line(name, minutes, tpr))
    panels = (
        (ACCURACY, "epoch", _lines(*accuracy)),
        (VERIFICATION, "epoch", _lines(*verification)),
        (VERIFICATION, "minutes", _lines(*timed)),
    )
    charts = []
    for share, over, lines in panels:
        x = even(over, *_ends([line.x for line in lines]), whole=over == "epoch")
        title, says = f"{share}, by {over}", f"{counted(len(runs), 'run')} compared."
        charts.append(Chart(title, says, x, _fitting("share", lines), lines))
    replace_file(path, svg_file(charts))


def comparison_lines(runs: Mapping[str, Sequence[EpochResult]]) -> list[str]:
    """A table of runs: the best epoch of each (by verification, as training chose it) and the highest
    accuracy of any.
    """
    width = max(len("run"), *map(len, runs))
    lines = [
        f"{'run':{width}}  epochs  best epoch  verification  accuracy  highest accuracy (epoch)  minutes"
    ]
    for name, history in runs.items():
        best = max((r for r in history if r.best), key=lambda r: r.epoch, default=history[-1])
        top = max(history, key=lambda r: r.val_accuracy)
        minutes = sum(r.seconds for r in history) / 60
        lines.append(
            f"{name:{width}}  {len(history):6}  {best.epoch:10}  {best.val_tpr:12.4f}"
            f"  {best.val_accuracy:8.4f}  {top.val_accuracy:16.4f} ({top.epoch:5})  {minutes:7.1f}"
        )
    return lines


def _line(label: str, x: Sequence[float], y: Iterable[float | None]) -> Line:
    """What is known and a number; a run that broke down has losses that are none."""
    known = [(a, b) for a, b in zip(x, y, strict=True) if b is not None and math.isfinite(b)]
    points = np.array(known, np.float64).reshape(-1, 2)
    return Line(label, points[:, 0], points[:, 1])


def _lines(*lines: Line) -> list[Line]:
    return [line for line in lines if len(line.x)]


def _fitting(label: str, lines: Sequence[Line]) -> Axis:
    return even(label, *_ends([line.y for line in lines]))


def _ends(values: Sequence[np.ndarray]) -> tuple[float, float]:
    every = np.concatenate([*values, np.empty(0)])
    return (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
