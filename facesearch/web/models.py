"""The nouns of /v1 as they travel: what its JSON holds, with an example each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from facesearch.gallery.rows import LONGEST_NAME
from facesearch.records import ScoredBy

SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]


class Model(BaseModel):
    """Refuses members that it does not know: a misspelt option is an error, not a default."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


def example(value: dict[str, Any]) -> ConfigDict:
    """The model's configuration with one example in the schema."""
    return ConfigDict(extra="forbid", protected_namespaces=(), json_schema_extra={"examples": [value]})


def asked(value: dict[str, Any]) -> ConfigDict:
    """The same of what clients send: values must be of their very kinds, so that 0 is no false."""
    return ConfigDict(extra="forbid", strict=True, protected_namespaces=(), json_schema_extra={"examples": [value]})


class EncodedPhoto(Model):
    """A photo inside JSON: its name, and its file's bytes in base64."""

    model_config = asked({"name": "beach.jpg", "data": "/9j/4AAQSkZJRg=="})
    name: str = Field(default="", max_length=255)
    data: str


class Problem(BaseModel):
    """RFC 9457 problem details. Some kinds have members of their own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:facesearch:problem:unknown-person",
                    "title": "Unknown person",
                    "status": 404,
                    "detail": "Nobody called 'Ada' is enrolled.",
                    "instance": "urn:uuid:6f1c8a0e-4a53-4a0e-9a6c-2f5b8d1f8f00",
                }
            ]
        }
    )
    type: str
    title: str
    status: int
    detail: str
    instance: str = ""


class Health(Model):
    """gallery: ready, or empty while nobody is enrolled."""

    model_config = example({"status": "ok", "gallery": "ready", "people": 500, "faces": 12011, "generation": 47})
    status: Literal["ok"] = "ok"
    gallery: Literal["ready", "empty"]
    people: int
    faces: int
    generation: int


class Version(Model):
    model_config = example(
        {"facesearch": "0.1.0", "api": "v1", "encoder": "resnet34 9b9501b2cd5e on CPU", "encoder_id": SHA, "detector": "yunet 2026may",
         "originals": True, "limits": {"photos": 16, "photo_bytes": 20971520, "body_bytes": 67108864, "pixels": 50000000}}
    )  # fmt: skip
    facesearch: str
    api: Literal["v1"] = "v1"
    encoder: str
    encoder_id: str
    detector: str
    originals: bool
    limits: dict[str, int]


class Enrolled(Model):
    """known: this photo was enrolled under the name already, and nothing was changed. unchecked: there is no threshold yet, so
    nobody could say whether the face is closer to somebody else."""

    model_config = example({"person": "Ada Lovelace", "sha256": SHA, "photos": 4, "known": False, "unchecked": False})
    person: str
    sha256: str
    photos: int
    known: bool
    unchecked: bool


class Person(Model):
    """separation: how much closer the person's photos are to each other than to the nearest other person, on average; below 0:
    to somebody else. null for a single photo."""

    name: str
    photos: int
    separation: float | None = None
    nearest: str | None = None


class People(Model):
    model_config = example(
        {"people": [{"name": "Ada Lovelace", "photos": 4, "separation": 0.31, "nearest": "Grace Hopper"}], "total": 1, "offset": 0}
    )
    people: list[Person]
    total: int
    offset: int


class EnrolledPhoto(Model):
    source: str
    sha256: str


class PersonPhotos(Model):
    model_config = example({"name": "Ada Lovelace", "photos": [{"source": "ada2.jpg", "sha256": SHA}]})
    name: str
    photos: list[EnrolledPhoto]


class Rename(Model):
    model_config = asked({"old": "Ada Byron", "new": "Ada Lovelace", "join": False})
    old: Name
    new: Name
    join: bool = False


class Renamed(Model):
    model_config = example({"name": "Ada Lovelace", "photos": 4})
    name: str
    photos: int


class Move(Model):
    model_config = asked({"person": "Ada Lovelace", "photos": [SHA], "to": "Grace Hopper"})
    person: Name
    photos: list[Sha256] = Field(min_length=1, max_length=1000)
    to: Name


class Moved(Model):
    """known: how many of them the other person had already. left: how many photos the person keeps."""

    model_config = example({"photos": 1, "known": 0, "left": 3})
    photos: int
    known: int
    left: int


class Forget(Model):
    """photos: only these, by the SHA-256 of their files; the whole person without."""

    model_config = asked({"name": "Ada Lovelace", "photos": [SHA]})
    name: Name
    photos: list[Sha256] | None = Field(default=None, min_length=1, max_length=1000)


class Projected(Model):
    """Whether an erasure has reached another engine that holds the gallery's vectors, and how, or why not."""

    store: str
    erased: bool
    how: str


class SearchedFile(Model):
    """A file of the gallery that was searched for what might be left."""

    file: str
    bytes: int


class Receipt(Model):
    """That something was erased, without biometric data; the same lies beside the gallery under receipts/."""

    model_config = example(
        {"photos": 4, "whole_person": True, "when": "2026-11-25T10:00:00+00:00", "generation_before": 46, "generation_after": 47,
         "verified": "every file of the folder was read raw", "files": [{"file": "gallery.sqlite", "bytes": 30000000}],
         "names_too_short_to_search": 0, "facesearch": "0.1.0", "schema": 1, "deed": "forget", "file": "forget-47.json"}
    )  # fmt: skip
    photos: int
    whole_person: bool | None
    when: str
    generation_before: int
    generation_after: int
    verified: str
    files: list[SearchedFile]
    names_too_short_to_search: int
    facesearch: str
    schema_: int = Field(alias="schema")
    deed: Literal["forget", "encrypt"] = "forget"
    projections: list[Projected] = []
    file: str


class CurvePoint(Model):
    """score, and the share of strangers' searches with a candidate at or above it."""

    score: float
    share: float


class DetPoint(Model):
    fpir: float
    fnir: float


class ThresholdInUse(Model):
    score: float
    fpir: float
    method: str
    searches: int
    faces: int
    on_strangers: bool
    people: int
    low: float | None
    high: float | None
    by: ScoredBy


class Calibration(Model):
    """faces: enrolled now; growth: by how much more faces are enrolled than the threshold was set for, which multiplies shares.
    det: how many mates are missed at which rate, where this encoder was measured (`facesearch evaluate`)."""

    model_config = example(
        {
            "threshold": {"score": 0.772, "fpir": 0.01, "method": "set on searches of 100 strangers", "searches": 2558, "faces": 12011,
                          "on_strangers": True, "people": 100, "low": 0.004, "high": 0.022, "by": "best-photo"},
            "stale": False, "faces": 12011, "growth": 1.0,
            "curve": [{"score": 0.6, "share": 0.12}, {"score": 0.772, "share": 0.01}],
            "det": [{"fpir": 0.01, "fnir": 0.603}], "det_split": "val",
        }
    )  # fmt: skip
    threshold: ThresholdInUse | None
    stale: bool
    faces: int
    growth: float
    curve: list[CurvePoint]
    det: list[DetPoint]
    det_split: str | None


class Calibrate(Model):
    """Set the threshold anew with the gallery's own people as strangers. replace: even when it was set on real strangers."""

    model_config = asked({"fpir": 0.01, "replace": False})
    fpir: float = Field(gt=0, le=0.5)
    replace: bool = False


class FindingPhoto(Model):
    """role: the photo in doubt, or one that speaks in the matter."""

    person: str
    source: str
    sha256: str
    role: Literal["doubtful", "own", "other"]
    score: float | None = None


class Finding(Model):
    """What the audit thinks is wrong. evidence: one sentence; other: the second person it is about; confirmed: somebody has
    looked and called it right as it is."""

    id: str
    kind: Literal["wrong_name", "same_person", "two_people", "copies"]
    person: str
    other: str | None = None
    evidence: str
    photos: list[FindingPhoto]
    confirmed: bool


class Audit(Model):
    """state: running until the findings are there; done and total say how far it is. left: findings beyond those listed."""

    model_config = example(
        {
            "state": "done", "findings": [
                {"id": SHA, "kind": "wrong_name", "person": "Ada Lovelace", "other": "Grace Hopper",
                 "evidence": "Closer to Grace Hopper (0.71) than to Ada Lovelace's other photos (0.30).",
                 "photos": [{"person": "Ada Lovelace", "source": "x.jpg", "sha256": SHA, "role": "doubtful", "score": None}],
                 "confirmed": False},
            ], "left": 0,
        }
    )  # fmt: skip
    state: Literal["running", "done"]
    findings: list[Finding]
    left: int = 0


class Confirm(Model):
    model_config = asked({"finding": SHA, "right": True})
    finding: Sha256
    right: bool = True


class Figure(Model):
    section: str
    name: str
    value: float | None
    low: float | None
    high: float | None
    trials: int
    threshold: float | None
    note: str
    meaning: str


class Evaluation(Model):
    """source: the report that `facesearch evaluate` wrote, or the card that came with the encoder. same_encoder: it is about the
    encoder that answers here. page: the whole report can be seen at /report."""

    model_config = example(
        {
            "source": "report", "encoder": "resnet34 9b9501b2cd5e", "split": "val", "same_encoder": True, "page": True,
            "figures": [{"section": "closed set", "name": "rank-1", "value": 0.941, "low": 0.929, "high": 0.953, "trials": 1878,
                         "threshold": None, "note": "best photo", "meaning": "the nearest photo is of the right person"}],
            "left_out": [],
        }
    )  # fmt: skip
    source: Literal["report", "card"]
    encoder: str
    split: str
    same_encoder: bool
    page: bool
    figures: list[Figure]
    left_out: list[str]
