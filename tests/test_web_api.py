"""The service over HTTP, in-process: what it answers, and that it is the jobs that answer."""

from __future__ import annotations

import base64
import hashlib
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

from facesearch.gallery.rows import Threshold
from facesearch.gallery.store import Gallery
from facesearch.jobs.people import Asker, enroll, query
from facesearch.records import F32, U8, Face
from facesearch.web.app import Service
from facesearch.web.settings import Limits, Settings
from tests.conftest import ColourEncoder, save_colour

RED, GREEN, BLUE = (220, 10, 10), (10, 220, 10), (10, 10, 220)
HOST = "http://127.0.0.1:8008"


class Halves:
    """A detector that sees a face in each half of a wide photo, the left one larger, and none in a tall one."""

    name = "halves"

    def detect(self, pixels: U8) -> list[Face]:
        h, w = pixels.shape[:2]
        if h > w:
            return []
        boxes = [(0, 0, w / 2 + 4, h), (w / 2 + 4, 0, w / 2 - 4, h)] if w > h else [(0, 0, w, h)]
        return [Face(np.array(box, np.float32), self._eyes(*box), 0.9, self.name) for box in boxes]

    def _eyes(self, x: float, y: float, w: float, h: float) -> F32:
        return np.array([[x + 0.35 * w, y + 0.4 * h], [x + 0.65 * w, y + 0.4 * h]], np.float32)

    def another(self) -> Halves:
        return Halves()


def quiet(done: int, total: int) -> None:
    return


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three people of one colour each, two photos a person."""
    for name, colour in (("Ada", RED), ("Ben", GREEN), ("Cleo", BLUE)):
        for shade in (20, 60):
            save_colour(tmp_path / "photos" / name / f"{name}{shade}.png", colour, shade=shade)
    return tmp_path / "photos"


@pytest.fixture
def gallery(photos: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "gallery"
    named = [(path.parent.name, path) for path in sorted(photos.rglob("*.png"))]
    enroll(named, folder, ColourEncoder(), None, largest=False, fpir=0.01, progress=quiet)
    with Gallery.open(folder) as opened:
        opened.set_threshold(Threshold(0.9, 0.01, "made up", 300, 6, True, 30, 0.0, 0.03, ((0.5, 0.3), (0.9, 0.01))))
    return folder


def service(gallery: Path, **settings: Any) -> Service:
    return Service(Settings(gallery=gallery, workers=2, **settings), ColourEncoder(), None)


@pytest.fixture
def client(gallery: Path, photos: Path) -> Iterator[TestClient]:
    with TestClient(service(gallery, photos=photos).asgi, base_url=HOST) as client:
        yield client


def png(colour: tuple[int, int, int], *, shade: int = 0, size: tuple[int, int] = (112, 112)) -> bytes:
    image = Image.new("RGB", size, colour)
    image.paste((shade, shade, shade), (0, size[1] * 3 // 4, size[0], size[1]))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def ask(client: TestClient, *pictures: bytes, **fields: Any) -> dict[str, Any]:
    files = [("photo", (f"{i}.png", data, "image/png")) for i, data in enumerate(pictures)]
    answer = client.post("/v1/search", files=files, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def enroll_face(client: TestClient, name: str, data: bytes, **fields: Any) -> Any:
    return client.post("/v1/enroll", files={"photo": ("new.png", data, "image/png")}, data={"name": name, **fields})


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """The answer is problem details of this kind, in the form of RFC 9457."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:facesearch:problem:{kind}" and body["status"] == status
    assert body["title"] and body["detail"] and body["instance"].startswith("urn:uuid:")
    return body


# ---- search


def test_a_search_says_what_the_command_lines_job_says(client: TestClient, gallery: Path, tmp_path: Path):
    data = png(RED, shade=40)
    (tmp_path / "probe.png").write_bytes(data)
    with Gallery.open(gallery) as opened:
        told = query([tmp_path / "probe.png"], Asker(opened, ColourEncoder(), top=2), None)
    expected = told.answers[0]
    photo = ask(client, data, top=2)["photos"][0]
    face = photo["faces"][0]
    assert (photo["sha256"], photo["width"], photo["height"], photo["refused"]) == (sha(data), 112, 112, None)
    assert [c["person"] for c in face["candidates"]] == [match.person for match in expected.matches]
    assert [c["score"] for c in face["candidates"]] == pytest.approx([match.score for match in expected.matches], abs=1e-6)
    assert face["gap"] == pytest.approx(expected.gap, abs=1e-6) and face["decision"] == "match"
    assert (face["threshold"], face["expected_fpir"]) == (0.9, 0.01)
    assert face["stranger_share"] == pytest.approx(expected.stranger_share)
    assert face["candidates"][0]["support"][0]["source"] == expected.matches[0].support[0].source
    assert face["scored_by"] == "best-photo"


def test_a_search_follows_the_gallerys_way_to_score_and_says_which_it_is(client: TestClient, gallery: Path):
    with Gallery.open(gallery) as opened:
        stored = opened.threshold()
        assert stored is not None
        opened.set_threshold(replace(stored, by="mean-template"))
        mean = opened.vectors_of("Ada").mean(axis=0)
        expected = ColourEncoder().embed(np.asarray(Image.open(io.BytesIO(png(RED, shade=40))))[None])[0] @ (mean / np.linalg.norm(mean))
    face = ask(client, png(RED, shade=40))["photos"][0]["faces"][0]
    first = face["candidates"][0]
    assert (face["scored_by"], first["person"], first["photos"]) == ("mean-template", "Ada", 2)
    assert first["score"] == pytest.approx(expected, abs=1e-5) and first["score"] != first["support"][0]["score"]


def test_many_photos_form_or_json_are_answered_alike_and_in_order(client: TestClient):
    pictures = [png(RED), png(BLUE), png(GREEN)]
    form = ask(client, *pictures)
    body = {"photos": [{"name": f"{i}.png", "data": base64.b64encode(data).decode()} for i, data in enumerate(pictures)]}
    in_json = client.post("/v1/search", json=body).json()
    assert form == in_json
    assert [photo["faces"][0]["candidates"][0]["person"] for photo in form["photos"]] == ["Ada", "Cleo", "Ben"]


def test_one_broken_photo_is_named_with_its_reason_and_the_rest_goes_on(client: TestClient):
    found = ask(client, png(RED), b"no picture", png(BLUE))["photos"]
    assert [photo["refused"] is None for photo in found] == [True, False, True]
    assert "not a picture" in found[1]["refused"] and found[1]["faces"] == []


def test_every_face_of_a_photo_is_answered_and_one_can_be_enrolled(gallery: Path):
    wide = Image.new("RGB", (240, 112))
    wide.paste(Image.open(io.BytesIO(png(RED, shade=20, size=(124, 112)))), (0, 0))
    wide.paste(Image.open(io.BytesIO(png((200, 200, 10), shade=20, size=(116, 112)))), (124, 0))
    out = io.BytesIO()
    wide.save(out, "PNG")
    serving = Service(Settings(gallery=gallery), ColourEncoder(), Halves())
    with TestClient(serving.asgi, base_url=HOST) as client:
        faces = ask(client, out.getvalue())["photos"][0]["faces"]
        assert [face["face"] for face in faces] == [1, 2] and faces[0]["candidates"][0]["person"] == "Ada"
        assert len(ask(client, out.getvalue(), largest="true")["photos"][0]["faces"]) == 1
        body = problem(enroll_face(client, "Dora", out.getvalue()), 422, "no-face")
        assert "2 faces" in body["detail"]
        problem(enroll_face(client, "Dora", out.getvalue(), face=3), 422, "no-face")
        assert enroll_face(client, "Dora", out.getvalue(), face=2).json()["photos"] == 1
        faces = ask(client, out.getvalue())["photos"][0]["faces"]
        assert [face["candidates"][0]["person"] for face in faces] == ["Ada", "Dora"]
        assert ask(client, png(RED, size=(50, 90)))["photos"][0]["faces"] == []
        problem(enroll_face(client, "Dora", png(RED, size=(50, 90))), 422, "no-face")


def test_another_threshold_decides_when_it_is_asked_for(client: TestClient):
    grey = png((120, 60, 60))
    score = ask(client, grey)["photos"][0]["faces"][0]["candidates"][0]["score"]
    for threshold, decision in ((score - 0.01, "match"), (score + 0.01, "unknown")):
        face = ask(client, grey, threshold=threshold)["photos"][0]["faces"][0]
        assert face["decision"] == decision and face["threshold"] == pytest.approx(threshold)


def test_without_a_gallery_faces_are_found_and_the_first_enrollment_makes_one(tmp_path: Path):
    with TestClient(service(tmp_path / "none").asgi, base_url=HOST) as client:
        assert client.get("/v1/health").json()["gallery"] == "empty"
        assert client.get("/v1/people").json() == {"people": [], "total": 0, "offset": 0}
        assert client.get("/v1/audit").json()["findings"] == []
        assert client.get("/v1/calibration").json()["threshold"] is None
        answer = ask(client, png(RED))
        assert answer["enrolled"] == 0 and answer["photos"][0]["faces"][0]["candidates"] == []
        problem(client.get("/v1/people/photos", params={"name": "Ada"}), 404, "unknown-person")
        problem(client.post("/v1/forget", json={"name": "Ada"}), 404, "nobody-enrolled")
        assert enroll_face(client, "Ada", png(RED)).json()["unchecked"] is False
        assert ask(client, png(RED))["photos"][0]["faces"][0]["candidates"][0]["person"] == "Ada"


# ---- people


def test_enrolling_closer_to_somebody_else_warns_and_goes_on_when_forced(client: TestClient):
    data = png(RED, shade=33)
    body = problem(enroll_face(client, "Dora", data), 409, "closer-to-another")
    assert "Closer to Ada" in body["detail"] and "Dora has no photo yet" in body["detail"]
    assert client.get("/v1/people", params={"search": "dora"}).json()["total"] == 0
    assert enroll_face(client, "Dora", data, force="true").json() == {
        "person": "Dora", "sha256": sha(data), "photos": 1, "known": False, "unchecked": False,
    }  # fmt: skip
    assert enroll_face(client, "Dora", data, force="true").json()["known"] is True


def test_renaming_joining_moving_and_moving_back(client: TestClient):
    assert client.post("/v1/rename", json={"old": "Ada", "new": "Ada Lovelace"}).json() == {"name": "Ada Lovelace", "photos": 2}
    problem(client.post("/v1/rename", json={"old": "Ben", "new": "Ada Lovelace"}), 409, "name-taken")
    bens = [photo["sha256"] for photo in client.get("/v1/people/photos", params={"name": "Ben"}).json()["photos"]]
    assert client.post("/v1/rename", json={"old": "Ben", "new": "Ada Lovelace", "join": True}).json()["photos"] == 2
    assert len(client.get("/v1/people/photos", params={"name": "Ada Lovelace"}).json()["photos"]) == 4
    moved = client.post("/v1/move", json={"person": "Ada Lovelace", "photos": bens, "to": "Ben"})
    assert moved.json() == {"photos": 2, "known": 0, "left": 2}
    assert ask(client, png(GREEN, shade=20))["photos"][0]["faces"][0]["candidates"][0]["person"] == "Ben"
    problem(client.post("/v1/move", json={"person": "Ben", "photos": ["0" * 64], "to": "Ada"}), 404, "unknown-photo")
    problem(client.post("/v1/move", json={"person": "Nobody", "photos": bens, "to": "Ada"}), 404, "unknown-person")
    problem(client.post("/v1/move", json={"person": "Ben", "photos": bens, "to": "Ben"}), 422, "bad-name")


def test_forgetting_erases_gives_a_receipt_and_the_running_service_knows(client: TestClient, gallery: Path):
    assert ask(client, png(RED))["photos"][0]["faces"][0]["candidates"][0]["person"] == "Ada"
    one = client.get("/v1/people/photos", params={"name": "Ada"}).json()["photos"][0]["sha256"]
    receipt = client.post("/v1/forget", json={"name": "Ada", "photos": [one]}).json()
    assert (receipt["photos"], receipt["whole_person"]) == (1, False)
    receipt = client.post("/v1/forget", json={"name": "Ada"}).json()
    assert (receipt["photos"], receipt["whole_person"]) == (1, True)
    assert (gallery / "receipts" / receipt["file"]).is_file()
    assert "Ada" not in [c["person"] for c in ask(client, png(RED))["photos"][0]["faces"][0]["candidates"]]
    body = problem(client.post("/v1/forget", json={"name": "Ada"}), 404, "unknown-person")
    assert str(gallery) not in json.dumps(body)


def test_what_another_process_enrolls_is_found_at_once(client: TestClient, gallery: Path, tmp_path: Path):
    yellow = save_colour(tmp_path / "yellow.png", (230, 220, 20))
    assert ask(client, yellow.read_bytes())["photos"][0]["faces"][0]["decision"] == "unknown"
    enroll([("Yuki", yellow)], gallery, ColourEncoder(), None, largest=False, fpir=None, progress=quiet)
    assert ask(client, yellow.read_bytes())["photos"][0]["faces"][0]["candidates"][0]["person"] == "Yuki"


def test_people_are_searched_sorted_and_paged(client: TestClient):
    enroll_face(client, "Dora", png(BLUE, shade=40), force="true")
    listed = client.get("/v1/people").json()["people"]
    assert {p["name"]: p["photos"] for p in listed} == {"Ada": 2, "Ben": 2, "Cleo": 2, "Dora": 1}
    known = [p["separation"] for p in listed if p["separation"] is not None]
    assert known == sorted(known) and listed[0]["name"] == "Cleo" and listed[0]["nearest"] == "Dora"
    assert listed[-1]["name"] == "Dora" and listed[-1]["separation"] is None
    names = [p["name"] for p in client.get("/v1/people", params={"sort": "name", "offset": 1, "limit": 2}).json()["people"]]
    assert names == ["Ben", "Cleo"]
    assert [p["name"] for p in client.get("/v1/people", params={"search": "LEO"}).json()["people"]] == ["Cleo"]


def test_thumbnails_are_of_the_enrolled_content_and_of_nothing_else(client: TestClient, photos: Path, tmp_path: Path):
    listed = client.get("/v1/people/photos", params={"name": "Ada"}).json()["photos"]
    small = client.get("/v1/people/thumbnail", params={"name": "Ada", "sha256": listed[0]["sha256"]})
    assert small.status_code == 200 and small.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(small.content)).size) <= 320
    problem(client.get("/v1/people/thumbnail", params={"name": "Ben", "sha256": listed[0]["sha256"]}), 404, "no-photo")
    for bad in ("../../etc/passwd", "a" * 63, "A" * 64):
        problem(client.get("/v1/people/thumbnail", params={"name": "Ada", "sha256": bad}), 422, "bad-request")
    (photos / "Ada" / listed[0]["source"]).write_bytes(png(BLUE, shade=99))  # another content under the same name
    problem(client.get("/v1/people/thumbnail", params={"name": "Ada", "sha256": listed[0]["sha256"]}), 404, "no-photo")


def test_a_link_out_of_the_photos_folder_is_not_followed(gallery: Path, photos: Path, tmp_path: Path):
    original = photos / "Ada" / "Ada20.png"
    outside = tmp_path / "outside.png"
    outside.write_bytes(original.read_bytes())
    content = sha(outside.read_bytes())
    original.unlink()
    original.symlink_to(outside)
    with TestClient(service(gallery, photos=photos).asgi, base_url=HOST) as client:
        problem(client.get("/v1/people/thumbnail", params={"name": "Ada", "sha256": content}), 404, "no-photo")


# ---- trust


def test_the_calibration_tells_threshold_curve_and_growth(client: TestClient):
    told = client.get("/v1/calibration").json()
    assert told["threshold"]["score"] == 0.9 and told["threshold"]["on_strangers"] and not told["stale"]
    assert told["curve"] == [{"score": 0.5, "share": 0.3}, {"score": 0.9, "share": 0.01}] and told["growth"] == 1
    assert told["det"] == [] and told["det_split"] is None
    problem(client.post("/v1/calibration", json={"fpir": 0.1}), 409, "replaces-better")
    problem(client.post("/v1/calibration", json={"fpir": 0.1, "replace": True}), 409, "too-few")
    problem(client.post("/v1/calibration", json={"fpir": 0.9}), 422, "bad-request")


def test_the_evaluation_is_the_reports_and_its_det_is_used_for_the_same_encoder_only(gallery: Path, tmp_path: Path):
    report = tmp_path / "report"
    report.mkdir()
    entry = {"section": "closed set", "name": "rank-1", "rate": {"value": 0.9, "low": 0.8, "high": 1.0, "trials": 10},
             "threshold": None, "note": "x"}  # fmt: skip
    data = {"encoder": "colours", "encoder_id": "colours".ljust(64, "0"), "split": "val", "figures": [entry], "left_out": ["pairs"],
            "curves": {"det": {"fpir": [0.1, 0.01], "fnir": [0.2, 0.5]}, "det_template": {"fpir": [0.01], "fnir": [0.25]}}}  # fmt: skip
    (report / "evaluation.json").write_text(json.dumps(data))
    (report / "index.html").write_text("<!doctype html><title>r</title>")
    with TestClient(service(gallery, report=report).asgi, base_url=HOST) as client:
        told = client.get("/v1/evaluation").json()
        assert told["source"] == "report" and told["same_encoder"] and told["page"] and told["left_out"] == ["pairs"]
        assert told["figures"][0]["value"] == 0.9 and "nearest person" in told["figures"][0]["meaning"]
        assert client.get("/v1/calibration").json()["det"] == [{"fpir": 0.01, "fnir": 0.5}, {"fpir": 0.1, "fnir": 0.2}]
        with Gallery.open(gallery) as opened:
            stored = opened.threshold()
            assert stored is not None
            opened.set_threshold(replace(stored, by="mean-template"))
        told = client.get("/v1/calibration").json()
        assert told["threshold"]["by"] == "mean-template" and told["det"] == [{"fpir": 0.01, "fnir": 0.25}]
        page = client.get("/report")
        assert page.status_code == 200 and "sandbox" in page.headers["content-security-policy"]
        (report / "evaluation.json").write_text(json.dumps(data | {"encoder_id": "f" * 64}))
        assert client.get("/v1/calibration").json()["det"] == []
        assert client.get("/v1/evaluation").json()["same_encoder"] is False
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
    findings = [f for f in wait_for_audit(client) if f["kind"] == "copies" and {f["person"], f["other"]} == {"Ada", "Ben"}]
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


# ---- uploads


def test_uploads_are_bounded_by_count_bytes_pixels_and_form(gallery: Path):
    limits = Limits(photos=2, photo_bytes=5000, body_bytes=20_000, pixels=100_000)
    with TestClient(service(gallery, limits=limits).asgi, base_url=HOST) as client:
        good = ("photo", ("a.png", png(RED), "image/png"))
        problem(client.post("/v1/search", files=[good] * 3), 422, "bad-request")
        many = {"photos": [{"data": base64.b64encode(png(RED)).decode()}] * 3}
        problem(client.post("/v1/search", json=many), 422, "bad-request")
        problem(client.post("/v1/search", files={"photo": ("a", b"x" * 6000)}), 413, "too-large")
        problem(client.post("/v1/search", files={"photo": ("a", b"x" * 30_000)}), 413, "too-large")
        stream = (b"x" * 1000 for _ in range(30))
        problem(client.post("/v1/search", content=stream, headers={"content-type": "application/json"}), 413, "too-large")
        big = ask(client, png(RED, size=(400, 400)))["photos"][0]
        assert "megapixels" in big["refused"]
        problem(client.post("/v1/rename", content=b"x" * 2_000_000, headers={"content-type": "application/json"}), 413, "too-large")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b"{}", "application/json", 422),
        (b'{"photos": [3]}', "application/json", 422),
        (b'{"photos": [{"data": "!!"}]}', "application/json", 422),
        (b'{"photos": [{"data": "AAAA"}], "top": 0}', "application/json", 422),
        (b'{"photos": [{"data": "AAAA"}], "topp": 1}', "application/json", 422),
        (b'{"photos": [{"data": "AAAA"}], "largest": 0}', "application/json", 422),
        (b'{"photos": [{"data": "AAAA", "name": 3}]}', "application/json", 422),
        (b'{"photos": [{"data": "AAAA", "path": "x"}]}', "application/json", 422),
        (b"x", "text/plain", 415),
        (b"x", "multipart/form-data", 400),
        (b"--b\r\nx", "multipart/form-data; boundary=b", 422),
        (b"", "", 415),
    ],
)
def test_what_cannot_be_understood_is_refused_in_words(client: TestClient, body: bytes, kind: str, status: int):
    problem(client.post("/v1/search", content=body, headers={"content-type": kind}), status, "bad-request")


def test_no_photo_is_written_to_a_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    import tempfile

    def refuse(self: Any) -> None:
        raise AssertionError("a photo went to the disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    assert len(out.getvalue()) > 4_000_000
    assert ask(client, out.getvalue())["photos"][0]["refused"] is None


def test_names_of_photos_are_never_paths(client: TestClient):
    data = png((90, 30, 200))
    files = {"photo": ("../../..\\evil\x07.png", data, "image/png")}
    assert client.post("/v1/enroll", files=files, data={"name": "Eve", "force": "true"}).status_code == 200
    photo = client.get("/v1/people/photos", params={"name": "Eve"}).json()["photos"][0]
    assert "/" not in photo["source"] and "\\" not in photo["source"] and "\x07" not in photo["source"]
