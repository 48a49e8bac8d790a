"""The findings of an audit as lines, JSON, CSV, and a contact sheet. Nothing here computes a figure."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facesearch.files import make_folder, replace_csv, replace_file
from facesearch.jobs.audit import Audit
from facesearch.report import as_json

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
    """Every list as plain records, ranked, `rank` from 1; lists of photos hold file names. No list of crops without crops."""
    data, names = result.data, [str(name) for name in result.names]

    def photo(row: int) -> str:
        return data.files[row]

    def scored(nearest: Sequence[tuple[int, float]]) -> list[Finding]:
        return [{"file": photo(row), "score": _short(score)} for row, score in nearest]

    lists: dict[str, list[Finding]] = {
        "wrong_names": [
            {
                "file": photo(w.row), "split": str(data.splits[w.row]), "person": str(data.people[w.row]), "own_score": _short(w.own),
                "other": names[w.who], "other_score": _short(w.other), "margin": _short(w.margin),
                "strangers_as_high": _short(w.stranger_share), "nearest_own": scored(w.nearest_own),
                "nearest_other": scored(w.nearest_other),
            }
            for w in result.wrong
        ],
        "same_people": [
            {
                "person": names[s.a], "other": names[s.b], "score": _short(s.score), "photos_that_fit_both": _short(s.fitting),
                "single_people_less_alike": _short(s.halves),
                "nearest": [{"file": photo(i), "other_file": photo(j), "score": _short(score)} for i, j, score in s.nearest],
            }
            for s in result.same
        ],
        "two_clusters": [
            {
                "person": names[c.person], "photos": len(c.large), "apart": len(c.small), "between": _short(c.between),
                "within": _short(c.within), "strangers_as_alike": _short(c.stranger_share),
                "apart_files": [photo(row) for row in c.small], "files": [photo(row) for row in c.large],
            }
            for c in result.clusters
        ],
        "copies": [
            {
                "kind": c.kind, "file": photo(c.a), "other_file": photo(c.b), "person": str(data.people[c.a]),
                "other_person": str(data.people[c.b]), "split": str(data.splits[c.a]), "other_split": str(data.splits[c.b]),
                "pixels": _short(c.correlation), "score": _short(c.cosine),
                "across_people": bool(data.people[c.a] != data.people[c.b]), "across_splits": bool(data.splits[c.a] != data.splits[c.b]),
            }
            for c in result.copies
        ],
    }  # fmt: skip
    if result.crops is not None:
        lists["bad_crops"] = [
            {
                "file": photo(b.row), "person": str(data.people[b.row]), "split": str(data.splits[b.row]),
                "reasons": [{"word": word, "value": _short(value), "deviations": _short(z)} for word, value, z in b.reasons],
            }
            for b in result.crops
        ]  # fmt: skip
    return {name: [{"rank": rank, **record} for rank, record in enumerate(found, 1)] for name, found in lists.items()}


def audit_json(result: Audit) -> str:
    """All findings, with how much was looked at."""
    return as_json({**_summary(result), **findings(result)})


def audit_lines(result: Audit, top: int) -> list[str]:
    """Per list a heading with its count, then its first `top` findings."""
    looked = _summary(result)
    lines = [f"{looked['data']}: {looked['photos']} photos of {looked['people']} people"]
    if result.unjudged:
        lines.append(f"{result.unjudged} photos have no other photo of their person to be judged by")
    if result.nameless:
        lines.append(f"{result.nameless} photos name nobody: looked at for copies and bad crops only")
    for name, found in findings(result).items():
        extra = ""
        if name == "copies" and found:
            extra = f"; {looked['copies_across_splits']} across splits, {looked['copies_across_people']} across people"
        lines += ["", f"{len(found)} {TITLES[name]}{extra}"]
        lines += [f"  {record['rank']:3d}. {_line(name, record)}" for record in found[:top]]
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
    """A page with the first `top` findings of each list and their crops inlined; readable by its owner only. Raises CannotWrite.

    Returns how many crops it holds. The data must have crops.
    """
    sheet = _Sheet(result)
    parts = [
        _HEAD,
        f"<h1>{html.escape(result.data.where)}</h1><p>Holds photographs of people: not to be passed on. {len(result.data)} photos.</p>",
    ]
    for name, found in findings(result).items():
        parts.append(f"<h2>{len(found)} {TITLES[name]}</h2>")
        for record, rows in zip(found[:top], sheet.rows_of(name), strict=False):
            pictures = "".join(sheet.picture(row, mark) for row, mark in rows)
            parts.append(f"<section><p>{record['rank']}. {html.escape(_line(name, record))}</p><div>{pictures}</div></section>")
        if len(found) > top:
            parts.append(f"<p>... and {len(found) - top} more</p>")
    make_folder(path.parent)
    replace_file(path, "\n".join([*parts, "</html>"]).encode())
    return sheet.shown


class _Sheet:
    """Which crops stand beside which finding, and those crops as HTML."""

    def __init__(self, result: Audit) -> None:
        self.result = result
        self.shown = 0

    def rows_of(self, name: str) -> Iterator[list[tuple[int, str]]]:
        """For each finding of a list its crops: (row, what it is)."""
        result = self.result
        if name == "wrong_names":
            for w in result.wrong:
                own = [(row, f"own {score:.2f}") for row, score in w.nearest_own]
                yield [(w.row, "this one"), *own, *((row, f"other {score:.2f}") for row, score in w.nearest_other)]
        elif name == "same_people":
            for s in result.same:
                yield [item for i, j, score in s.nearest for item in ((i, f"{score:.2f}"), (j, f"{score:.2f}"))]
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

    def picture(self, row: int, mark: str) -> str:
        crops = self.result.data.crops
        if crops is None:
            raise ValueError("a contact sheet needs crops")
        self.shown += 1
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(crops[row])).save(file, "JPEG", quality=85)
        text = base64.b64encode(file.getvalue()).decode()
        caption = f"{mark}<br>{html.escape(self.result.data.files[row])}<br>{html.escape(str(self.result.data.people[row]))}"
        return f'<figure><img alt="" src="data:image/jpeg;base64,{text}"><figcaption>{caption}</figcaption></figure>'


def _summary(result: Audit) -> Finding:
    data = result.data
    across = [(data.people[c.a] != data.people[c.b], data.splits[c.a] != data.splits[c.b]) for c in result.copies]
    return {
        "data": data.where, "photos": len(data), "people": len(result.names), "unjudged": result.unjudged, "nameless": result.nameless,
        "copies_across_splits": sum(bool(splits) for _, splits in across), "copies_across_people": sum(bool(who) for who, _ in across),
        "crops_judged": result.crops is not None,
    }  # fmt: skip


def _line(name: str, r: Finding) -> str:
    if name == "wrong_names":
        split = f" [{r['split']}]" if r["split"] else ""
        return (
            f"{r['file']}{split}  {r['person']} {r['own_score']:.3f}  but {r['other']} {r['other_score']:.3f}  "
            f"({r['strangers_as_high']:.0%} of strangers score as high with its person; nearest: own {_nearest(r['nearest_own'])}, "
            f"other {_nearest(r['nearest_other'])})"
        )
    if name == "same_people":
        first = r["nearest"][0]
        return (
            f"{r['person']} and {r['other']}  {r['score']:.3f}  {r['photos_that_fit_both']:.0%} of their photos fit both; "
            f"{r['single_people_less_alike']:.0%} of single people are no more alike themselves "
            f"(nearest: {first['file']} and {first['other_file']} {first['score']:.3f})"
        )
    if name == "two_clusters":
        apart = " ".join(r["apart_files"][:3]) + (" ..." if r["apart"] > 3 else "")
        return (
            f"{r['person']}  {r['photos']} and {r['apart']} photos  between {r['between']:.3f}, within {r['within']:.3f}  "
            f"({r['strangers_as_alike']:.0%} of strangers are as alike; apart: {apart})"
        )
    if name == "copies":
        who = r["person"] if not r["across_people"] else f"{r['person']} AND {r['other_person']}"
        where = "" if not r["across_splits"] else f"  {r['split']} AND {r['other_split']}"
        pixels = "" if not math.isfinite(r["pixels"]) else f"pixels {r['pixels']:.4f}, "
        return f"{r['file']} = {r['other_file']}  {r['kind']}  {pixels}vectors {r['score']:.4f}  {who}{where}"
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
        return "; ".join(" ".join(str(part) for part in item.values()) if isinstance(item, dict) else str(item) for item in value)
    return value


_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="robots" content="noindex"><title>facesearch audit</title>
<style>body{font:14px sans-serif;margin:2em;max-width:75em}section{border-top:1px solid #ccc;padding:.5em 0}
div{display:flex;flex-wrap:wrap;gap:.5em}
figure{margin:0;width:112px}img{width:112px;height:112px}
figcaption{font-size:11px;overflow-wrap:anywhere}p{margin:.3em 0}</style>"""
