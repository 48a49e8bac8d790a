"""The service over HTTP, in-process: what it answers, and that it is the library that answers."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra [web]")

from fastapi.testclient import TestClient

from facesearch.api import photos as looking
from facesearch.api.detector import FaceDetector
from facesearch.api.encoder import Encoder
from facesearch.api.inputs import NamedPhoto
from facesearch.api.opening import open_gallery
from facesearch.gallery.enroll import enroll
from facesearch.gallery.store.store import Store
from facesearch.records import F32
from facesearch.report.lines import plain
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet
from tests.helpers.service import (
    BLUE,
    GREEN,
    HOST,
    RED,
    Halves,
    ask,
    enroll_face,
    pair,
    png,
    problem,
    sent,
    sent_in_json,
    service,
    sha,
)


@pytest.fixture
def client(gallery: Path, photos: Path) -> Iterator[TestClient]:
    with TestClient(service(gallery, photos=photos).asgi, base_url=HOST) as client:
        yield client


# ---- search


def test_a_search_says_what_the_command_lines_job_says(client: TestClient, gallery: Path):
    data = png(RED, shade=40)
    given = [
        NamedPhoto("0.png", data),
        NamedPhoto("1.png", b"no picture"),
        NamedPhoto("2.png", png((120, 60, 60))),
    ]
    for path in gallery.glob("vectors*"):
        path.unlink()
    assert ask(client, data)["notes"] == ["The index was rebuilt: there was no index file yet."]
    with open_gallery(gallery, encoder=Encoder.of(ColourEncoder()), detector="aligned") as library:
        expected = library.search_all(given, top=2)
    told = ask(client, data, b"no picture", png((120, 60, 60)), top=2)
    assert told == plain(expected)
    photo, face = told["photos"][0], told["photos"][0]["faces"][0]
    assert (photo["photo"], photo["sha256"], photo["width"], photo["height"]) == (
        "0.png",
        sha(data),
        112,
        112,
    )
    assert (photo["skipped"], photo["faces_left_out"], told["enrolled"], told["stale"]) == (None, 0, 6, False)
    assert (face["face"], face["of"], face["box"], face["decision"]) == (1, 1, [0, 0, 112, 112], "match")
    assert [match["person"] for match in face["matches"]] == ["Ada", "Ben"] and face[
        "scored_by"
    ] == "best-photo"
    assert face["gap"] == pytest.approx(face["matches"][0]["score"] - face["matches"][1]["score"], abs=1e-6)
    assert (face["threshold"], face["expected_fpir"]) == (0.9, 0.01) and face[
        "stranger_share"
    ] == pytest.approx(0.01)
    assert face["matches"][0]["support"][0]["source"] == expected.photos[0][0].matches[0].support[0].source
    assert told["photos"][2]["faces"][0]["decision"] == "unknown"


def test_a_search_follows_the_gallerys_way_to_score_and_says_which_it_is(client: TestClient, gallery: Path):
    with Store.open(gallery) as opened:
        stored = opened.notes.threshold()
        assert stored is not None
        opened.notes.set_threshold(replace(stored, by="mean-template"))
        mean = opened.faces.vectors_of("Ada").mean(axis=0)
        expected = ColourEncoder().embed(np.asarray(Image.open(io.BytesIO(png(RED, shade=40))))[None])[0] @ (
            mean / np.linalg.norm(mean)
        )
    face = ask(client, png(RED, shade=40))["photos"][0]["faces"][0]
    first = face["matches"][0]
    assert (face["scored_by"], first["person"], first["photos"]) == ("mean-template", "Ada", 2)
    assert (
        first["score"] == pytest.approx(expected, abs=1e-5) and first["score"] != first["support"][0]["score"]
    )


def test_many_photos_form_or_json_are_answered_alike_and_in_order(client: TestClient):
    pictures = [png(RED), png(BLUE), png(GREEN)]
    ask(client, png(RED))  # the first one of a new gallery is told that its index was made
    form = ask(client, *pictures)
    assert form == sent_in_json(client, "/v1/search", *pictures).json()
    assert [photo["faces"][0]["matches"][0]["person"] for photo in form["photos"]] == ["Ada", "Cleo", "Ben"]


def test_one_broken_photo_is_named_with_its_reason_and_the_rest_goes_on(client: TestClient):
    found = ask(client, png(RED), b"no picture", png(BLUE))["photos"]
    assert [photo["skipped"] is None for photo in found] == [True, False, True]
    assert "not a picture" in found[1]["skipped"] and found[1]["faces"] == [] and found[1]["sha256"] == ""


def test_every_face_of_a_photo_is_answered_and_one_can_be_enrolled(gallery: Path):
    wide = pair()
    with TestClient(service(gallery, detector=FaceDetector.of(Halves())).asgi, base_url=HOST) as client:
        faces = ask(client, wide)["photos"][0]["faces"]
        assert [(face["face"], face["of"]) for face in faces] == [(1, 2), (2, 2)] and faces[0]["matches"][0][
            "person"
        ] == "Ada"
        assert len(ask(client, wide, largest="true")["photos"][0]["faces"]) == 1
        body = problem(enroll_face(client, "Dora", wide), 422, "no-face")
        assert "2 faces" in body["detail"]
        problem(enroll_face(client, "Dora", wide, face=3), 422, "no-face")
        assert enroll_face(client, "Dora", wide, face=2).json()["photos"] == 1
        faces = ask(client, wide)["photos"][0]["faces"]
        assert [face["matches"][0]["person"] for face in faces] == ["Ada", "Dora"]
        nobody = ask(client, png(RED, size=(50, 90)))["photos"][0]
        assert (
            nobody["faces"] == []
            and nobody["skipped"] == "no face found"
            and nobody["sha256"] == sha(png(RED, size=(50, 90)))
        )
        problem(enroll_face(client, "Dora", png(RED, size=(50, 90))), 422, "no-face")


def test_another_threshold_decides_when_it_is_asked_for(client: TestClient):
    grey = png((120, 60, 60))
    score = ask(client, grey)["photos"][0]["faces"][0]["matches"][0]["score"]
    for threshold, decision in ((score - 0.01, "match"), (score + 0.01, "unknown")):
        face = ask(client, grey, threshold=threshold)["photos"][0]["faces"][0]
        assert face["decision"] == decision and face["threshold"] == pytest.approx(threshold)


def test_a_match_that_leads_by_nothing_is_ambiguous(client: TestClient):
    data = png(RED, shade=40)
    for name in ("Ada", "Ben"):
        assert enroll_face(client, name, data, force="true").status_code == 200
    face = ask(client, data)["photos"][0]["faces"][0]
    assert face["decision"] == "ambiguous" and face["gap"] < 0.001
    assert {match["person"] for match in face["matches"][:2]} == {"Ada", "Ben"}
    alone = ask(client, data, top=1)["photos"][0]["faces"][0]
    assert alone["decision"] == "ambiguous" and len(alone["matches"]) == 1 and alone["gap"] == face["gap"]
    assert {alone["matches"][0]["person"], alone["ambiguous_with"]} == {"Ada", "Ben"}


def test_a_gallery_that_has_outgrown_its_threshold_says_so_in_the_notes(client: TestClient):
    assert not ask(client, png(RED))["stale"]
    for shade in range(20, 240, 20):
        assert enroll_face(client, "Dora", png((200, 200, 10), shade=shade), force="true").status_code == 200
    told = ask(client, png(RED))
    assert (
        told["stale"]
        and [note for note in told["notes"] if "stale" in note and "6 faces, and 17" in note] == told["notes"]
    )
    assert ask(client, png(RED), threshold=0.8)["notes"] == []


def test_without_a_gallery_faces_are_found_and_the_first_enrollment_makes_one(tmp_path: Path):
    with TestClient(service(tmp_path / "none").asgi, base_url=HOST) as client:
        assert client.get("/v1/health").json()["gallery"] == "empty"
        page = client.get("/v1/people").json()
        assert (page["people"], page["total"], page["offset"]) == ([], 0, 0)
        assert page["separations"]["state"] == "done"
        assert client.get("/v1/audit").json()["findings"] == []
        assert client.get("/v1/calibration").json()["threshold"] is None
        answer = ask(client, png(RED))
        assert answer["enrolled"] == 0 and answer["photos"][0]["faces"][0]["matches"] == []
        problem(client.get("/v1/people/photos", params={"name": "Ada"}), 404, "unknown-person")
        face = answer["photos"][0]["faces"][0]
        assert (face["decision"], face["threshold"], answer["notes"]) == ("undecided", None, [])
        problem(client.post("/v1/forget", json={"name": "Ada"}), 404, "nobody-enrolled")
        assert enroll_face(client, "Ada", png(RED)).json()["unchecked"] is False
        assert ask(client, png(RED))["photos"][0]["faces"][0]["matches"][0]["person"] == "Ada"


# ---- photos alone


class Measured(ColourEncoder):
    """The stand-in with a table of impostors' scores: (share of pairs of different people, score)."""

    def __init__(self) -> None:
        super().__init__()
        self.notes = {"impostors": [[0.1, 0.5], [0.01, 0.9], [0.001, 0.998]]}


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[TestClient]:
    """A service without a gallery, with a detector."""
    with TestClient(
        service(tmp_path / "none", detector=FaceDetector.of(Halves()), encoder=Measured()).asgi, base_url=HOST
    ) as client:
        yield client


def vectors_of(data: bytes) -> F32:
    """What the encoder makes of a photo's faces, asked without any service."""
    return ColourEncoder().embed(
        np.stack([face.crop for face in looking.detect(data, detector=FaceDetector.of(Halves()))])
    )


def test_two_photos_are_compared_at_the_encoders_own_rates(alone: TestClient, client: TestClient):
    one, like, other = png(RED), png(RED, shade=40), png(GREEN)
    told = sent(alone, "/v1/compare", one, like).json()
    assert (
        told["score"] == pytest.approx(vectors_of(one)[0] @ vectors_of(like)[0], abs=1e-6)
        and 0.9 < told["score"] < 0.998
    )
    assert (told["decision"], told["threshold"], told["fmr"]) == ("different", 0.998, 0.001)
    assert told["a"] == {"photo": "0.png", "sha256": sha(one), "face": 1, "of": 1, "box": [0, 0, 112, 112]}
    assert told["b"]["sha256"] == sha(like) and told["encoder_id"] == ColourEncoder().encoder_id
    told = sent(alone, "/v1/compare", one, like, fmr=0.01).json()
    assert (told["decision"], told["threshold"], told["fmr"]) == ("same", 0.9, 0.01)
    assert sent_in_json(alone, "/v1/compare", one, like, fmr=0.01).json() == told
    named = NamedPhoto("0.png", one), NamedPhoto("1.png", other)
    library = looking.compare(*named, encoder=Encoder.of(Measured()), detector=FaceDetector.of(Halves()))
    assert sent(alone, "/v1/compare", one, other).json() == plain(library) and library.decision == "different"
    told = sent(client, "/v1/compare", one, like).json()  # an encoder that tells none
    assert (told["decision"], told["threshold"], told["fmr"]) == ("undecided", None, None) and told[
        "score"
    ] > 0.9


def test_a_comparison_takes_two_photos_with_one_face_each(alone: TestClient):
    face, nobody = png(RED), png(RED, size=(50, 90))
    for pictures in ((face,), (face, face, face)):
        for answer in (sent(alone, "/v1/compare", *pictures), sent_in_json(alone, "/v1/compare", *pictures)):
            assert str(len(pictures)) in problem(answer, 422, "bad-request")["detail"]
    problem(sent_in_json(alone, "/v1/compare"), 422, "bad-request")
    assert (
        "not a picture"
        in problem(sent(alone, "/v1/compare", face, b"no picture"), 422, "bad-photo")["detail"]
    )
    problem(sent(alone, "/v1/compare", b"no picture", face), 422, "bad-photo")
    assert "No face" in problem(sent(alone, "/v1/compare", face, nobody), 422, "no-face")["detail"]
    assert "2 faces" in problem(sent(alone, "/v1/compare", pair(), face), 422, "no-face")["detail"]
    told = sent(alone, "/v1/compare", pair(), face, largest="true").json()
    assert (told["a"]["face"], told["a"]["of"], told["a"]["box"]) == (1, 2, [0, 0, 124, 112])
    for fmr in (0, 1, -0.1, "NaN", "much"):
        problem(sent(alone, "/v1/compare", face, face, fmr=fmr), 422, "bad-request")
    problem(sent(alone, "/v1/compare", face, face, top=1), 422, "bad-request")


def test_vectors_are_the_encoders_and_of_length_1(alone: TestClient):
    pictures = [pair(), b"no picture", png(RED, size=(50, 90)), png(GREEN)]
    answer = sent(alone, "/v1/embed", *pictures)
    assert answer.status_code == 200 and sent_in_json(alone, "/v1/embed", *pictures).json() == answer.json()
    found = answer.json()["photos"]
    assert [photo["photo"] for photo in found] == ["0.png", "1.png", "2.png", "3.png"]
    assert [len(photo["faces"]) for photo in found] == [2, 0, 0, 1]
    assert (
        found[0]["skipped"] is None
        and "not a picture" in found[1]["skipped"]
        and found[2]["skipped"] == "no face found"
    )
    assert [photo["sha256"] for photo in found] == [sha(pictures[0]), "", *map(sha, pictures[2:])]
    assert {photo["encoder_id"] for photo in found} == {ColourEncoder().encoder_id}
    for photo, data in ((found[0], pictures[0]), (found[3], pictures[3])):
        told = np.array([face["vector"] for face in photo["faces"]])
        assert np.array_equal(told.astype(np.float32), vectors_of(data)) and np.allclose(
            np.linalg.norm(told, axis=1), 1, atol=1e-6
        )
    assert [(face["face"], face["of"]) for face in found[0]["faces"]] == [(1, 2), (2, 2)]
    problem(sent(alone, "/v1/embed", png(RED), largest="true"), 422, "bad-request")


def test_faces_are_detected_with_boxes_and_landmarks(alone: TestClient, client: TestClient):
    pictures = [pair(), b"no picture", png(RED, size=(50, 90))]
    answer = sent(alone, "/v1/detect", *pictures)
    assert answer.status_code == 200 and sent_in_json(alone, "/v1/detect", *pictures).json() == answer.json()
    found = answer.json()["photos"]
    given = (NamedPhoto(f"{i}.png", data) for i, data in enumerate(pictures))
    assert found == plain(list(looking.detect_each(given, detector=FaceDetector.of(Halves()))))
    assert (found[0]["width"], found[0]["height"], found[0]["sha256"]) == (240, 112, sha(pictures[0]))
    assert [face["box"] for face in found[0]["faces"]] == [[0, 0, 124, 112], [124, 0, 116, 112]]
    assert (
        found[0]["faces"][1]["landmarks"] == [[164.6, 44.8], [199.4, 44.8]]
        and found[0]["faces"][1]["score"] == 0.9
    )
    assert "not a picture" in found[1]["skipped"] and (found[2]["skipped"], found[2]["faces"]) == (
        "no face found",
        [],
    )
    crop = sent(client, "/v1/detect", png(RED)).json()["photos"][0]["faces"]  # photos that are crops already
    assert crop == [{"face": 1, "of": 1, "box": [0, 0, 112, 112], "landmarks": [], "score": 1}]
    problem(sent(alone, "/v1/detect", png(RED), top=1), 422, "bad-request")


# ---- people


def test_enrolling_closer_to_somebody_else_warns_and_goes_on_when_forced(client: TestClient):
    data = png(RED, shade=33)
    body = problem(enroll_face(client, "Dora", data), 409, "closer-to-another")
    assert "Closer to Ada" in body["detail"] and "Dora has no photo yet" in body["detail"]
    assert client.get("/v1/people", params={"search": "dora"}).json()["total"] == 0
    assert enroll_face(client, "Dora", data, force="true").json() == {
        "person": "Dora", "sha256": sha(data), "photos": 1, "known": False, "unchecked": False,
        "warnings": [{
            "person": "Dora", "photo": "new.png", "kind": "twice",
            "reason": "it is enrolled under Ada too (Ada20.png is the same picture, 1.00)",
        }],
    }  # fmt: skip
    assert enroll_face(client, "Dora", data, force="true").json()["known"] is True


def test_renaming_joining_moving_and_moving_back(client: TestClient):
    assert client.post("/v1/rename", json={"old": "Ada", "new": "Ada Lovelace"}).json() == {
        "name": "Ada Lovelace",
        "photos": 2,
    }
    problem(client.post("/v1/rename", json={"old": "Ben", "new": "Ada Lovelace"}), 409, "name-taken")
    bens = [
        photo["sha256"] for photo in client.get("/v1/people/photos", params={"name": "Ben"}).json()["photos"]
    ]
    assert (
        client.post("/v1/rename", json={"old": "Ben", "new": "Ada Lovelace", "join": True}).json()["photos"]
        == 2
    )
    assert len(client.get("/v1/people/photos", params={"name": "Ada Lovelace"}).json()["photos"]) == 4
    moved = client.post("/v1/move", json={"person": "Ada Lovelace", "photos": bens, "to": "Ben"})
    assert moved.json() == {"photos": 2, "known": 0, "left": 2}
    assert ask(client, png(GREEN, shade=20))["photos"][0]["faces"][0]["matches"][0]["person"] == "Ben"
    problem(
        client.post("/v1/move", json={"person": "Ben", "photos": ["0" * 64], "to": "Ada"}),
        404,
        "unknown-photo",
    )
    problem(
        client.post("/v1/move", json={"person": "Nobody", "photos": bens, "to": "Ada"}), 404, "unknown-person"
    )
    problem(client.post("/v1/move", json={"person": "Ben", "photos": bens, "to": "Ben"}), 422, "bad-name")


def test_forgetting_erases_gives_a_receipt_and_the_running_service_knows(client: TestClient, gallery: Path):
    assert ask(client, png(RED))["photos"][0]["faces"][0]["matches"][0]["person"] == "Ada"
    one = client.get("/v1/people/photos", params={"name": "Ada"}).json()["photos"][0]["sha256"]
    receipt = client.post("/v1/forget", json={"name": "Ada", "photos": [one]}).json()
    assert (receipt["photos"], receipt["whole_person"]) == (1, False)
    receipt = client.post("/v1/forget", json={"name": "Ada"}).json()
    assert (receipt["photos"], receipt["whole_person"]) == (1, True)
    assert (gallery / "receipts" / receipt["file"]).is_file()
    assert "Ada" not in [c["person"] for c in ask(client, png(RED))["photos"][0]["faces"][0]["matches"]]
    body = problem(client.post("/v1/forget", json={"name": "Ada"}), 404, "unknown-person")
    assert str(gallery) not in json.dumps(body)


def test_what_another_process_enrolls_is_found_at_once(client: TestClient, gallery: Path, tmp_path: Path):
    yellow = save_colour(tmp_path / "yellow.png", (230, 220, 20))
    assert ask(client, yellow.read_bytes())["photos"][0]["faces"][0]["decision"] == "unknown"
    enroll([("Yuki", yellow)], gallery, ColourEncoder(), None, largest=False, fpir=None, progress=quiet)
    assert ask(client, yellow.read_bytes())["photos"][0]["faces"][0]["matches"][0]["person"] == "Yuki"


def test_people_are_searched_sorted_and_paged(client: TestClient):
    enroll_face(client, "Dora", png(BLUE, shade=40), force="true")
    listed = client.get("/v1/people").json()["people"]
    assert {p["name"]: p["photos"] for p in listed} == {"Ada": 2, "Ben": 2, "Cleo": 2, "Dora": 1}
    known = [p["separation"] for p in listed if p["separation"] is not None]
    assert known == sorted(known) and listed[0]["name"] == "Cleo" and listed[0]["nearest"] == "Dora"
    assert listed[-1]["name"] == "Dora" and listed[-1]["separation"] is None
    names = [
        p["name"]
        for p in client.get("/v1/people", params={"sort": "name", "offset": 1, "limit": 2}).json()["people"]
    ]
    assert names == ["Ben", "Cleo"]
    assert [p["name"] for p in client.get("/v1/people", params={"search": "LEO"}).json()["people"]] == [
        "Cleo"
    ]


# ---- trust


def test_the_calibration_tells_threshold_curve_and_growth(client: TestClient):
    told = client.get("/v1/calibration").json()
    assert told["threshold"]["score"] == 0.9 and told["threshold"]["on_strangers"] and not told["stale"]
    assert (
        told["curve"] == [{"score": 0.5, "share": 0.3}, {"score": 0.9, "share": 0.01}] and told["growth"] == 1
    )
    assert told["det"] == [] and told["det_split"] is None
    problem(client.post("/v1/calibration", json={"fpir": 0.1}), 409, "replaces-better")
    problem(client.post("/v1/calibration", json={"fpir": 0.1, "replace": True}), 409, "too-few")
    problem(client.post("/v1/calibration", json={"fpir": 0.9}), 422, "bad-request")


def test_the_evaluation_is_the_reports_and_its_det_is_used_for_the_same_gallery_only(
    gallery: Path, tmp_path: Path
):
    report = tmp_path / "report"
    report.mkdir()
    entry = {
        "section": "closed set",
        "name": "rank-1",
        "rate": {"value": 0.9, "low": 0.8, "high": 1.0, "trials": 10},
        "threshold": None,
        "note": "x",
    }
    data = {
        "encoder": "colours",
        "encoder_id": "colours".ljust(64, "0"),
        "split": "val",
        "figures": [entry],
        "left_out": ["pairs"],
        "curves": {"det_gallery": {"fpir": [0.1, 0.01], "fnir": [0.2, 0.5]}},
    }
    with Store.open(gallery) as opened:
        threshold, (generation, mark) = opened.notes.threshold(), opened.notes.moment
        assert threshold is not None
        data["gallery"] = {"faces": len(opened), "by": threshold.by, "threshold": threshold.score}
        data["gallery"] |= {"fpir": threshold.fpir, "generation": generation, "mark": mark}
    (report / "evaluation.json").write_text(json.dumps(data))
    (report / "index.html").write_text("<!doctype html><title>r</title>")
    with TestClient(service(gallery, report=report).asgi, base_url=HOST) as client:
        told = client.get("/v1/evaluation").json()
        assert (
            told["source"] == "report"
            and told["same_encoder"]
            and told["page"]
            and told["left_out"] == ["pairs"]
        )
        assert told["figures"][0]["value"] == 0.9 and "nearest person" in told["figures"][0]["meaning"]
        assert client.get("/v1/calibration").json()["det"] == [
            {"fpir": 0.01, "fnir": 0.5},
            {"fpir": 0.1, "fnir": 0.2},
        ]
        with Store.open(gallery) as opened:
            stored = opened.notes.threshold()
            assert stored is not None
            opened.notes.set_threshold(replace(stored, by="mean-template"))
        told = client.get("/v1/calibration").json()
        assert told["threshold"]["by"] == "mean-template" and told["det"] == []
        page = client.get("/report")
        assert page.status_code == 200 and "sandbox" in page.headers["content-security-policy"]
        (report / "evaluation.json").write_text(json.dumps(data | {"encoder_id": "f" * 64}))
        assert client.get("/v1/calibration").json()["det"] == []
        problem(client.get("/v1/evaluation"), 404, "no-evaluation")
        (report / "evaluation.json").write_text("[]")
        problem(client.get("/v1/evaluation"), 500, "could-not")


def wait_for_audit(client: TestClient) -> list[dict[str, Any]]:
    for _ in range(200):
        told = client.get("/v1/audit").json()
        if told["state"] == "done":
            return told["findings"]
        threading.Event().wait(0.05)
    raise AssertionError("the audit did not end")


def test_a_planted_copy_is_found_confirmed_remembered_and_mended(client: TestClient, gallery: Path):
    data = png((220, 10, 10), shade=77)
    assert enroll_face(client, "Ada", data).status_code == 200
    assert enroll_face(client, "Ben", data, force="true").status_code == 200
    findings = [
        f
        for f in wait_for_audit(client)
        if f["kind"] == "copies" and {f["person"], f["other"]} == {"Ada", "Ben"}
    ]
    assert len(findings) == 1 and not findings[0]["confirmed"]
    known_by = findings[0]["id"]
    assert client.post("/v1/audit/confirm", json={"finding": known_by}).status_code == 204
    assert next(f for f in wait_for_audit(client) if f["id"] == known_by)["confirmed"]
    kept = (gallery / "confirmed.json").read_text()
    assert "Ada" not in kept and sha(data) not in kept and known_by not in kept
    assert client.post("/v1/audit/confirm", json={"finding": known_by, "right": False}).status_code == 204
    assert not next(f for f in wait_for_audit(client) if f["id"] == known_by)["confirmed"]
    assert client.post("/v1/forget", json={"name": "Ben", "photos": [sha(data)]}).status_code == 200
    assert known_by not in [f["id"] for f in wait_for_audit(client)]
