"""What others named is shown, not obeyed: on the terminal, in commands to be pasted, in tables."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facesearch import errors
from facesearch.errors import calm, pasted, shown, unshown, written
from facesearch.faces.names import clean_name, clean_source
from facesearch.files import as_cell, of_cell, replace_csv
from facesearch.records import Skipped
from facesearch.report import lines as report
from tests.helpers.drawn import own

TITLE = "a\x1b]0;owned\x07.png"
CLIP = "\x1b]52;c;aGk=\x07x.png"
FORGED = "x.png\nface 1 of 1  match: Ada.png"
TURNED = "\u202egpj.png"
HIDDEN = "a\u200bb\ufeff.png"
BYTES = os.fsdecode(b"\xe9t\xe9.jpg")
NAMES = [TITLE, CLIP, FORGED, TURNED, HIDDEN, "\x9b2Jy.png", "\r erased.png", "two\u2028lines.png"]
UNSEEN = set("\x1b\x07\x9b\r\u202e\u200b\ufeff\u2028\x7f")
posix = pytest.mark.skipif(os.name != "posix", reason="such names cannot be given here")


@pytest.mark.parametrize("name", [*NAMES, BYTES, "C:\\x1b", "\\\x1b", "\\", "\\\\", "a\\b"])
def test_a_name_is_shown_on_one_line_and_comes_back(name: str):
    seen = shown(name)
    assert seen.isprintable() and unshown(seen) == name and calm(seen) == seen
    assert not UNSEEN & set(seen) and seen.encode()


@given(st.text(st.one_of(st.characters(), st.sampled_from("\\xuU\x1b0a1")), max_size=30))
def test_every_text_comes_back(text: str):
    assert unshown(shown(text)) == text and len(shown(text).splitlines()) <= 1


@pytest.mark.parametrize("name", ["Zoë", "村上春樹", "O'Brien, Ada", "محمد", "Ada 🙂", "a b"])
def test_what_can_be_read_stays_as_it_is(name: str):
    assert shown(name) == name == calm(name)


@posix
@pytest.mark.parametrize(
    "name",
    [
        "$(touch X)",
        "`touch X`",
        "a; touch X",
        "'$(touch X)'",
        '"$(touch X)"',
        "a\n$(touch X)",
        "-x",
        "\x1b'\\$(touch X)",
        BYTES,
        "Zoë 🙂",
    ],
)
def test_a_pasted_name_is_one_word_and_runs_nothing(tmp_path: Path, name: str):
    code = "import os, sys; os.write(1, os.fsencode(sys.argv[1]))"
    line = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {pasted(name)}"
    assert calm(line) == line and "\n" not in line
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True)
    assert done.stdout == os.fsencode(name) and not (tmp_path / "X").exists()


def test_no_error_puts_what_others_named_on_the_terminal_raw():
    evil = "x\x1b]0;t\x07\nError: $(touch X)\u202e"
    for error in (
        errors.UnusablePhoto(Path(evil), evil),
        errors.NotFound(Path(evil), "photo", evil),
        errors.UnknownPhoto(evil, (evil,)),
        errors.PhotosMissing(Path(evil), (evil,)),
        errors.NoAlbum(Path(evil)),
        errors.ProjectionDiffers(Path(evil), evil, evil),
        errors.EncoderMismatch(Path(evil), evil, evil),
        errors.CannotRead(Path(evil), evil),
    ):
        said = error.message()
        assert calm(said) == said and "\nError" not in said
    assert "'$(touch X)'" in errors.NoGallery(Path("$(touch X)")).message()
    assert str(errors.CannotRead(Path(evil), "x")).startswith(evil), "programs get it exactly"


@posix
def test_query_and_enroll_show_such_names_and_go_on(run: Any, gallery: Path, album: Path, tmp_path: Path):
    folder = tmp_path / "others"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        shutil.copy(own(album, 0, number % 8), folder / name)
        (folder / f"bad{name}").write_bytes(b"no picture")
    shutil.copy(own(album, 0, 0), os.fsencode(folder) + b"/\xe9t\xe9.jpg")
    found = run("query", folder, "--aligned")
    for line in (found.stdout + found.stderr).splitlines():
        assert not UNSEEN & set(line) and not line.startswith("face 1"), repr(line)
    assert "\\x1b]0;owned\\x07.png" in found.stdout and "\\xe9t\\xe9.jpg  face 1" in found.stdout
    as_json = run("query", folder, "--aligned", "--json")
    told = {unshown(Path(photo["photo"]).name) for photo in json.loads(as_json.stdout)["photos"]}
    assert {*NAMES, BYTES} <= told and not UNSEEN & set(as_json.stdout)
    run("enroll", "Eve", *(folder / name for name in NAMES), "--aligned")
    listed = run("list", "Eve")
    assert len(listed.stdout.splitlines()) == len(NAMES) and not UNSEEN & set(listed.stdout)
    assert "is right" in run("verify").stdout


def test_a_thresholds_words_are_shown():
    from facesearch.gallery.store.rows import Threshold

    evil = Threshold(0.5, 0.01, "m\x1b]0;t\x07\nmatch: Ada", 1, 2)
    assert "\n" not in report.threshold_words(evil) and "\\x1b" in report.threshold_words(evil)


def test_names_are_stored_by_one_rule_in_every_door():
    from facesearch.web.uploads import _own_name

    for name in NAMES:
        kept = clean_source(written(Path(name).name))
        assert clean_name(kept) == kept and not {"\x1b", "\n", "\r", "\x9b", "\u2028"} & set(kept)
        assert clean_source(written(_own_name(name))) == kept == clean_source(kept)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "'=1", "''", "-"])
def test_no_cell_for_a_spreadsheet_is_a_formula_and_all_come_back(tmp_path: Path, text: str):
    replace_csv(tmp_path / "t.csv", ["a", "b"], [[text, -0.5]])
    with (tmp_path / "t.csv").open(newline="") as file:
        cell, number = list(csv.reader(file))[1]
    assert cell == as_cell(text) and (cell == "-" or cell[0] not in "=+-@\t\r\n") and of_cell(cell) == text
    assert number == "-0.5", "numbers stay numbers"


def test_a_table_of_ours_stays_exact_and_a_name_that_is_not_utf8_is_written(tmp_path: Path):
    replace_csv(tmp_path / "t.csv", ["a"], [["=1"]], exact=True)
    assert (tmp_path / "t.csv").read_text() == "a\n=1\n"
    replace_csv(tmp_path / "t.csv", ["a"], [[BYTES]])
    assert "udce9t" in (tmp_path / "t.csv").read_text()


def test_skipped_photos_are_shown(capsys: pytest.CaptureFixture[str]):
    from facesearch.cli.terminal import report_skips

    report_skips([Skipped(Path(FORGED), "r\x1b[2J")])
    assert capsys.readouterr().err.splitlines()[0] == f"skipped {shown(FORGED)}: r\\x1b[2J"


@posix
def test_a_folder_that_can_be_no_name_is_skipped_beside_good_ones(
    run: Any, album: Path, weights: Path, tmp_path: Path
):
    for name in ("Ada", "Eve\x1b[2J\n$(touch X)", os.fsdecode(b"\xe9t\xe9"), "n" * 201):
        (tmp_path / "people" / name).mkdir(parents=True)
        shutil.copy(own(album, len(name) % 6, 0), tmp_path / "people" / name / "a.png")
    done = run("enroll", "--from", "people", "--aligned", "--weights", weights)
    assert done.stdout == "Ada: 1 photo enrolled\n" and "3 skipped" in done.stderr
    assert "Eve\\x1b[2J\\x0a$(touch X)/a.png: its folder cannot be a person's name" in done.stderr
    shutil.rmtree(tmp_path / "people" / "Ada")
    shutil.rmtree(tmp_path / "people" / os.fsdecode(b"\xe9t\xe9"))
    assert "cannot be a person's name" in run("enroll", "--from", "people", "--aligned", code=1).stderr
