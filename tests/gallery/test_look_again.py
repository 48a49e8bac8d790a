"""verify --photos names enrolled faces that are seen otherwise now, and tells rows where their face lies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from facesearch.api.encoder import Encoder
from facesearch.api.opening import open_gallery
from facesearch.datasets.toy import draw_photo, invent_person
from facesearch.encoder.stream import one_face
from facesearch.faces.align import scaled
from facesearch.faces.detect import load_detector
from facesearch.files import sha256_of
from facesearch.gallery.look_again import Otherwise, look_again
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store
from facesearch.records import Skipped
from tests.helpers.drawn import ColourEncoder
from tests.helpers.saying import quiet


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = []
    for number in (0, 2, 4):
        paths.append(tmp_path / "photos" / f"{number}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(draw_photo(invent_person(number), 0)).save(paths[-1])
    return paths


@pytest.fixture
def folder(tmp_path: Path, photos: list[Path]) -> Path:
    """A gallery as an older version made it: rows know nothing of their faces, one is on its side."""
    encoder, detector = ColourEncoder(), load_detector(None)
    with Store.create(tmp_path / "g", encoder.encoder_id, encoder.dimension, "x") as gallery:
        for number, path in enumerate(photos):
            face = one_face(path, detector, largest=True)
            assert not isinstance(face, Skipped)
            crop = np.rot90(face.crop) if number == 1 else face.crop
            (vector,) = encoder.embed(np.ascontiguousarray(crop)[None])
            by = detector.name if number else ""
            gallery.faces.add([NewFace(f"person {number}", sha256_of(path), path.name, vector, by)])
        crop = scaled(np.asarray(Image.open(photos[0])))
        (vector,) = encoder.embed(crop[None])
        gallery.faces.add([NewFace("aligned", sha256_of(photos[0]), "a.png", vector, "aligned")])
        gallery.faces.add([NewFace("gone", "f" * 64, "gone.png", vector, "stub")])
    return tmp_path / "g"


def test_a_face_on_its_side_is_named_and_the_others_learn_their_place(folder: Path, photos: list[Path]):
    done = look_again(folder, ColourEncoder(), [photos[0].parent], load_detector(None), quiet)
    assert (done.photos, done.missing, done.placed) == (3, 1, 2)
    ((person, photo, reason),) = [(o.person, o.photo, o.reason) for o in done.otherwise]
    assert (person, photo) == ("person 1", photos[1].name) and reason.startswith("it is cut otherwise now")
    with Store.open(folder) as gallery:
        seen = gallery.faces.seen(gallery.faces.ids().tolist())
        assert sorted(seen) == [1, 3] and all(len(face.landmarks) == 5 for face in seen.values())
    again = look_again(folder, ColourEncoder(), [photos[0].parent], load_detector(None), quiet)
    assert (again.placed, again.otherwise) == (0, done.otherwise)


def test_a_photo_without_a_face_is_named(folder: Path, tmp_path: Path):
    blank = tmp_path / "photos" / "blank.png"
    Image.new("RGB", (200, 200), "grey").save(blank)
    with Store.open(folder) as gallery:
        (vector,) = ColourEncoder().embed(np.full((1, 112, 112, 3), 200, np.uint8))
        gallery.faces.add([NewFace("nobody", sha256_of(blank), "blank.png", vector, "stub")])
    done = look_again(folder, ColourEncoder(), [tmp_path / "photos"], load_detector(None), quiet)
    assert Otherwise("nobody", "blank.png", "no face found") in done.otherwise


def test_the_library_refuses_a_detector_that_looks_for_nothing(folder: Path, photos: list[Path]):
    gallery = open_gallery(folder, encoder=Encoder.of(ColourEncoder()), detector="aligned")
    with pytest.raises(ValueError, match="aligned"):
        gallery.look_again([photos[0].parent])


@pytest.mark.slow
def test_the_command_tells_it(tmp_path: Path, photos: list[Path]):
    from facesearch.cli.main import main

    for number, path in enumerate(photos):
        done = CliRunner().invoke(
            main, ["enroll", f"p{number}", str(path), "--gallery", str(tmp_path / "shop")]
        )
        assert done.exit_code == 0, done.output
    told = ["verify", "--photos", str(photos[0].parent), "--gallery", str(tmp_path / "shop")]
    done = CliRunner().invoke(main, told)
    assert done.exit_code == 0 and "looked again at 3 photos" in done.output
    looked = json.loads(CliRunner().invoke(main, [*told, "--json"]).stdout)["looked"]
    assert looked == {"photos": 3, "missing": 0, "placed": 0, "otherwise": []}
