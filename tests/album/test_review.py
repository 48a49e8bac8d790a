"""An album's review: what was reviewed is enrolled, a wrong review changes nothing, and its page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from facesearch.album.album import Album
from facesearch.album.arrange import arrange
from facesearch.album.review import COLUMNS, apply, as_cell, of_cell, read_review, review_rows
from facesearch.album.scan import face_pictures, recognise, scan
from facesearch.album.sort import sort_album
from facesearch.album.standing import Standing
from facesearch.errors import BadReview
from facesearch.gallery.store.rows import NewFace, Threshold
from facesearch.gallery.store.store import Store
from facesearch.report.album import applied, write_review
from tests.helpers.album import (
    BLUE,
    CUT,
    GREEN,
    RED,
    Halves,
    group_of,
    name_groups,
    save_table,
    state,
    table_of,
)
from tests.helpers.drawn import ColourEncoder, save_colour
from tests.helpers.saying import quiet

# ---- review


def test_the_review_holds_every_face_and_reads_back(found: Path):
    rows = table_of(found / "review.csv")
    assert list(rows[0]) == [*COLUMNS, "album", "gallery"] and len(rows) == 9
    assert [line.face for line in read_review(found / "review.csv")] == [row["face"] for row in rows]
    assert [row["photo"] for row in rows if not row["group"]] == ["blue.png"]


def test_exactly_what_was_reviewed_is_enrolled(found: Path, tmp_path: Path):
    review = name_groups(found, tmp_path / "r.csv", red1="Ruby")
    with Album.open(found) as album:
        result = apply(album, tmp_path / "g", review, None)
    assert result.enrolled == {"Ruby": 4} and (result.named, result.unnamed, result.known) == (4, 5, 0)
    with Store.open(tmp_path / "g") as gallery:
        assert [(p.name, p.faces) for p in gallery.faces.people()] == [("Ruby", 4)]
        assert {source for source, _ in gallery.faces.photos_of("Ruby")} <= {
            "red0.png",
            "red1.png",
            "red2.png",
            "both.png",
            "copy of red0.png",
        }
        before = gallery.notes.generation
    with Album.open(found) as album:
        again = apply(album, tmp_path / "g", review, None)
    assert again.enrolled == {} and again.known == 4
    with Store.open(tmp_path / "g") as gallery:
        assert gallery.notes.generation == before


def test_an_enrolled_vector_is_the_scanned_one(found: Path, tmp_path: Path):
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", blue="Bo"), None)
        faces, vectors = album.faces_and_vectors()
    place = [face.name for face in faces].index("Bo")
    with Store.open(tmp_path / "g") as gallery:
        assert (gallery.faces.vectors_of("Bo") @ vectors[place]).tolist() == pytest.approx([1], abs=1e-3)
        (seen,) = gallery.faces.seen(gallery.faces.ids(["Bo"]).tolist()).values()
    assert seen.box == faces[place].box and seen.sharpness == pytest.approx(faces[place].sharpness)


def test_what_an_album_says_of_a_face_that_can_be_none_is_not_enrolled_with_it(found: Path):
    with Album.open(found) as album:
        face = album.faces()[0]
    assert face.seen() is not None
    for wrong in ({"box": (0.0, 0.0, -1.0, 5.0)}, {"score": 7.0}, {"landmarks": "a b"}, {"sharpness": "x"}):
        assert replace(face, **wrong).seen() is None


def test_one_name_for_two_groups_joins_them_and_a_new_label_splits(found: Path, tmp_path: Path):
    rows = table_of(found / "review.csv")
    for row in rows:
        if row["photo"] == "both.png":
            row["group"] = "those two"
        if row["photo"].endswith(("red1.png", "green1.png")):
            row["name"] = "Kim"
    was = state(found)
    with Album.open(found) as album:
        apply(album, tmp_path / "g", save_table(tmp_path / "r.csv", rows), None)
    now = state(found)
    joined = min(was["a/red0.png#1"][0], was["b/green0.png#1"][0])
    assert {now[f"{c}.png#1"][:2] for c in ("a/red1", "a/red2", "b/green0", "b/green1", "b/green2")} == {
        (joined, "Kim")
    }
    assert now["both.png#1"] == now["both.png#2"] and now["both.png#1"][0] > max(
        group for group, _, _ in was.values()
    )
    assert now["both.png#1"][1] == "" and now["blue.png#1"] == (0, "", False)


def test_two_names_in_one_group_split_it_when_every_face_has_one(found: Path, tmp_path: Path):
    rows = table_of(found / "review.csv")
    red = group_of(rows, "red1.png")
    own = [row for row in rows if row["group"] == red]
    for row, name in zip(own, ["Ann", "Ann", "Ann", "Eve"], strict=True):
        row["name"] = name
    with Album.open(found) as album:
        apply(album, tmp_path / "g", save_table(tmp_path / "r.csv", rows), None)
    groups = {name: {group for group, n, _ in state(found).values() if n == name} for name in ("Ann", "Eve")}
    assert groups["Ann"] == {int(red[1:])} and len(groups["Eve"]) == 1 and groups["Eve"] != groups["Ann"]
    own[1]["name"] = ""
    with Album.open(found) as album, pytest.raises(BadReview, match="'Ann' and 'Eve'"):
        apply(album, tmp_path / "g", save_table(tmp_path / "r.csv", rows), None)


def test_a_face_put_aside_is_in_no_group_and_is_not_grouped_again(photos: Path, found: Path, tmp_path: Path):
    review = name_groups(found, tmp_path / "r.csv", red1="-")
    with Album.open(found) as album:
        assert apply(album, tmp_path / "g", review, None).aside == 1
        arrange(album, "average", CUT, again=True)
    assert state(found)["a/red1.png#1"] == (0, "", True) and not (tmp_path / "g").exists()


# ---- what was said stays said


def scanned_again(photos: Path, folder: Path, *, again: bool = True) -> list[dict[str, str]]:
    scan(photos, folder, ColourEncoder(), Halves(), quiet)
    with Album.open(folder) as album:
        arrange(album, "average", CUT, again=again)
        write_review(album, None, "")
    return table_of(folder / "review.csv")


@pytest.mark.parametrize("again", [False, True])
def test_a_face_moved_to_no_group_stays_out_of_it_and_out_of_its_name(
    photos: Path, found: Path, tmp_path: Path, again: bool
):
    rows = table_of(found / "review.csv")
    red = group_of(rows, "red1.png")
    for row in rows:
        if row["group"] == red:
            row["name"] = "Ruby"
            if row["photo"].endswith("red2.png"):
                row["group"] = row["name"] = ""
    with Album.open(found) as album:
        apply(album, tmp_path / "g", save_table(tmp_path / "r.csv", rows), None)
    save_colour(photos / "c" / "red9.png", RED, shade=99)
    for _ in range(2):
        (row,) = [row for row in scanned_again(photos, found, again=again) if "red2" in row["photo"]]
        assert (row["group"], row["name"], row["suggested"], row["not"]) == ("", "", "", "Ruby")
        with Album.open(found) as album:
            assert apply(album, tmp_path / "g", found / "review.csv", None).enrolled == {}
        (photos / "a" / "red2.png").rename(photos / "red2.png") if not (photos / "red2.png").exists() else 0


def test_a_new_face_in_a_named_group_is_suggested_and_takes_the_name_when_somebody_says_so(
    photos: Path, found: Path, tmp_path: Path
):
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", red1="Ruby"), None)
    for i in range(2):
        save_colour(photos / "c" / f"red{7 + i}.png", RED, shade=90 + i)
    rows = scanned_again(photos, found)
    new = [row for row in rows if row["photo"].startswith("c/")]
    assert [(row["name"], row["suggested"], row["state"]) for row in new] == [("", "Ruby", "new")] * 2
    assert {row["group"] for row in new} == {group_of(rows, "red1.png")}
    with Album.open(found) as album:
        untouched = apply(album, tmp_path / "g", found / "review.csv", None)
    assert untouched.enrolled == {} and untouched.unnamed == 7
    new[0]["name"] = "Ruby"
    with Album.open(found) as album:
        said = apply(album, tmp_path / "g", save_table(tmp_path / "s.csv", rows), None)
    assert said.enrolled == {"Ruby": 1}


def test_a_match_of_the_gallery_is_rejected_in_the_column_not(photos: Path, found: Path, tmp_path: Path):
    with Album.open(found) as album:
        faces, vectors = album.faces_and_vectors()
        blue = next(i for i, face in enumerate(faces) if not face.group)
        with Store.create(tmp_path / "g", album.encoder_id, 12, "colours") as gallery:
            gallery.faces.add([NewFace("Bo", "0" * 64, "b.png", vectors[blue])])
            gallery.notes.set_threshold(Threshold(0.9, 0.01, "made up", 0, 3, by="best-photo"))
            recognise(album, gallery)
        write_review(album, None, "")
        rows = table_of(found / "review.csv")
        row = next(row for row in rows if row["photo"] == "blue.png")
        assert (row["suggested"], row["state"]) == ("Bo", "known")
        row["not"] = "Bo"
        apply(album, tmp_path / "g", save_table(tmp_path / "r.csv", rows), None)
        for _ in range(2):
            sort_album(album, tmp_path / "out", quiet)
            assert not (tmp_path / "out" / "Bo").exists()
            with Store.open(tmp_path / "g") as gallery:
                recognise(album, gallery)
            (shown,) = [row for row in review_rows(album) if row.photo == "blue.png"]
            assert (shown.suggested, shown.nearest, shown.state) == ("", "", "new")
        row["name"], row["not"] = "Bo", ""  # said otherwise later: the later word wins
        assert apply(album, tmp_path / "g", save_table(tmp_path / "r.csv", rows), None).enrolled == {"Bo": 1}
        assert review_rows(album)[-1].refused == ""


def test_two_groups_said_not_to_be_one_person_are_not_asked_about_or_joined_again(
    photos: Path, found: Path, tmp_path: Path
):
    def asked(album: Album) -> set[tuple[str, str]]:
        return {(row.group, row.perhaps) for row in review_rows(album) if row.perhaps}

    with Album.open(found) as album:
        faces = album.faces()
        red, green = sorted({face.group for face in faces if face.group})
        alone = next(face for face in faces if not face.group)
        Standing(alike=((red, green, 0.8),), leans={alone.face_id: red}).keep(album)
        assert asked(album) == {(f"g{red}", f"g{green}"), (f"g{green}", f"g{red}"), ("", f"g{red}")}
        write_review(album, None, "")
        rows = table_of(found / "review.csv")
        for row in rows:
            if row["group"] == f"g{green}" or not row["group"]:
                row["not"] = f"g{red}"
        before = state(found)
        apply(album, tmp_path / "g", save_table(tmp_path / "r.csv", rows), None)
        assert asked(album) == set() and state(found) == before
    scanned_again(photos, found)
    with Album.open(found) as album:
        Standing(alike=((red, green, 0.8),), leans={alone.face_id: red}).keep(album)
        assert asked(album) == set()
        arrange(album, "average", -1.0, again=True)  # a cut at which all are one
    now = state(found)
    reds, greens = ({now[f"{c}{i}.png#1"][0] for i in range(3)} for c in ("a/red", "b/green"))
    assert not (reds & greens) - {0}


def test_an_older_review_applied_again_untouched_says_nothing(photos: Path, found: Path, tmp_path: Path):
    old = found.with_name("old.csv")
    old.write_bytes((found / "review.csv").read_bytes())
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", red1="Ruby", blue="-"), None)
    save_colour(photos / "c" / "green9.png", GREEN, shade=99)
    scanned_again(photos, found)
    before = state(found)
    with Album.open(found) as album:
        apply(album, tmp_path / "g", old, None)
    assert state(found) == before


WRONG = {
    "says that it is not them": "group,name,face,not\n,Ada,{0},Ada\n",
    "no column is called face": "group,name\ng1,Ada\n",
    "has no face '000000000000/1'": "group,name,face\ng1,Ada,000000000000/1\n",
    "stands in line 2 already": "group,name,face\ng1,Ada,{0}\ng1,,{0}\n",
    "cannot be a person's name": "group,name,face\ng1,A\x07da,{0}\n",
    "it has 1 cells": "group,name,face\nabc\n",
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_wrong_review_changes_nothing(found: Path, tmp_path: Path, reason: str):
    face, before = table_of(found / "review.csv")[0]["face"], state(found)
    (tmp_path / "r.csv").write_text(WRONG[reason].format(face))
    with Album.open(found) as album, pytest.raises(BadReview) as error:
        apply(album, tmp_path / "g", tmp_path / "r.csv", None)
    assert reason in str(error.value).lower() and state(found) == before and not (tmp_path / "g").exists()


def test_reviews_from_spreadsheets_are_read_and_other_encodings_refused(found: Path, tmp_path: Path):
    rows = table_of(found / "review.csv")
    rows[0]["name"] = "Zoë; the second"
    save_table(tmp_path / "semi.csv", rows, delimiter=";")
    text = (tmp_path / "semi.csv").read_text("utf-8")
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_review(tmp_path / "bom.csv")[0].name == "Zoë; the second"
    (tmp_path / "old.csv").write_bytes(text.encode("cp1252"))
    with pytest.raises(BadReview, match="UTF-8"):
        read_review(tmp_path / "old.csv")


@pytest.mark.parametrize("name", ["=1+1", "@x", "-5", "'=a", "-", "Ada", "'Tis", "\tx"])
def test_no_name_is_a_formula_in_a_spreadsheet_and_all_come_back(name: str):
    cell = as_cell(name)
    assert of_cell(cell) == name and (name == "-" or not cell.startswith(("=", "@", "-", "\t")))


def test_rows_that_are_not_in_the_file_stay_as_they_are(found: Path, tmp_path: Path):
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", red1="Ruby"), None)
        write_review(album, None, "")
    before = state(found)
    rows = [row for row in table_of(found / "review.csv") if row["photo"] == "blue.png"]
    rows[0]["name"] = "Bo"
    with Album.open(found) as album:
        assert apply(album, tmp_path / "g", save_table(tmp_path / "s.csv", rows), None).enrolled == {"Bo": 1}
    after = state(found)
    assert {key: value for key, value in after.items() if "blue" not in key} == {
        k: v for k, v in before.items() if "blue" not in k
    }


def test_a_name_taken_back_is_told_since_the_gallery_still_has_it(found: Path, tmp_path: Path):
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", blue="Bo"), None)
        write_review(album, None, "")
        result = apply(album, tmp_path / "g", name_groups(found, tmp_path / "s.csv", blue="Bob"), None)
    assert result.elsewhere == (("Bo", "blue.png"),) and result.enrolled == {"Bob": 1}


def test_reviewed_groups_survive_new_photos_and_a_grouping_anew(photos: Path, found: Path, tmp_path: Path):
    with Album.open(found) as album:
        apply(album, tmp_path / "g", name_groups(found, tmp_path / "r.csv", red1="Ruby"), None)
    before = state(found)
    for i in range(4):
        save_colour(photos / "new" / f"{i}.png", BLUE, shade=30 + i)
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    with Album.open(found) as album:
        arrange(album, "average", CUT, again=True)
        rows = review_rows(album)
    after = state(found)
    assert all(after[key] == value for key, value in before.items() if value[1])
    assert (
        len({after[f"new/{i}.png#1"][0] for i in range(4)} | {after["blue.png#1"][0]}) == 1
        and after["blue.png#1"][0] > 0
    )
    assert {row.state for row in rows} == {"enrolled", "new"}


def test_a_review_that_was_changed_and_not_applied_is_never_overwritten(found: Path, tmp_path: Path):
    name_groups(found, found / "review.csv", red1="Ruby")
    with Album.open(found) as album:
        kept = write_review(album, None, "").kept
        assert kept is not None and "Ruby" in kept.read_text()
        assert write_review(album, None, "").kept is None
        name_groups(found, found / "review.csv", red1="Ruby")
        apply(album, tmp_path / "g", found / "review.csv", None)
        applied(album)
        assert write_review(album, None, "").kept is None
    assert {row["name"] for row in table_of(found / "review.csv")} == {"Ruby", ""}


# ---- the page


def test_the_page_shows_no_face_unless_asked_and_escapes_everything(photos: Path, found: Path):
    (photos / "b" / "green0.png").rename(photos / "b" / "<script>alert(1)<\"'.png")
    scan(photos, found, ColourEncoder(), Halves(), quiet)
    with Album.open(found) as album:
        write_review(album, None, "facesearch scan <x>")
        page = (found / "review.html").read_text("utf-8")
        assert (
            "data:image" not in page
            and "<script>alert" not in page
            and "&lt;script&gt;alert(1)&lt;&#34;&#39;.png" in page
            and "alert(1)<" not in page
            and "scan &lt;x&gt;" in page
        )
        pictures = face_pictures(album, 48, quiet)
        assert len(pictures) == 9 and write_review(album, pictures, "").crops == 9
    page = (found / "review.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 9 and "holds pictures of people" in page
    assert "http://" not in page and "https://" not in page and 'src="data:' in page
