"""An album's names in sidecars beside its photos, and other programs' names as suggestions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesearch.album.album import Album
from facesearch.album.names_elsewhere import export_xmp, names_in_photos, suggest_names
from facesearch.album.scan import scan
from facesearch.album.xmp import Region, regions_in, with_regions
from facesearch.errors import NothingToDo
from facesearch.report.album import write_review
from tests.helpers.album import GREEN, RED, Halves, save_pair, table_of
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet


def name_photo(album: Album, **names: str) -> None:
    of = {Path(file.path).stem: file.sha256 for file in album.files().values()}
    faces = album.faces()
    album.change(
        {
            face.face_id: {"name": name, "reviewed": True}
            for photo, name in names.items()
            for face in faces
            if face.sha256 == of[photo]
        }
    )


def bytes_of(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_named_faces_stand_in_sidecars_and_no_photo_is_touched(photos: Path, found: Path, tmp_path: Path):
    (photos / "a" / "red0.png").chmod(0o444)
    (photos / "both.png").chmod(0o640)
    before = bytes_of(photos)
    with Album.open(found) as album:
        with pytest.raises(NothingToDo):
            export_xmp(album, quiet)
        name_photo(album, red0='A "<&>" da', both="Ben")
        result = export_xmp(album, quiet)
        assert (result.sidecars, result.regions, result.skipped) == (3, 4, ())
        assert export_xmp(album, quiet).sidecars == 0
        after = bytes_of(photos)
        new = sorted(path.name for path in after.keys() - before.keys())
        assert new == ["both.png.xmp", "copy of red0.png.xmp", "red0.png.xmp"]
        assert {path: after[path] for path in before} == before
        modes = [(photos / name).stat().st_mode & 0o777 for name in ("a/red0.png.xmp", "both.png.xmp")]
        assert modes == [0o644, 0o640]  # who may see the photo may see who is in it
        whole = regions_in(after[photos / "a" / "red0.png.xmp"])
        assert [(one.name, one.x, one.y, one.w, one.h) for one in whole] == [('A "<&>" da', 0.5, 0.5, 1, 1)]
        halves = sorted(one.x for one in regions_in(after[photos / "both.png.xmp"]))
        assert np.allclose(halves, (0.25, 0.75))
        name_photo(album, both="")
        name_photo(album, red0="Eva")
        export_xmp(album, quiet)
        assert regions_in((photos / "both.png.xmp").read_bytes()) == []
        assert [one.name for one in regions_in((photos / "a" / "red0.png.xmp").read_bytes())] == ["Eva"]
        export_xmp(album, quiet, into=tmp_path / "apart")
        assert (tmp_path / "apart" / "a" / "red0.png.xmp").is_file()
        vector = album.faces_and_vectors()[1][0].tobytes()
        assert not any(vector in data for data in bytes_of(tmp_path / "apart").values())


def test_a_sidecar_that_is_there_is_used_and_a_bad_one_left(photos: Path, found: Path):
    old = with_regions(None, [Region("Rex", 0.1, 0.1, 0.05, 0.05)], (9, 9)).replace(
        b"facesearch:by", b"facesearch:x"
    )
    bad = b"<!DOCTYPE a []><a/>"
    (photos / "a" / "red0.xmp").write_bytes(old)
    (photos / "a" / "red1.png.xmp").write_bytes(bad)
    (photos / "a" / "red2.xmp").write_bytes(old)
    (photos / "a" / "red2.NEF").write_bytes(b"raw")  # whose the sidecar is
    with Album.open(found) as album:
        name_photo(album, red0="Ada", red1="Ada", red2="Ada")
        (skip,) = export_xmp(album, quiet).skipped
    assert skip.path.name == "red1.png.xmp" and "DTD" in skip.reason
    assert (photos / "a" / "red1.png.xmp").read_bytes() == bad
    assert {one.name for one in regions_in((photos / "a" / "red0.xmp").read_bytes())} == {"Ada", "Rex"}
    assert not (photos / "a" / "red0.png.xmp").exists()
    assert (photos / "a" / "red2.xmp").read_bytes() == old and (photos / "a" / "red2.png.xmp").is_file()


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_names_of_a_turned_photo_come_back_onto_their_faces(tmp_path: Path, turn: int):
    """The album sees the upright picture; a sidecar is of the stored one."""
    upright = tmp_path / "upright.png"
    save_pair(upright, RED, GREEN)
    stored = Image.open(upright).rotate({1: 0, 3: 180, 6: 90, 8: -90}[turn], expand=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    root = tmp_path / "p"
    root.mkdir()
    stored.save(root / "pair.png", exif=exif)
    scan(root, tmp_path / "s", ColourEncoder(), Halves(), quiet)
    with Album.open(tmp_path / "s") as album:
        left, right = sorted(album.faces(), key=lambda face: face.box[0])
        album.change({left.face_id: {"name": "Ruby"}, right.face_id: {"name": "Green"}})
        export_xmp(album, quiet)
        text = (root / "pair.png.xmp").read_bytes()
        assert f'stDim:w="{stored.width}" stDim:h="{stored.height}"'.encode() in text
        pixels = np.asarray(stored)
        for region in regions_in(text):
            colour = pixels[int(region.y * stored.height), int(region.x * stored.width)]
            assert tuple(colour) == (RED if region.name == "Ruby" else GREEN)
        (root / "pair.png.xmp").write_bytes(text.replace(b"facesearch:by", b"facesearch:x"))  # another's
        suggest_names(album, quiet)
        assert names_in_photos(album, album.faces()) == {left.key: "Ruby", right.key: "Green"}


def test_names_that_other_programs_wrote_are_suggested_and_never_decided(
    photos: Path, found: Path, tmp_path: Path
):
    theirs = with_regions(
        None,
        [Region("Ada & Co", 0.25, 0.5, 0.3, 0.6), Region("Nobody here", 0.02, 0.02, 0.01, 0.01)],
        (224, 112),
    ).replace(b"facesearch:by", b"facesearch:x")
    (photos / "both.png.xmp").write_bytes(theirs)
    (photos / "a" / "red1.png.xmp").write_bytes(b"<!DOCTYPE a><a/>")
    inside = theirs.replace(b"Ada &amp; Co", b"Ben").replace(b'x="0.250000"', b'x="0.500000"')
    Image.open(photos / "blue.png").save(photos / "blue.jpg", xmp=inside)
    (photos / "blue.png").unlink()
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    with Album.open(found) as album:
        result = suggest_names(album, quiet)
        assert (result.photos, result.names, result.faces, result.no_face) == (2, 4, 2, 2)
        assert "DTD" in result.skipped[0].reason
        assert sorted(names_in_photos(album, album.faces()).values()) == ["Ada & Co", "Ben"]
        assert not any(face.name or face.person for face in album.faces())
        page = write_review(album, None, "facesearch scan").page.read_text()
        assert "the photo says Ada &amp; Co" in page and 'data-name="Ada &amp; Co"' in page
        rows = table_of(found / "review.csv")
        assert {row["in_photo"] for row in rows if row["photo"] == "blue.jpg"} == {"Ben"}
        assert not any(row["name"] for row in rows)


def test_what_was_exported_here_is_no_news(photos: Path, found: Path):
    with Album.open(found) as album:
        name_photo(album, red0="Ada")
        export_xmp(album, quiet)
        assert suggest_names(album, quiet).names == 0


def test_every_path_of_one_photo_has_its_sidecar_and_links_are_left(
    photos: Path, found: Path, tmp_path: Path
):
    shutil.copy(photos / "a" / "red0.png", photos / "b" / "again.png")
    outside = tmp_path / "outside.xmp"
    outside.write_bytes(with_regions(None, [], (1, 1)))
    (photos / "a" / "red0.png.xmp").symlink_to(outside)
    save_colour(photos / "b" / "new.png", RED, shade=99)
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    before = outside.read_bytes()
    with Album.open(found) as album:
        name_photo(album, again="Ada")
        result = export_xmp(album, quiet)
    assert result.sidecars == 2 and "link" in result.skipped[0].reason and outside.read_bytes() == before
    assert (photos / "b" / "again.png.xmp").is_file() and (photos / "copy of red0.png.xmp").is_file()
