"""An example of each answer of /v1, by its class."""

from __future__ import annotations

from typing import Any

from facesearch.answers import Enrolled, PhotosOfPerson, Renamed
from facesearch.api.audit import Audit
from facesearch.api.erasing import Forgotten
from facesearch.api.measured import Calibration, Evaluation
from facesearch.api.people import People
from facesearch.api.results import Moved
from facesearch.api.state import Health, Ready, Version
from facesearch.version import __version__
from facesearch.web.requests import SHA

EXAMPLES: dict[type, dict[str, Any]] = {
    Health: {"status": "ok", "gallery": "ready", "people": 500, "faces": 12011, "generation": 47},
    Ready: {"status": "ready", "gallery": "ready"},
    Version: {
        "facesearch": __version__,
        "api": "v1",
        "encoder": "resnet34 9b9501b2cd5e on CPU",
        "encoder_id": SHA,
        "detector": "yunet 2026may",
        "originals": True,
        "limits": {"photos": 16, "photo_bytes": 20971520, "body_bytes": 67108864, "pixels": 50000000},
    },
    Enrolled: {
        "person": "Ada Lovelace",
        "sha256": SHA,
        "photos": 4,
        "known": False,
        "unchecked": False,
        "warnings": [
            {
                "person": "Ada Lovelace",
                "photo": "ada4.jpg",
                "kind": "poor",
                "reason": "a poor photo: turned away, the encoder is unsure",
            }
        ],
    },
    People: {
        "people": [
            {
                "name": "Ada Lovelace",
                "photos": 4,
                "separation": 0.31,
                "nearest": "Grace Hopper",
                "pending": False,
            }
        ],
        "total": 1,
        "offset": 0,
        "generation": 47,
        "separations": {"state": "done", "generation": 47, "computed_at": "2026-11-25T10:00:00+00:00"},
    },
    PhotosOfPerson: {"name": "Ada Lovelace", "photos": [{"source": "ada2.jpg", "sha256": SHA}]},
    Renamed: {"name": "Ada Lovelace", "photos": 4},
    Moved: {"photos": 1, "known": 0, "left": 3},
    Forgotten: {
        "photos": 4,
        "whole_person": True,
        "when": "2026-11-25T10:00:00+00:00",
        "generation_before": 46,
        "generation_after": 47,
        "verified": "every file of the folder was read raw",
        "files": [{"file": "gallery.sqlite", "bytes": 30000000}],
        "more_files": {"files": 12, "bytes": 9600, "names_sha256": 64 * "0"},
        "names_too_short_to_search": 0,
        "facesearch": __version__,
        "schema": 2,
        "action": "forget",
        "projections": [],
        "file": "forget-47.json",
    },
    Calibration: {
        "threshold": {
            "score": 0.772,
            "fpir": 0.01,
            "method": "set on searches of 100 strangers",
            "searches": 2558,
            "faces": 12011,
            "on_strangers": True,
            "people": 100,
            "low": 0.004,
            "high": 0.022,
            "by": "best-photo",
            "to_come": 100,
        },
        "stale": False,
        "faces": 12011,
        "growth": 1.0,
        "curve": [{"score": 0.6, "share": 0.12}, {"score": 0.772, "share": 0.01}],
        "det": [{"fpir": 0.01, "fnir": 0.603}],
        "det_split": "val",
    },
    Audit: {
        "state": "done",
        "findings": [
            {
                "id": SHA,
                "kind": "wrong_name",
                "person": "Ada Lovelace",
                "other": "Grace Hopper",
                "evidence": "Closer to Grace Hopper (0.71) than to Ada Lovelace's other photos (0.30).",
                "photos": [
                    {
                        "person": "Ada Lovelace",
                        "source": "x.jpg",
                        "sha256": SHA,
                        "role": "doubtful",
                        "score": None,
                    }
                ],
                "confirmed": False,
            }
        ],
        "left": 0,
    },
    Evaluation: {
        "source": "report",
        "encoder": "resnet34 9b9501b2cd5e",
        "split": "val",
        "same_encoder": True,
        "page": True,
        "figures": [
            {
                "section": "closed set",
                "name": "rank-1",
                "value": 0.941,
                "low": 0.929,
                "high": 0.953,
                "trials": 1878,
                "threshold": None,
                "note": "best photo",
                "meaning": "the nearest photo is of the right person",
            }
        ],
        "left_out": [],
    },
}
