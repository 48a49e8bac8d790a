"""An audit as a whole, of datasets and of galleries: its lists, its tables, its sheet and its command."""

from __future__ import annotations

import csv
import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facesearch.datasets.table import Dataset
from facesearch.errors import NothingToDo
from facesearch.evaluation.audit import COPY, Labelled, audit, labelled_dataset, labelled_gallery
from facesearch.gallery.store.rows import NewFace
from facesearch.gallery.store.store import Store
from facesearch.report import audit as report_audit
from facesearch.report.audit import findings
from tests.helpers.audit import D, crowd, face, labelled, swapped, through_jpeg
from tests.helpers.drawn import ColourEncoder
from tests.helpers.saying import quiet

# ---- the whole


def test_nothing_to_compare_with():
    vectors, codes = crowd(people=2, photos=2)
    with pytest.raises(NothingToDo, match="compares photos"):
        audit(labelled(vectors[:1], codes[:1]), quiet)
    alone = audit(labelled(vectors[:2], codes[:2]), quiet)  # one person only: nobody to be mistaken for
    assert (alone.wrong, alone.same, alone.clusters) == ((), (), ())
    single = audit(labelled(vectors[[0, 2]], codes[[0, 2]]), quiet)  # one photo each
    assert single.unjudged == 2 and single.wrong == ()
    nobody = labelled(vectors, codes)
    nameless = audit(
        Labelled("x", nobody.files, np.full(4, ""), nobody.splits, nobody.sha256, vectors), quiet
    )
    assert nameless.nameless == 4 and nameless.wrong == ()


def test_photos_without_a_name_do_not_shift_the_others():
    vectors, codes = crowd()
    rows = [40, 200]
    data = labelled(vectors, swapped(codes, rows))
    people = data.people.copy()
    people[[0, 1, 100]] = ""
    result = audit(Labelled("x", data.files, people, data.splits, data.sha256, vectors), quiet)
    assert {w.row for w in result.wrong} == set(rows) and result.nameless == 3
    assert all(codes[row] == codes[w.row] for w in result.wrong for row, _ in w.nearest_other)


@pytest.fixture
def spoilt(toy_dataset: Dataset) -> Labelled:
    """The toy album with two recompressed copies (one mirrored, one under another name) and a black crop."""
    rows = toy_dataset.rows
    mirrored = np.ascontiguousarray(toy_dataset.crops[5][:, ::-1])
    added = np.stack(
        [
            through_jpeg(toy_dataset.crops[0], 60),
            through_jpeg(mirrored, 60),
            np.zeros((112, 112, 3), np.uint8),
        ]
    )
    crops = np.concatenate([toy_dataset.crops, added])
    vectors = ColourEncoder().embed(crops)
    vectors[-2] = vectors[5]  # as an encoder that averages over the mirror image would have it
    other = "val" if rows[0].split == "train" else "train"
    return Labelled(
        "album",
        (*(r.file for r in rows), "a.png", "b.png", "black.png"),
        np.array([*(r.person for r in rows), rows[0].person, "p005", rows[9].person]),
        np.array([*(r.split for r in rows), other, rows[5].split, "train"]),
        np.array([*(r.sha256 for r in rows), "a", "b", "c"]),
        vectors,
        crops,
    )


def test_copies_and_spoilt_crops_in_pictures(spoilt: Labelled):
    result = audit(spoilt, quiet)
    n = len(spoilt)
    found = {(c.a, c.b): c for c in result.copies}
    assert found[0, n - 3].kind == "same picture" and found[5, n - 2].kind == "mirrored"
    assert all(c.correlation >= COPY for c in result.copies)
    told = {(c["file"], c["other_file"]): c for c in findings(result)["copies"]}
    across = told[spoilt.files[0], "a.png"], told[spoilt.files[5], "b.png"]
    assert [(c["across_splits"], c["across_people"]) for c in across] == [(True, False), (False, True)]
    assert result.crops is not None and result.crops[0].row == n - 1 and result.crops[0].spoilt


def test_a_spoilt_crop_says_nothing_about_its_name():
    vectors, codes = crowd()
    data = labelled(vectors, swapped(codes, [40, 200]))
    crops = np.stack([face(seed) for seed in range(len(codes))])
    crops[40] = 0
    result = audit(replace(data, crops=crops), quiet)
    assert [w.row for w in result.wrong] == [200] and result.crops is not None and result.crops[0].row == 40


# ---- the command


def test_the_table_the_json_the_tables_and_the_sheet_say_the_same(
    run, spoilt: Labelled, tmp_path: Path, toy_dataset: Dataset
):
    result = audit(spoilt, quiet)
    lists = report_audit.findings(result)
    told = json.loads(report_audit.audit_json(result))
    assert told["photos"] == len(spoilt) and told["copies"][0]["file"] == lists["copies"][0]["file"]
    lines = report_audit.audit_lines(result, 1)
    assert f"{len(lists['copies'])} duplicate and near-duplicate photos" in "\n".join(lines)
    if len(lists["copies"]) > 1:
        assert f"       ... and {len(lists['copies']) - 1} more (--top)" in lines
    written = report_audit.write_tables(result, tmp_path / "tables")
    assert sorted(path.name for path in written) == sorted(f"{name}.csv" for name in lists)
    for path in written:
        with path.open(newline="") as file:
            assert len(list(csv.DictReader(file))) == len(lists[path.stem])
    shown = report_audit.write_sheet(result, tmp_path / "sheet.html", 2)
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("data:image/jpeg;base64,") == shown > 0
    assert "http" not in page.replace("http-equiv", "")
    assert stat.S_IMODE((tmp_path / "sheet.html").stat().st_mode) == 0o600
    with pytest.raises(ValueError, match="needs crops"):
        report_audit.write_sheet(replace(result, data=replace(spoilt, crops=None)), tmp_path / "no.html", 2)


def test_a_name_is_text_on_the_sheet(spoilt: Labelled, tmp_path: Path):
    people = np.where(spoilt.people == spoilt.people[0], "<script>alert(1)</script>\"'", spoilt.people)
    data = Labelled("<x>", spoilt.files, people, spoilt.splits, spoilt.sha256, spoilt.vectors, spoilt.crops)
    report_audit.write_sheet(audit(data, quiet), tmp_path / "s.html", 5)
    assert (
        "<script>" not in (tmp_path / "s.html").read_text()
        and "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;" in (tmp_path / "s.html").read_text()
        and "<h1>&lt;x&gt;</h1>" in (tmp_path / "s.html").read_text()
    )


def test_the_command_on_a_dataset_and_on_a_gallery(run, toy_dataset: Dataset, weights: Path, tmp_path: Path):
    asked = run(
        "audit",
        "--data",
        toy_dataset.folder,
        "--weights",
        weights,
        "--csv",
        "t",
        "--html",
        "s.html",
        "--top",
        2,
    )
    assert (
        asked.stdout.startswith(f"{toy_dataset.folder}: 48 photos of 6 people\n")
        and "crops that look unusable" in asked.stdout
    )
    assert (
        "5 tables are in t" in asked.stderr
        and "photos of people" in asked.stderr
        and Path("s.html").is_file()
    )
    assert (
        json.loads(run("audit", "--data", toy_dataset.folder, "--weights", weights, "--json").stdout)[
            "crops_judged"
        ]
        is True
    )
    run("build-index", "--data", toy_dataset.folder, "--weights", weights)
    alone = run("audit", "--gallery", "index")
    assert (
        alone.stdout.startswith("index: 48 photos of 6 people\n") and "no crops in a gallery" in alone.stdout
    )
    assert "bad_crops" not in json.loads(run("audit", "--gallery", "index", "--json").stdout)
    assert (
        "a gallery holds no photos" in run("audit", "--gallery", "index", "--html", "x.html", code=2).stderr
    )
    assert "facesearch prepare" in run("audit", code=1).stderr  # bare: the default data, which is not here


def test_a_gallery_is_audited_by_its_vectors(tmp_path: Path):
    vectors, codes = crowd()
    wrong = swapped(codes, [30, 99])
    with Store.create(tmp_path / "g", "e" * 64, D, "encoder") as gallery:
        gallery.faces.add(
            [
                NewFace(f"p{c:02d}", f"{i:064x}", f"{i}.jpg", v)
                for i, (c, v) in enumerate(zip(wrong, vectors, strict=True))
            ]
        )
        gallery.faces.add([NewFace("p29", f"{0:064x}", "again.jpg", vectors[0])])
        data = labelled_gallery(gallery)
    result = audit(data, quiet)
    assert {data.files[w.row] for w in result.wrong} >= {"30.jpg", "99.jpg"}
    assert [(c.kind, {data.files[c.a], data.files[c.b]}) for c in result.copies] == [
        ("same file", {"0.jpg", "again.jpg"})
    ]


def test_the_dataset_of_the_toys_is_what_is_audited(toy_dataset: Dataset):
    data = labelled_dataset(toy_dataset, ColourEncoder().embed(toy_dataset.crops))
    assert len(data) == 48 and data.files[3] == toy_dataset.rows[3].file and data.crops is toy_dataset.crops
