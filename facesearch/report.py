"""Results to lines, tables, JSON and plots. Nothing here computes a figure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesearch.errors import writing
from facesearch.files import OWNER_ONLY
from facesearch.records import Answer, ScoredBy, Skipped

if TYPE_CHECKING:
    from facesearch.gallery.rows import PersonCount, Threshold
    from facesearch.jobs.evaluate import Evaluation
    from facesearch.jobs.run_folder import EpochResult
    from facesearch.metrics.bootstrap import Rate


def as_json(value: Any, indent: int | None = 2) -> str:
    """JSON for stdout, on one line with indent None; NaN, which JSON has not, becomes null."""
    return json.dumps(plain(value), indent=indent, ensure_ascii=False)


def plain(value: Any) -> Any:
    """The same value in what JSON has: no NaN, no tuples, no paths."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def answer_lines(answer: Answer) -> list[str]:
    """One heading a face, then one line a person."""
    x, y, w, h = (round(value) for value in answer.box)
    which = f"face {answer.face_no} of {answer.faces_in_photo} at {x},{y} {w}x{h}"
    if answer.known is None:
        decision = "undecided (the gallery has no threshold; see: facesearch info)"
    elif answer.known:
        decision = f"match: {answer.matches[0].person}"
    else:
        decision = "unknown"
    lines = [f"{answer.photo}  {which}  {decision}"]
    for place, match in enumerate(answer.matches, 1):
        support = ", ".join(f"{s.source} ({s.score:.3f})" for s in match.support)
        mark = "*" if answer.known and place == 1 else " "
        lines.append(f" {mark}{place:2d}. {match.score:6.3f}  {match.person}  {_photos(match.photos)}, nearest: {support}")
    gap = "" if answer.gap is None else f"gap to the second {answer.gap:.3f}; "
    limit = "none" if answer.threshold is None else f"{answer.threshold:.3f}"
    lines.append(f"     {gap}threshold {limit}; a score is {SCORES[answer.scored_by]}")
    if answer.expected_fpir is not None:
        rare = "" if answer.stranger_share is None else f"; up to {_share(answer.stranger_share)} reach {answer.matches[0].score:.3f}"
        lines.append(f"     {_share(answer.expected_fpir)} of strangers' searches are expected to get a name{rare}")
    return lines


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else f"{share:.2%}" if share >= 1e-4 else "under 0.01%"


def answers_json(answers: Sequence[Answer]) -> str:
    return as_json([_answer_row(answer) for answer in answers])


def stream_json(photo: Path, found: Sequence[Answer] | Skipped) -> str:
    """One photo of a stream on one line: its answers, or why there is none."""
    if isinstance(found, Skipped):
        return as_json({"photo": photo, "answers": [], "skipped": found.reason}, indent=None)
    return as_json({"photo": photo, "answers": [_answer_row(answer) for answer in found], "skipped": None}, indent=None)


def _answer_row(answer: Answer) -> dict[str, Any]:
    row = asdict(answer)
    row["decision"] = {True: "match", False: "unknown", None: "undecided"}[row.pop("known")]
    return row


def people_lines(people: Sequence[PersonCount]) -> list[str]:
    width = max((len(str(person.faces)) for person in people), default=1)
    return [f"{person.faces:{width}d}  {person.name}" for person in people]


def fact_lines(facts: Mapping[str, object]) -> list[str]:
    """Facts about a gallery, a line each; counts by name on one line."""
    width = max(map(len, facts))
    return [f"{name:<{width}} {_fact(value)}" for name, value in facts.items()]


def _fact(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name or 'not noted'} ({count:,})" for name, count in value.items()) or "none"
    return "none" if value is None else str(value)


def calibration_lines(gallery: Path, new: Threshold, old: Threshold | None) -> list[str]:
    """What was promised, on what, and what stood there before."""
    lines = [f"{gallery}: threshold {new.score:.4f}; {new.fpir:.2%} of strangers' searches may get a name"]
    if new.low is not None and new.high is not None:
        lines.append(f"  other strangers: {new.low:.2%} to {new.high:.2%} (95 %, bootstrapped over people)")
    lines.append(f"  {new.method}: {new.searches} searches, {new.faces} faces enrolled")
    lines.append(f"  a score is {SCORES[new.by]}")
    lines.append(f"  before: {threshold_words(old)}")
    return lines


SCORES: dict[ScoredBy, str] = {
    "best-photo": "the best cosine over the person's photos",
    "mean-template": "the cosine with the mean template of the person's photos",
}


def threshold_words(threshold: Threshold | None) -> str:
    return threshold.words() if threshold else "none (too few people and photos to set one; pass --threshold to query)"


def epoch_line(result: EpochResult, epochs: int, minutes: float = 0.0) -> str:
    """One line for each look at val, as the seed project prints: loss and score on train and val. minutes: of a run by the clock."""
    mark = "  best" if result.best else "" if result.usable else "  not usable"
    teacher = "" if result.val_teacher is None else f" teacher {result.val_teacher:.4f}"
    where = f"epoch {result.epoch:3d}/{epochs}"
    if minutes and result.minutes is not None:
        where = f"{result.minutes:.1f}/{minutes:g} min  step {result.step}, round {result.epoch}"
    held = "" if result.held_teacher is None else f"  held out: teacher {result.held_teacher:.4f} length {result.held_length:.3f}"
    return (
        f"{where}  train loss {result.train_loss:7.4f} score {result.train_accuracy:.4f}  "
        f"val loss {result.val_loss:7.4f} score {result.val_accuracy:.4f} verification {result.val_tpr:.4f}{teacher}{held}  "
        f"lr {result.lr:.1e} margin {result.margin_rad:.2f} {result.size_px} px  {result.img_per_s:.0f} img/s {result.seconds:.0f} s{mark}"
    )


def _photos(count: int) -> str:
    return f"{count} photo" + ("" if count == 1 else "s")


def rate_words(rate: Rate) -> str:
    if math.isnan(rate.value):
        return "too few trials"
    if math.isnan(rate.low):
        return f"{rate.value:.4f}"
    return f"{rate.value:.4f}  [{rate.low:.4f}, {rate.high:.4f}]"


def evaluation_lines(result: Evaluation) -> list[str]:
    """The table: figure, value with its 95 % interval, trials, threshold, note."""
    lines = [f"encoder {result.encoder}", f"split {result.split}; intervals are 95 %, bootstrapped over people", ""]
    section = ""
    for figure in result.figures:
        if figure.section != section:
            section = figure.section
            lines += ([""] if lines[-1] else []) + [f"{section:<48}{'value  [95 % interval]':<30}{'trials':>8}  threshold"]
        limit = "" if figure.threshold is None else f"{figure.threshold:9.4f}"
        note = f"  {figure.note}" if figure.note else ""
        lines.append(f"  {figure.name:<46}{rate_words(figure.rate):<30}{figure.rate.trials:>8}  {limit:<9}{note}".rstrip())
    if result.skipped:
        lines += ["", *(f"left out: {reason}" for reason in result.skipped)]
    return lines


def write_plots(result: Evaluation, folder: Path) -> list[Path]:
    """Put the plots into folder as PNG files. Raises CannotWrite."""
    written: list[Path] = []
    plt = _pyplot()
    if result.cmc is not None:
        figure, axes = plt.subplots(figsize=(5, 4))
        axes.plot(range(1, len(result.cmc) + 1), result.cmc, marker="o")
        axes.set(xlabel="rank", ylabel=f"{result.split} probes found", title="CMC, closed set", ylim=(min(0.5, result.cmc[0] - 0.02), 1))
        written.append(_saved(figure, folder / "cmc.png"))
    for name, curve, labels in (
        ("roc", result.roc, ("false-positive rate", "true-positive rate", "ROC, identification-rate pairs")),
        ("det", result.det, ("FPIR", "FNIR", "DET, open set 1:N")),
    ):
        if curve is not None:
            figure, axes = plt.subplots(figsize=(5, 4))
            axes.plot(*curve)
            axes.set(
                xlabel=labels[0], ylabel=labels[1], title=labels[2], xscale="log", xlim=(1e-4 if name == "roc" else 1e-3, 1), ylim=(0, 1)
            )
            written.append(_saved(figure, folder / f"{name}.png"))
    if result.histograms:
        figure, axes = plt.subplots(figsize=(5, 4))
        for name, scores in result.histograms.items():
            axes.hist(scores, bins=100, range=(-0.5, 1), density=True, histtype="step", label=name)
        axes.set(xlabel="score (cosine)", ylabel="density", title="scores")
        axes.legend(fontsize=7)
        written.append(_saved(figure, folder / "scores.png"))
    return written


def write_curves(history: Sequence[EpochResult], path: Path) -> None:
    """Loss and accuracy over epochs as a picture. Raises CannotWrite."""
    plt = _pyplot()
    epochs = [result.epoch for result in history]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    left.plot(epochs, [r.train_loss for r in history], label="train (with margin and augmentation)")
    left.plot(epochs, [r.val_loss for r in history], label="val")
    left.set(xlabel="epoch", ylabel="loss")
    right.plot(epochs, [r.train_accuracy for r in history], label="train accuracy (augmented)")
    right.plot(epochs, [r.val_accuracy for r in history], label="val accuracy, no margin")
    right.plot(epochs, [r.val_tpr for r in history], label="val verification (TPR)")
    taught = [(r.epoch, r.val_teacher) for r in history if r.val_teacher is not None]
    if taught:
        right.plot(*zip(*taught, strict=True), label="val cosine to the teacher")
    best = max((r.epoch for r in history if r.best), default=None)
    if best is not None:
        right.axvline(best, color="grey", linewidth=0.8, linestyle=":")
    right.set(xlabel="epoch", ylim=(0, 1))
    for axes in (left, right):
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    _saved(figure, path)


def comparison_lines(runs: Mapping[str, Sequence[EpochResult]]) -> list[str]:
    """A table of runs: the best epoch of each (by verification, as training chose it) and the highest accuracy of any."""
    width = max(len("run"), *map(len, runs))
    lines = [f"{'run':{width}}  epochs  best epoch  verification  accuracy  highest accuracy (epoch)  minutes"]
    for name, history in runs.items():
        best = max((r for r in history if r.best), key=lambda r: r.epoch, default=history[-1])
        top = max(history, key=lambda r: r.val_accuracy)
        minutes = sum(r.seconds for r in history) / 60
        lines.append(
            f"{name:{width}}  {len(history):6}  {best.epoch:10}  {best.val_tpr:12.4f}  {best.val_accuracy:8.4f}  "
            f"{top.val_accuracy:16.4f} ({top.epoch:5})  {minutes:7.1f}"
        )
    return lines


def write_comparison(runs: Mapping[str, Sequence[EpochResult]], path: Path) -> None:
    """Val accuracy and verification of several runs over epochs, and over minutes of training. Raises CannotWrite."""
    plt = _pyplot()
    figure, panels = plt.subplots(1, 3, figsize=(13, 3.8))
    for name, history in runs.items():
        epochs = [r.epoch for r in history]
        minutes = [sum(r.seconds for r in history[: i + 1]) / 60 for i in range(len(history))]
        panels[0].plot(epochs, [r.val_accuracy for r in history], label=name)
        panels[1].plot(epochs, [r.val_tpr for r in history], label=name)
        panels[2].plot(minutes, [r.val_tpr for r in history], label=name)
    for axes, x, y in zip(panels, ("epoch", "epoch", "minutes"), ("val accuracy, no margin", "val verification (TPR)", ""), strict=True):
        axes.set(xlabel=x, ylabel=y)
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    _saved(figure, path)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _saved(figure: Any, path: Path) -> Path:
    fresh = path.with_name(f".{path.name}.new")
    with writing(path):
        figure.tight_layout()
        figure.savefig(fresh, dpi=110, format="png")
        fresh.chmod(OWNER_ONLY)
        fresh.replace(path)
    _pyplot().close(figure)
    return path
