"""Write facesearch/schema/*.schema.json, one for each `--json` of the command line, from the library's own
classes.

    python scripts/schemas.py            write them
    python scripts/schemas.py --check    say which are out of date (exit code 1), write nothing

evaluation.schema.json is written by hand: what it describes is put together by facesearch/report_json.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from facesearch import answers
from facesearch.album.review import Applied
from facesearch.api import album_answers
from facesearch.gallery.milvus.sync import Checked, Synced
from facesearch.gallery.receipts import Receipt
from facesearch.gallery.verify import Verified
from facesearch.web.shapes import model_of

FOLDER = Path(__file__).resolve().parents[1] / "facesearch" / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
FORMS: dict[str, tuple[Any, str]] = {
    "search": (model_of(answers.Searched), "query --json, POST /v1/search"),
    "photo": (model_of(answers.PhotoAnswer), "a line of query - --json and of query --watch --json"),
    "compare": (model_of(answers.Comparison), "compare --json, POST /v1/compare"),
    "embedded": (
        model_of(answers.EmbeddedPhoto),
        "a line of embed --out FILE.jsonl, a photo of POST /v1/embed",
    ),
    "detected": (model_of(answers.DetectedPhoto), "a line of detect --json, a photo of POST /v1/detect"),
    "enroll": (model_of(answers.EnrolledPhotos), "enroll --json"),
    "enroll-vectors": (model_of(answers.EnrolledVectors), "enroll --vectors --json"),
    "people": (list[model_of(answers.PersonPhotos)], "list --json"),  # type: ignore[misc]
    "person": (list[model_of(answers.EnrolledPhoto)], "list NAME --json"),  # type: ignore[misc]
    "info": (model_of(answers.GalleryInfo), "info --json"),
    "calibrate": (model_of(answers.Calibrated), "calibrate --json"),
    "scan": (model_of(album_answers.AlbumScan), "scan --json"),
    "sort": (model_of(album_answers.AlbumSorted), "sort --json"),
    "album-export": (model_of(album_answers.AlbumExported), "album export --xmp --json"),
    "review": (model_of(Applied), "scan --apply --json"),
    "verify": (model_of(Verified), "verify --json"),
    "forget": (model_of(Receipt), "forget --json"),
    "sync": (model_of(Synced), "sync --json"),
    "sync-check": (model_of(Checked), "sync --check --json"),
}
TEXT, NUMBER, COUNT = {"type": "string"}, {"type": ["number", "null"]}, {"type": "integer", "minimum": 0}
FILES = {"type": "array", "items": TEXT}


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by the name of its file, without .schema.json."""
    found = {
        name: _described(TypeAdapter(form).json_schema(mode="serialization"), name, where)
        for name, (form, where) in FORMS.items()
    }
    return {**found, "audit": _described(_audit(), "audit", "audit --json")}


def _described(schema: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    told = {
        "$schema": DIALECT,
        "$id": f"urn:facesearch:{name}:1",
        "title": f"facesearch {name}",
        "$comment": f"Printed by: {where}",
    }
    return {**told, **_untitled(schema)}


def _untitled(schema: Any) -> Any:
    """Without the titles that pydantic makes of the fields' names."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _untitled(value) for key, value in schema.items() if key != "title" or isinstance(value, dict)
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(**properties: Any) -> dict[str, Any]:
    return {"type": "array", "items": _object(rank=COUNT, **properties)}


def _audit() -> dict[str, Any]:
    """What report_audit.findings gives: lists of records, ranked."""
    scored = {"type": "array", "items": _object(file=TEXT, score=NUMBER)}
    whole = _object(
        data=TEXT,
        photos=COUNT,
        people=COUNT,
        nameless=COUNT,
        unjudged=COUNT,
        copies_across_splits=COUNT,
        copies_across_people=COUNT,
        crops_judged={"type": "boolean"},
        wrong_names=_list(
            file=TEXT,
            split=TEXT,
            person=TEXT,
            own_score=NUMBER,
            other=TEXT,
            other_score=NUMBER,
            margin=NUMBER,
            strangers_as_high=NUMBER,
            nearest_own=scored,
            nearest_other=scored,
        ),
        same_people=_list(
            person=TEXT,
            other=TEXT,
            score=NUMBER,
            photos_that_fit_both=NUMBER,
            single_people_less_alike=NUMBER,
            nearest={"type": "array", "items": _object(file=TEXT, other_file=TEXT, score=NUMBER)},
        ),
        two_clusters=_list(
            person=TEXT,
            photos=COUNT,
            apart=COUNT,
            between=NUMBER,
            within=NUMBER,
            strangers_as_alike=NUMBER,
            apart_files=FILES,
            files=FILES,
        ),
        copies=_list(
            kind=TEXT,
            file=TEXT,
            other_file=TEXT,
            person=TEXT,
            other_person=TEXT,
            split=TEXT,
            other_split=TEXT,
            pixels=NUMBER,
            score=NUMBER,
            across_people={"type": "boolean"},
            across_splits={"type": "boolean"},
        ),
        bad_crops=_list(
            file=TEXT,
            person=TEXT,
            split=TEXT,
            reasons={"type": "array", "items": _object(word=TEXT, value=NUMBER, deviations=NUMBER)},
        ),
    )
    whole["required"].remove("bad_crops")  # a gallery has no crops
    return {"description": "What is probably wrong in labelled photos, the most likely first.", **whole}


def main() -> None:
    stale = []
    for name, schema in schemas().items():
        path, text = FOLDER / f"{name}.schema.json", json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
        if not path.is_file() or path.read_text("utf-8") != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text, "utf-8")
    print("\n".join(stale) if stale else "all are as the classes are")
    sys.exit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
