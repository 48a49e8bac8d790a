"""Sort, correct, sort again: what sort placed is moved, taken back, or left where somebody changed it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from facesearch.album import sort as sorting
from facesearch.album.album import Album
from facesearch.album.journal import JOURNAL, LOCK
from facesearch.album.sort import sort_album, unsort_album
from facesearch.errors import NothingToDo, SortBusy
from facesearch.files import locked_file
from tests.helpers.saying import quiet

WAYS = ("copy", "hard", "sym")


def tree(root: Path) -> set[str]:
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
    return {path for path in found if path.rpartition("/")[2] not in (JOURNAL, LOCK)}


def places(root: Path) -> set[tuple[str, str]]:
    """Which photos lie in which folder; of two with one name nobody knows which has it."""
    return {(Path(path).parent.as_posix(), Path(path).name[:3]) for path in tree(root)}


def name_photo(album: Album, **names: str) -> None:
    """Say whose the faces of a photo are: red1="Ada"; "-" puts them aside, "" leaves them in their group."""
    of = {Path(file.path).stem: file.sha256 for file in album.files().values()}
    album.change(
        {
            face.face_id: {"name": "" if name == "-" else name, "nobody": name == "-", "reviewed": True}
            for photo, name in names.items()
            for face in album.faces()
            if face.sha256 == of[photo]
        }
    )


REDS = {f"red{i}": "Ruby" for i in range(3)}


@pytest.mark.parametrize("way", WAYS)
def test_after_a_correction_each_photo_lies_in_one_place_again(
    photos: Path, found: Path, tmp_path: Path, way: str
):
    out = tmp_path / "out"
    with Album.open(found) as album:
        name_photo(album, **REDS)
        sort_album(album, out, quiet, way=way)
        assert {"Ruby/red1.png", "Ruby/copy of red0.png"} <= tree(out)
        name_photo(album, red1="Ada")
        foreseen = sort_album(album, out, quiet, way=way, dry_run=True)
        result = sort_album(album, out, quiet, way=way)
        assert foreseen == result and (result.made, result.moved, result.taken) == (0, 1, 0)
        assert "Ada/red1.png" in tree(out) and "Ruby/red1.png" not in tree(out)
        assert (out / "Ada" / "red1.png").read_bytes() == (photos / "a" / "red1.png").read_bytes()
        name_photo(album, red1="", both="Ada")
        sort_album(album, out, quiet, way=way)
        there = tree(out)
        assert sum(path.endswith("red1.png") for path in there) == 1
        assert not (out / "Ada" / "red1.png").exists() and "Ada/both.png" in there
        again = sort_album(album, out, quiet, way=way)
        assert (again.made, again.moved, again.taken, again.left) == (0, 0, 0, ()) and tree(out) == there


def test_a_changed_copy_is_left_and_named_and_a_users_own_file_is_never_touched(found: Path, tmp_path: Path):
    out = tmp_path / "out"
    with Album.open(found) as album:
        name_photo(album, **REDS)
        sort_album(album, out, quiet)
        (out / "Ruby" / "red1.png").write_bytes(b"cropped by hand")
        (out / "Ruby" / "mine.txt").write_text("mine")
        name_photo(album, red1="Ada", red2="Ada")
        result = sort_album(album, out, quiet)
        assert [item.path.name for item in result.left] == ["red1.png"]
        assert (out / "Ruby" / "red1.png").read_bytes() == b"cropped by hand"
        assert {"Ada/red1.png", "Ada/red2.png", "Ruby/mine.txt"} <= tree(out)
        assert "Ruby/red2.png" not in tree(out)
        back = unsort_album(album, out, quiet)
        assert tree(out) == {"Ruby/red1.png", "Ruby/mine.txt"} and len(back.left) == 1


@pytest.mark.parametrize("way", WAYS)
def test_undo_takes_all_of_it_back_and_leaves_the_originals(
    photos: Path, found: Path, tmp_path: Path, way: str
):
    out = tmp_path / "out"
    originals = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    with Album.open(found) as album:
        placed = sort_album(album, out, quiet, way=way)
        foreseen = unsort_album(album, out, quiet, dry_run=True)
        assert out.exists() and unsort_album(album, out, quiet) == foreseen
        assert foreseen.taken == placed.made and not out.exists()
        sort_album(album, out, quiet, way=way)
        unsort_album(album, out, quiet)
        out.mkdir()
        with pytest.raises(NothingToDo):
            unsort_album(album, out, quiet)
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == originals


def test_undo_never_takes_what_may_be_the_last_copy(photos: Path, found: Path, tmp_path: Path):
    out = tmp_path / "out"
    with Album.open(found) as album:
        name_photo(album, **REDS)
        sort_album(album, out, quiet)
        (photos / "a" / "red1.png").unlink()
        (photos / "a" / "red0.png").unlink()  # of which there is a copy
        result = unsort_album(album, out, quiet)
    assert tree(out) == {"Ruby/red1.png"} and "last copy" in result.left[0].reason


def test_a_photo_is_never_in_unknown_and_in_a_group_both(found: Path, tmp_path: Path):
    with Album.open(found) as album:
        of = {Path(file.path).stem: file.sha256 for file in album.files().values()}
        first, second = (face for face in album.faces() if face.sha256 == of["both"])
        album.change({first.face_id: {"group": 0}, second.face_id: {"group": 7}})
        sort_album(album, tmp_path / "out", quiet)
        there = [path for path in tree(tmp_path / "out") if path.endswith("both.png")]
        assert there == ["_unknown/g7/both.png"]
        album.change({second.face_id: {"group": 0}})
        sort_album(album, tmp_path / "out", quiet)
        there = [path for path in tree(tmp_path / "out") if path.endswith("both.png")]
        assert there == ["_unknown/both.png"] and not (tmp_path / "out" / "_unknown" / "g7").exists()


SIDES = ("red1.png.xmp", "red1.MOV", "red1.mov2", "red1.NEF", "RED1.aae", "red1.png.json", "red1.NEF.xmp")
TAKEOUT = ("red1.png.supplemental-metadata.json", "red1.png.supplemental-me.json")


@pytest.mark.parametrize("way", WAYS)
def test_side_files_go_along_wherever_their_photo_goes(photos: Path, found: Path, tmp_path: Path, way: str):
    out, names = tmp_path / "out", {*SIDES, *TAKEOUT} - {"red1.mov2"}
    for name in (*SIDES, *TAKEOUT, "red12.xmp", "red1.png.other"):
        (photos / "a" / name).write_text(name)
    (out / "Ruby").mkdir(parents=True)
    (out / "Ruby" / "red1.png").write_text("a file of the same name")
    with Album.open(found) as album:
        name_photo(album, **REDS)
        result = sort_album(album, out, quiet, way=way)
        marked = next(path for path in tree(out) if path.startswith("Ruby/red1~"))[len("Ruby/") :][:-4]
        here = {path[5:] for path in tree(out) if path.startswith("Ruby/red1~") or "RED1" in path}
        stem = marked.partition(".")[0]
        assert result.sides == len(names) and len(here) == len(names) + 1
        assert f"{stem}.MOV" in here and f"{stem}.png.xmp" in here and f"{stem}.NEF.xmp" in here
        name_photo(album, red1="Ada")
        sort_album(album, out, quiet, way=way)
        moved = {path[4:].casefold() for path in tree(out) if path.startswith("Ada/")}
        assert moved == {"red1.png", *(name.casefold() for name in names)}
        assert tree(out / "Ruby") == {"red1.png", "red0.png", "red2.png", "copy of red0.png"}
        (photos / "a" / "red1.png.xmp").write_text("rated since")
        sort_album(album, out, quiet, way=way)
        assert (out / "Ada" / "red1.png.xmp").read_text() == "rated since"
        (photos / "a" / "new").write_text("")
        unsort_album(album, out, quiet)
        assert tree(out) == {"Ruby/red1.png"}


def test_every_path_of_one_content_is_sorted_even_of_one_name(photos: Path, found: Path, tmp_path: Path):
    from facesearch.album.scan import scan
    from tests.helpers.album import Halves
    from tests.helpers.drawn import ColourEncoder

    for folder in ("x", "y"):
        (photos / folder).mkdir()
        (photos / folder / "red1.png").write_bytes((photos / "a" / "red1.png").read_bytes())
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    with Album.open(found) as album:
        name_photo(album, **REDS)
        sort_album(album, tmp_path / "out", quiet)
        assert len(list((tmp_path / "out" / "Ruby").glob("red1*"))) == 3
        assert sort_album(album, tmp_path / "out", quiet).made == 0


def test_a_renamed_photo_is_not_placed_twice(photos: Path, found: Path, tmp_path: Path):
    from facesearch.album.scan import scan
    from tests.helpers.album import Halves
    from tests.helpers.drawn import ColourEncoder

    out = tmp_path / "out"
    for way in WAYS:
        with Album.open(found) as album:
            name_photo(album, **REDS)
            sort_album(album, out / way, quiet, way=way)
    (photos / "a" / "red1.png").rename(photos / "a" / "better name.png")
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    for way in WAYS:
        with Album.open(found) as album:
            sort_album(album, out / way, quiet, way=way)
        assert len(tree(out / way / "Ruby")) == 4
        assert all(path.exists() for path in (out / way).rglob("*"))


def test_two_albums_in_one_folder_do_not_touch_each_others_photos(photos: Path, found: Path, tmp_path: Path):
    from facesearch.album.scan import scan
    from tests.helpers.album import RED, Halves
    from tests.helpers.drawn import ColourEncoder, save_colour

    out = tmp_path / "out"
    save_colour(tmp_path / "other" / "red1.png", RED, shade=90)
    scan(tmp_path / "other", tmp_path / "other.scan", ColourEncoder(), Halves(), quiet)
    with Album.open(found) as album, Album.open(tmp_path / "other.scan") as other:
        name_photo(album, **REDS)
        name_photo(other, red1="Ruby")
        sort_album(album, out, quiet)
        sort_album(other, out, quiet)
        unsort_album(album, out, quiet)
    (left,) = tree(out)
    assert (out / left).read_bytes() == (tmp_path / "other" / "red1.png").read_bytes()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_was_killed_anywhere_is_finished_by_the_next(
    found: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, seed: int
):
    out, chance = tmp_path / "out", random.Random(seed)
    with Album.open(found) as album:
        for _ in range(4):
            names = ["Ada", "Ben", "", "-"]
            name_photo(
                album,
                **{
                    photo: chance.choice(names)
                    for photo in ("red0", "red1", "red2", "green0", "both", "blue")
                },
            )
            left = chance.randrange(1, 8)

            def dying(real):
                def step(*args):
                    nonlocal left
                    left -= 1
                    if left == 0:
                        raise KeyboardInterrupt
                    done = real(*args)
                    left -= 1
                    if left == 0:
                        raise KeyboardInterrupt
                    return done

                return step

            with monkeypatch.context() as patch:
                patch.setattr(sorting, "put", dying(sorting.put))
                patch.setattr(sorting, "move", dying(sorting.move))
                try:
                    sort_album(album, out, quiet, way=way)
                except KeyboardInterrupt:
                    with (out / JOURNAL).open("a") as file:
                        file.write('{"target": "half a li')
            result = sort_album(album, out, quiet, way=way)
            fresh = tmp_path / f"fresh{chance.random()}"
            sort_album(album, fresh, quiet, way=way)
            assert places(out) == places(fresh)
            assert len(tree(out)) == len(tree(fresh)) and result.left == ()
        unsort_album(album, out, quiet)
    assert not out.exists()


def test_notes_from_elsewhere_lead_nowhere_else(found: Path, tmp_path: Path):
    out = tmp_path / "out"
    victim = tmp_path / "victim.png"
    victim.write_text("mine")
    with Album.open(found) as album:
        sort_album(album, out, quiet)
        text = (out / JOURNAL).read_text()
        target = next(path for path in tree(out))
        lines = [text.replace(target, "../victim.png"), text.replace(target, str(victim)), "[1]", "{}", "nul"]
        (out / JOURNAL).write_text("\n".join(lines) + '\n{"target": 7}\n')
        unsort_album(album, out, quiet)
    assert victim.read_text() == "mine"


def test_what_lies_behind_a_link_out_of_the_folder_is_never_taken(photos: Path, found: Path, tmp_path: Path):
    """Not even where the notes, which may come from anybody, say that sort has placed it."""
    out = tmp_path / "out"
    with Album.open(found) as album:
        name_photo(album, **REDS)
        sort_album(album, out, quiet)
        for path in (out / "Ruby").iterdir():
            path.unlink()
        (out / "Ruby").rmdir()
        (out / "Ruby").symlink_to(photos / "a")
        name_photo(album, red1="Ada")
        said = {skip.reason for skip in sort_album(album, out, quiet).skipped}
        assert said == {f"{out / 'Ruby'} is a link that leads elsewhere"}
        unsort_album(album, out, quiet)
    assert {path.name for path in (photos / "a").iterdir()} == {"red0.png", "red1.png", "red2.png"}


def test_a_photo_that_got_a_comment_is_moved_and_taken_back_as_before(
    photos: Path, found: Path, tmp_path: Path
):
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from facesearch.album.scan import scan
    from tests.helpers.album import Halves
    from tests.helpers.drawn import ColourEncoder

    out, path = tmp_path / "out", photos / "a" / "red1.png"
    with Album.open(found) as album:
        name_photo(album, **REDS)
        sort_album(album, out, quiet)
    info = PngInfo()
    info.add_text("Comment", "rated since")
    Image.open(path).save(path, pnginfo=info)
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    with Album.open(found) as album:
        name_photo(album, red1="Ada")
        result = sort_album(album, out, quiet)
        assert (result.made, result.moved, result.left) == (0, 1, ())
        assert unsort_album(album, out, quiet).left == () and not out.exists()


def test_one_run_at_a_time(found: Path, tmp_path: Path):
    with Album.open(found) as album:
        sort_album(album, tmp_path / "out", quiet)
        with locked_file(tmp_path / "out" / LOCK), pytest.raises(SortBusy):
            sort_album(album, tmp_path / "out", quiet)
