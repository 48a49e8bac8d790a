"""Results as lines, tables and JSON. Nothing here computes a figure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesearch.album.folders import UNKNOWN
from facesearch.errors import calm, counted, shown, written
from facesearch.records import Bound, ScoredBy

if TYPE_CHECKING:
    from facesearch.answers import (
        Comparison,
        DetectedPhoto,
        FaceAnswer,
        GalleryInfo,
        Hub,
        OwnSearches,
        PersonPhotos,
        PhotoAnswer,
        ThresholdInfo,
    )
    from facesearch.api.album_answers import AlbumScan
    from facesearch.api.results import LookedAgain
    from facesearch.evaluation.results import Evaluation
    from facesearch.gallery.store.rows import Threshold
    from facesearch.metrics.bootstrap import Rate
    from facesearch.training.run_folder import EpochResult


def as_json(value: Any, indent: int | None = 2) -> str:
    """JSON for stdout, on one line with indent None; NaN, which JSON has not, becomes null.

    Every value is exact: what no reader would see, or a terminal would obey, stands there as `\\u001b`.
    """
    return escaped(json.dumps(plain(value), indent=indent, ensure_ascii=False))


def escaped(text: str) -> str:
    """The same JSON, with JSON's own escapes for all that `shown` escapes. Bytes that are no UTF-8, which
    JSON has not, stand there as they do in photos' names.
    """
    if calm(text) == text:
        return text
    return "".join(c if c == calm(c) else json.dumps(written(c) if _is_half(c) else c)[1:-1] for c in text)


def _is_half(c: str) -> bool:
    return "\ud800" <= c <= "\udfff"


def plain(value: Any) -> Any:
    """The same value in what JSON has: no NaN, no tuples, no paths."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in fields(value) if field.name != "crop"
        }
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    return str(value) if isinstance(value, Path) else value


def answer_lines(photo: PhotoAnswer) -> list[str]:
    """One heading a face, then one line a person."""
    photo = shown(photo)
    return [line for face in photo for line in _face_lines(photo.photo, face)]


def _face_lines(photo: str, answer: FaceAnswer) -> list[str]:
    x, y, w, h = (round(value) for value in answer.box)
    which = f"face {answer.face} of {answer.of} at {x},{y} {w}x{h}"
    if answer.decision == "undecided":
        decision = "undecided (the gallery has no threshold; see: facesearch info)"
    elif answer.decision == "unknown":
        decision = "unknown"
    elif answer.decision == "ambiguous":
        decision = f"ambiguous: {answer.matches[0].person} or {answer.ambiguous_with}"
    else:
        decision = f"match: {answer.matches[0].person}"
    poor = f"  poor photo: {', '.join(answer.poor)}" if answer.poor else ""
    lines = [f"{photo}  {which}  {decision}{poor}"]
    for place, match in enumerate(answer.matches, 1):
        support = ", ".join(f"{s.source} ({s.score:.3f})" for s in match.support)
        mark = "*" if answer.decision in ("match", "ambiguous") and place == 1 else " "
        lines.append(
            f" {mark}{place:2d}. {match.score:6.3f}  {match.person}  {counted(match.photos, 'photo')},"
            f" nearest: {support}"
        )
    gap = "" if answer.gap is None else f"gap to the second {answer.gap:.3f}; "
    limit = "none" if answer.threshold is None else f"{answer.threshold:.3f}"
    lines.append(f"     {gap}threshold {limit}; a score is {SCORES[answer.scored_by]}")
    if answer.expected_fpir is not None:
        rare = (
            ""
            if answer.stranger_share is None
            else f"; {_share(answer.stranger_share, answer.stranger_share_is, 'up to ')} reach"
            f" {answer.matches[0].score:.3f}"
        )
        named = _share(answer.expected_fpir, answer.expected_fpir_is)
        lines.append(f"     {named} of strangers' searches are expected to get a name{rare}")
    return lines


def _share(share: float, bound: Bound = "about", about: str = "") -> str:
    """A share in words; about: how one begins that is no bound."""
    if share < 1e-4:
        return "under 0.01%"
    before = {"about": about, "more": "more than ", "less": "less than "}[bound]
    return before + (f"{share:.1%}" if share >= 0.001 else f"{share:.2%}")


def people_lines(people: Sequence[PersonPhotos]) -> list[str]:
    people = [shown(person) for person in people]
    width = max((len(str(person.photos)) for person in people), default=1)
    return [f"{person.photos:{width}d}  {person.person}" for person in people]


def info_lines(info: GalleryInfo) -> list[str]:
    """What a gallery is, one fact a line."""
    info = shown(info)
    facts: dict[str, object] = {
        "gallery": info.gallery,
        "people": info.people,
        "faces": info.faces,
        "dimension": info.dimension,
        "encoder": info.encoder,
        "encoder_id": info.encoder_id,
    }
    if info.encoder_file:
        facts["encoder's file"] = info.encoder_file
    facts |= {
        "threshold": threshold_words(info.calibration) + _of_then(info),
        "stale": info.stale,
        "generation": info.generation,
        "index": info.index.state,
        "search": "; ".join(info.index.parts),
        "chosen index": info.index.choice,
        "bytes": info.bytes,
    }
    if info.encrypted:
        facts["encryption"] = "names, photos' names, content hashes and vectors, by AES-SIV"
    if found_by := ", ".join(f"{name} ({count})" for name, count in info.detectors.items() if name):
        facts["detectors"] = found_by
    states = []
    for there in info.projections:
        state = (
            f"still holds {there.pending} erased"
            if there.pending
            else "as of the last sync"
            if there.synced
            else "a sync was interrupted"
        )
        states.append(f"{there.store} ({counted(there.faces, 'face')}, {there.index}; {state})")
    if states:
        facts["projections"] = "; ".join(states)
    for figure in info.measured:
        facts[f"{figure.split}: {figure.name}"] = f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
    width = max(map(len, facts))
    return [f"{name:<{width}} {value}" for name, value in facts.items()]


def _of_then(info: GalleryInfo) -> str:
    """What becomes of a threshold's promise in a gallery of another size than it was made for."""
    then = info.calibration
    if then is None or not then.faces or then.faces == info.faces:
        return ""
    now = min(1.0, then.fpir * info.faces / then.faces)
    return f"; of {counted(info.faces, 'face')} now about {now:.1%}, and the interval is of then"


def detected_lines(photo: DetectedPhoto) -> list[str]:
    """One line a face."""
    photo = shown(photo)
    lines = []
    for face in photo:
        x, y, w, h = (round(value) for value in face.box)
        lines.append(
            f"{photo.photo}  face {face.face} of {face.of} at {x},{y} {w}x{h}  score {face.score:.2f}"
        )
    return lines


def compared_lines(result: Comparison) -> list[str]:
    """The decision, and what it rests on."""
    result = shown(result)
    words = {
        "same": "the same person",
        "different": "different people",
        "undecided": "undecided (this encoder does not tell its rates)",
    }
    lines = [f"{result.a.photo}  {result.b.photo}  {words[result.decision]}", f"  score {result.score:.3f}"]
    if result.threshold is not None and result.fmr is not None:
        lines[1] += (
            f"; threshold {result.threshold:.3f}, at which {result.fmr:.2%} of pairs of different people are"
            " called the same"
        )
    return lines


def scan_lines(folder: Path, found: AlbumScan) -> list[str]:
    """What a scan found, in what groups, and where the review is."""
    folder, found = shown(folder), shown(found)
    counts = ((found.renamed, "renamed"), (found.gone, "gone"))
    gone = "".join(f", {count} {word}" for count, word in counts if count)
    if found.copies:
        gone += f", {counted(found.copies, 'copy', 'copies')} of another"
    faceless = (
        f"; {counted(found.without_face, 'photo shows', 'photos show')} no face" if found.without_face else ""
    )
    aside = f", {found.put_aside} put aside" if found.put_aside else ""
    cut = "" if found.cut is None else f", cut at a mean cosine of {found.cut:.3f}"
    if found.method == "average" and found.cut is None:
        cut = f"; {found.sure_groups} are sure: of their faces at most 2 % are somebody else's"
    poor = f", {found.poor} of them of poor quality" if found.poor else ""
    asked = f"; {counted(found.questions, 'question')}: is this the same person?" if found.questions else ""
    return [
        f"{folder}: {counted(found.photos, 'photo')}, {found.new_photos} new{gone};"
        f" {counted(found.new_faces, 'face')} found,"
        f" {found.faces} in all{faceless}",
        f"{counted(found.groups, 'group')}, {found.new_groups} new; {counted(found.joined, 'face')}"
        " joined older groups;"
        f" {counted(found.alone, 'face')} in no group{poor}{aside}",
        f"grouped by {found.method}{cut}{asked}",
        f"review: {found.table} and {found.page}",
    ]


MOST_FOLDERS = 18
"""That are told one by one; the largest ones."""


def sort_lines(out: Path, folders: dict[str, int]) -> list[str]:
    """How many photos lie in each folder that was sorted into; at most 20 lines, however many there are."""

    def line(count: int, place: Path) -> str:
        return f"{count:5d}  {shown(place)}"

    if len(folders) <= MOST_FOLDERS + 2:
        return [line(count, out / folder) for folder, count in folders.items()]
    unknown = {name: count for name, count in folders.items() if name.partition("/")[0] == UNKNOWN}
    named = {name: count for name, count in folders.items() if name not in unknown}
    if len(named) > MOST_FOLDERS:
        most = sorted(named, key=lambda name: (-named[name], name))[: MOST_FOLDERS - 1]
        lines = [line(named[name], out / name) for name in sorted(most)]
        rest = [count for name, count in named.items() if name not in most]
        lines.append(f"{sum(rest):5d}  in {counted(len(rest), 'more folder', commas=True)}")
    else:
        lines = [line(count, out / name) for name, count in named.items()]
    if unknown:
        inside = f", {counted(len(unknown), 'folder', commas=True)}" if len(unknown) > 1 else ""
        lines.append(line(sum(unknown.values()), out / UNKNOWN) + inside)
    return lines


def calibration_lines(gallery: Path, new: ThresholdInfo, old: ThresholdInfo | None) -> list[str]:
    """What was promised, on what, and what stood there before."""
    gallery, new = shown(gallery), shown(new)
    lines = [f"{gallery}: threshold {new.score:.4f}; {new.fpir:.2%} of strangers' searches may get a name"]
    if new.low is not None and new.high is not None:
        others = FORMERLY
        if new.to_come:
            others = f"{counted(new.to_come, 'other stranger')}, with as many photos each as these"
        lines.append(f"  {others}: {new.low:.2%} to {new.high:.2%} (95 %)")
    lines.append(f"  {new.method}: {counted(new.searches, 'search')}, {counted(new.faces, 'face')} enrolled")
    lines.append(f"  a score is {SCORES[new.by]}")
    lines.append(f"  before: {threshold_words(old)}")
    return lines


def own_lines(own: OwnSearches | None, fpir: float) -> list[str]:
    """What the gallery's own photos miss, with and without the poorest."""
    if own is None:
        return []
    return [
        f"  FNIR at FPIR {fpir:.1%}: {own.fnir:.1%} of {own.searches} own photos, each searched among the"
        f" others; {own.without_poorest:.1%} without the {own.poorest:.0%} poorest"
    ]


SHOWN_HUBS = 5


def hub_lines(hubs: Sequence[Hub], searches: int) -> list[str]:
    """The enrolled photos that strangers are taken for, the worst few; JSON has more."""
    if not hubs:
        return []
    lines = [f"  enrolled photos that strangers get a name by, of {counted(searches, 'search')}:"]
    for hub in shown(hubs[:SHOWN_HUBS]):
        good = "" if hub.quality is None else f", quality {hub.quality:.2f}"
        lines.append(f"    {hub.named:3d} named of {hub.strangers} nearest  {hub.person}, {hub.photo}{good}")
    return lines


FORMERLY = "these strangers drawn again, not others"
"""The strangers that an interval noted by version 0.1.0 is about."""
SCORES: dict[ScoredBy, str] = {
    "best-photo": "the best cosine over the person's photos",
    "mean-template": "the cosine with the mean template of the person's photos",
}


def threshold_words(threshold: Threshold | ThresholdInfo | None) -> str:
    """The threshold, what it is for and what it was set on."""
    if threshold is None:
        return "none (too few people and photos to set one; pass --threshold to query)"
    threshold = shown(threshold)
    basis = f"{counted(threshold.searches, 'search')}, " if threshold.searches else ""
    scores = "" if threshold.by == "best-photo" else "mean templates, "
    between = ""
    if threshold.low is not None and threshold.high is not None:
        others = f"for {threshold.to_come} other strangers" if threshold.to_come else f"for {FORMERLY}"
        between = f" [{threshold.low:.1%}, {threshold.high:.1%} {others}]"
    rate = f"{threshold.fpir:.1%}{between}"
    basis = f"{scores}{basis}{counted(threshold.faces, 'face')} enrolled"
    return f"{threshold.score:.3f} for an FPIR of {rate}: {threshold.method} ({basis})"


def epoch_line(result: EpochResult, epochs: int, minutes: float = 0.0) -> str:
    """One line for each look at val, as the seed project prints: loss and score on train and val. minutes: of
    a run by the clock.
    """
    mark = "  best" if result.best else "" if result.usable else "  not usable"
    teacher = "" if result.val_teacher is None else f" teacher {result.val_teacher:.4f}"
    where = f"epoch {result.epoch:3d}/{epochs}"
    if minutes and result.minutes is not None:
        where = f"{result.minutes:.1f}/{minutes:g} min  step {result.step}, round {result.epoch}"
    held = (
        ""
        if result.held_teacher is None
        else f"  held out: teacher {result.held_teacher:.4f} length {result.held_length:.3f}"
    )
    return (
        f"{where}  train loss {result.train_loss:7.4f} score {result.train_accuracy:.4f}"
        f"  val loss {result.val_loss:7.4f} score {result.val_accuracy:.4f}"
        f" verification {result.val_tpr:.4f}{teacher}{held}"
        f"  lr {result.lr:.1e} margin {result.margin_rad:.2f} {result.size_px} px"
        f"  {result.img_per_s:.0f} img/s {result.seconds:.0f} s{mark}"
    )


def rate_words(rate: Rate) -> str:
    if math.isnan(rate.value):
        return "too few trials"
    if math.isnan(rate.low):
        return f"{rate.value:.4f}"
    return f"{rate.value:.4f}  [{rate.low:.4f}, {rate.high:.4f}]"


def evaluation_lines(result: Evaluation) -> list[str]:
    """The table: figure, value with its 95 % interval, trials, threshold, note."""
    result = shown(result)
    lines = [
        f"encoder {result.encoder}",
        f"split {result.split}; intervals are 95 %, bootstrapped over people",
        "",
    ]
    section, width = "", max([46, *(len(figure.name) + 2 for figure in result.figures)])
    for figure in result.figures:
        if figure.section != section:
            section = figure.section
            lines += ([""] if lines[-1] else []) + [
                f"{section:<{width + 2}}{'value  [95 % interval]':<30}{'trials':>8}  threshold"
            ]
        limit = "" if figure.threshold is None else f"{figure.threshold:9.4f}"
        note = f"  {figure.note}" if figure.note else ""
        value = f"{rate_words(figure.rate):<30}{figure.rate.trials:>8}"
        lines.append(f"  {figure.name:<{width}}{value}  {limit:<9}{note}".rstrip())
    if result.skipped:
        lines += ["", *(f"left out: {reason}" for reason in result.skipped)]
    return lines


def looked_again_lines(looked: LookedAgain | None) -> list[str]:
    """What enrolled photos show now, a line for each that is seen otherwise."""
    if looked is None:
        return []
    told = f"looked again at {counted(looked.photos, 'photo')}"
    if looked.missing:
        told += f"; {looked.missing} more are not there"
    if looked.placed:
        told += f"; {counted(looked.placed, 'row knows', 'rows know')} now where the face lies"
    odd = [f"{shown(one.person)}, {shown(one.photo)}: {shown(one.reason)}" for one in looked.otherwise]
    return [told, *odd]
