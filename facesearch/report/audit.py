"""The findings of an audit as lines, JSON, CSV, and a contact sheet. Nothing here computes a figure."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facesearch.errors import counted, shown
from facesearch.evaluation.audit import Audit, Labelled
from facesearch.files import make_folder, replace_csv, replace_file
from facesearch.report.lines import as_json

TITLES = {
    "wrong_names": "photos probably under the wrong name (closer to somebody else)",
    "same_people": "probably one person under two names",
    "two_clusters": "one person's photos in two clusters as unlike as different people",
    "copies": "duplicate and near-duplicate photos",
    "bad_crops": "crops that look unusable",
}
SHEET_CLUSTER = 8
"""Of each part of a cluster so many crops are shown."""

Finding = dict[str, Any]


def findings(result: Audit) -> dict[str, list[Finding]]:
    """Every list as plain records, ranked, `rank` from 1; lists of photos hold file names. No list of crops
    without crops.
    """
    lists = {
        "wrong_names": _wrong_names(result),
        "same_people": _same_people(result),
        "two_clusters": _two_clusters(result),
        "copies": _copies(result),
    }
    if result.crops is not None:
        lists["bad_crops"] = [
            {**_photo(result.data, bad.row), "reasons": [_named(*reason) for reason in bad.reasons]}
            for bad in result.crops
        ]
    return {
        name: [{"rank": rank, **record} for rank, record in enumerate(found, 1)]
        for name, found in lists.items()
    }


def _wrong_names(result: Audit) -> list[Finding]:
    data = result.data

    def scored(nearest: Sequence[tuple[int, float]]) -> list[Finding]:
        return [{"file": data.files[row], "score": _short(score)} for row, score in nearest]

    return [
        {
            "file": data.files[w.row],
            "split": str(data.splits[w.row]),
            "person": str(data.people[w.row]),
            "own_score": _short(w.own),
            "other": str(result.names[w.who]),
            "other_score": _short(w.other),
            "margin": _short(w.margin),
            "strangers_as_high": _short(w.stranger_share),
            "nearest_own": scored(w.nearest_own),
            "nearest_other": scored(w.nearest_other),
        }
        for w in result.wrong
    ]


def _same_people(result: Audit) -> list[Finding]:
    files = result.data.files
    return [
        {
            "person": str(result.names[s.a]),
            "other": str(result.names[s.b]),
            "score": _short(s.score),
            "photos_that_fit_both": _short(s.fitting),
            "single_people_less_alike": _short(s.halves),
            "nearest": [
                {"file": files[i], "other_file": files[j], "score": _short(score)}
                for i, j, score in s.nearest
            ],
        }
        for s in result.same
    ]


def _two_clusters(result: Audit) -> list[Finding]:
    files = result.data.files
    return [
        {
            "person": str(result.names[c.person]),
            "photos": len(c.large),
            "apart": len(c.small),
            "between": _short(c.between),
            "within": _short(c.within),
            "strangers_as_alike": _short(c.stranger_share),
            "apart_files": [files[row] for row in c.small],
            "files": [files[row] for row in c.large],
        }
        for c in result.clusters
    ]


def _copies(result: Audit) -> list[Finding]:
    data = result.data
    return [
        {
            "kind": c.kind,
            "file": data.files[c.a],
            "other_file": data.files[c.b],
            "person": str(data.people[c.a]),
            "other_person": str(data.people[c.b]),
            "split": str(data.splits[c.a]),
            "other_split": str(data.splits[c.b]),
            "pixels": _short(c.correlation),
            "score": _short(c.cosine),
            "across_people": bool(data.people[c.a] != data.people[c.b]),
            "across_splits": bool(data.splits[c.a] != data.splits[c.b]),
        }
        for c in result.copies
    ]


def _photo(data: Labelled, row: int) -> Finding:
    return {"file": data.files[row], "person": str(data.people[row]), "split": str(data.splits[row])}


def _named(word: str, value: float, deviations: float) -> Finding:
    return {"word": word, "value": _short(value), "deviations": _short(deviations)}


def audit_json(result: Audit) -> str:
    """All findings, with how much was looked at."""
    return as_json({**_summary(result), **findings(result)})


def audit_lines(result: Audit, top: int) -> list[str]:
    """Per list a heading with its count, then its first `top` findings."""
    looked = shown(_summary(result))
    lines = [
        f"{looked['data']}: {counted(looked['photos'], 'photo')} of {counted(looked['people'], 'person')}"
    ]
    if result.unjudged:
        lines.append(
            f"{counted(result.unjudged, 'photo has', 'photos have')} no other photo of their person"
            " to be judged by"
        )
    if result.nameless:
        lines.append(
            f"{counted(result.nameless, 'photo names', 'photos name')} nobody: looked at for copies"
            " and bad crops only"
        )
    for name, found in findings(result).items():
        extra = ""
        if name == "copies" and found:
            splits, people = looked["copies_across_splits"], looked["copies_across_people"]
            extra = f"; {splits} across splits, {people} across people"
        lines += ["", f"{len(found)} {TITLES[name]}{extra}"]
        lines += [f"  {record['rank']:3d}. {_line(name, shown(record))}" for record in found[:top]]
        if len(found) > top:
            lines.append(f"       ... and {len(found) - top} more (--top)")
    if result.crops is None:
        lines += ["", "no crops in a gallery: copies are told by vectors alone, and crops were not judged"]
    return lines


def write_tables(result: Audit, folder: Path) -> list[Path]:
    """One CSV a list, all findings; nested evidence is joined by spaces. Raises CannotWrite."""
    make_folder(folder)
    written = []
    for name, found in findings(result).items():
        path = folder / f"{name}.csv"
        header = list(found[0]) if found else ["rank"]
        replace_csv(path, header, [[_cell(record[column]) for column in header] for record in found])
        written.append(path)
    return written


def write_sheet(result: Audit, path: Path, top: int) -> int:
    """A page with the first `top` findings of each list and their crops inlined; readable by its owner only.
    Raises CannotWrite.

    Returns how many crops it holds. The data must have crops.
    """
    from facesearch.report.pages import rendered

    data, lists, crops = result.data, [], 0
    for name, found in findings(result).items():
        beside = [
            [_crop(data, row, mark) for row, mark in rows]
            for rows in itertools.islice(_rows_beside(result, name), top)
        ]
        crops += sum(map(len, beside))
        lines = [f"{record['rank']}. {_line(name, record)}" for record in found[:top]]
        lists.append(
            {
                "name": name,
                "heading": f"{len(found)} {TITLES[name]}",
                "findings": list(zip(lines, beside, strict=True)),
                "more": max(0, len(found) - top),
            }
        )
    make_folder(path.parent)
    replace_file(path, rendered("audit.html", where=data.where, photos=len(data), lists=lists).encode())
    return crops


def _rows_beside(result: Audit, name: str) -> Iterator[list[tuple[int, str]]]:
    """For each finding of a list the crops that stand beside it: (row, what it is)."""
    if name == "wrong_names":
        for w in result.wrong:
            own = [(row, f"own {score:.2f}") for row, score in w.nearest_own]
            other = [(row, f"other {score:.2f}") for row, score in w.nearest_other]
            yield [(w.row, "this one"), *own, *other]
    elif name == "same_people":
        for s in result.same:
            yield [(row, f"{score:.2f}") for i, j, score in s.nearest for row in (i, j)]
    elif name == "two_clusters":
        for c in result.clusters:
            apart, rest = c.small[:SHEET_CLUSTER], c.large[:SHEET_CLUSTER]
            yield [*((row, "apart") for row in apart), *((row, "the others") for row in rest)]
    elif name == "copies":
        for copy in result.copies:
            yield [(copy.a, "one"), (copy.b, copy.kind)]
    else:
        for bad in result.crops or ():
            yield [(bad.row, bad.reasons[0][0])]


def _crop(data: Labelled, row: int, mark: str) -> dict[str, str]:
    from facesearch.report.pages import data_url

    if data.crops is None:
        raise ValueError("a contact sheet needs crops")
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(data.crops[row])).save(file, "JPEG", quality=85)
    return {
        "picture": data_url(file.getvalue(), "jpeg"),
        "mark": mark,
        "file": data.files[row],
        "person": str(data.people[row]),
    }


def _summary(result: Audit) -> Finding:
    data = result.data
    return {
        "data": data.where,
        "photos": len(data),
        "people": len(result.names),
        "unjudged": result.unjudged,
        "nameless": result.nameless,
        "copies_across_splits": sum(bool(data.splits[c.a] != data.splits[c.b]) for c in result.copies),
        "copies_across_people": sum(bool(data.people[c.a] != data.people[c.b]) for c in result.copies),
        "crops_judged": result.crops is not None,
    }


def _line(name: str, r: Finding) -> str:
    if name == "wrong_names":
        split = f" [{r['split']}]" if r["split"] else ""
        own, other = _nearest(r["nearest_own"]), _nearest(r["nearest_other"])
        return (
            f"{r['file']}{split}  {r['person']} {r['own_score']:.3f}  but {r['other']} {r['other_score']:.3f}"
            f"  ({r['strangers_as_high']:.0%} of strangers score as high with its person; nearest: own {own},"
            f" other {other})"
        )
    if name == "same_people":
        first = r["nearest"][0]
        return (
            f"{r['person']} and {r['other']}  {r['score']:.3f}  {r['photos_that_fit_both']:.0%} of their"
            f" photos fit both; {r['single_people_less_alike']:.0%} of single people are no more alike"
            f" themselves (nearest: {first['file']} and {first['other_file']} {first['score']:.3f})"
        )
    if name == "two_clusters":
        apart = " ".join(r["apart_files"][:3]) + (" ..." if r["apart"] > 3 else "")
        return (
            f"{r['person']}  {r['photos']} and {counted(r['apart'], 'photo')}  between"
            f" {r['between']:.3f}, within"
            f" {r['within']:.3f}  ({r['strangers_as_alike']:.0%} of strangers are as alike; apart: {apart})"
        )
    if name == "copies":
        who = r["person"] if not r["across_people"] else f"{r['person']} AND {r['other_person']}"
        where = "" if not r["across_splits"] else f"  {r['split']} AND {r['other_split']}"
        pixels = "" if not math.isfinite(r["pixels"]) else f"pixels {r['pixels']:.4f}, "
        copy = f"{r['file']} = {r['other_file']}  {r['kind']}"
        return f"{copy}  {pixels}vectors {r['score']:.4f}  {who}{where}"
    return f"{r['file']}  {r['person']}  " + ", ".join(_reason(reason) for reason in r["reasons"])


def _reason(reason: Finding) -> str:
    far = "" if not math.isfinite(reason["deviations"]) else f", {reason['deviations']:+.1f} deviations"
    return f"{reason['word']} ({reason['value']:.3g}{far})"


def _nearest(scored: Sequence[Finding]) -> str:
    return f"{scored[0]['file']} {scored[0]['score']:.3f}" if scored else "none"


def _short(value: float) -> float:
    return round(float(value), 4)


def _cell(value: Any) -> object:
    """A CSV cell: lists of records become `a b; c d`."""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    if isinstance(value, list):
        return "; ".join(
            " ".join(str(part) for part in item.values()) if isinstance(item, dict) else str(item)
            for item in value
        )
    return value
