"""scripts/examples.py: what a block shows is run again, written as the block had it, and compared."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest
from examples import (
    BLOCK,
    ROOT,
    TABLE,
    TABLES,
    WORLDS,
    Example,
    Step,
    World,
    differences,
    examples,
    filled,
    pages,
    renewed,
    run_example,
    same,
    steps,
    world,
    written,
)

ALL = [example for page in pages() for example in examples(page)]
SLOW = {
    "researcher",
    "archivist",
    "engineer",
    "foreign",
    "thresholds",
    "strangers",
    "audit-gallery",
    "encrypt",
    "milvus",
}
"""Those that train, or run many commands."""


def test_a_block_is_its_commands_with_what_they_showed():
    block = "$ one --two\nshown\n\n# and said\n$ three \\\n    | head -1\nfour\n"
    assert list(steps(block)) == [
        Step("one --two", ("shown", "", "# and said")),
        Step("three \\\n    | head -1", ("four",)),
    ]


@pytest.mark.parametrize(
    ("shown", "out", "err", "expected"),
    [
        ((), ["new"], ["encoder: x"], ["new"]),
        (("old", "# encoder: x"), ["new"], ["encoder: y", "data: z", ""], ["new", "# encoder: y"]),
        (('{"a": 1, "b...',), ['{"a": 22, "bcd": 3}', "more"], [], ['{"a": 22, "...', "more"]),
        (('{"a": 1, "b...',), ["short"], [], ["short"]),
        (
            ("gallery        index", "...", "index          old", "..."),
            [
                "gallery        index",
                "people         1",
                "faces          2",
                "index          new",
                "threshold  3",
            ],
            [],
            ["gallery        index", "...", "index          new", "..."],
        ),
    ],
)
def test_what_was_cut_or_left_out_is_again(
    shown: tuple[str, ...], out: list[str], err: list[str], expected: list[str]
):
    assert written(Step("command", shown), out, err) == expected


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("1.  0.948  p003  5 photos (0.948)", "1.  0.951  p003  5 photos (0.929)"),
        ("5.0% of strangers reach 31.28%", "5.4% of strangers reach 30.11%"),
        (
            "encoder 7756d1284d4f on CPU, 2 threads, bfloat16",
            "encoder aa56d1284d4f on CPU, 1 thread, float32",
        ),
        ("rebuilt in 0.1 s", "rebuilt in 23 s"),
        ('{"score": 0.12345, "per...', '{"score": 0.12, "perso...'),
        ('"generation_before": 2,', '"generation_before": 4,'),
        ("bytes    17735680", "bytes    9735680"),
        ("receipt: gallery/receipts/forget-4.json", "receipt: gallery/receipts/forget-11.json"),
        ("epoch   1/12  train loss 3.1", "epoch   1/12  train loss 2.9 best"),
    ],
)
def test_what_differs_between_machines_is_the_same(shown: str, printed: str):
    assert same(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("1.  0.948  p003  5 photos", "1.  0.900  p003  5 photos"),
        ("1.  0.948  p003  5 photos", "1.  0.948  p004  5 photos"),
        ("p003  5 photos", "p003  6 photos"),
        ("5.0% of strangers", "7.0% of strangers"),
        ("unknown", "match"),
        ("rank-1  0.96  x", "rank-1  x"),
    ],
)
def test_what_says_something_else_is_not(shown: str, printed: str):
    assert not same(shown, printed)


def test_loosely_all_numbers_are_the_same_and_words_are_not():
    assert same("epoch 7, val 0.41 [0.1, 1.0]", "epoch 12, val 0.88 [0.2, 0.9]", loosely=True)
    assert not same("epoch 7, best", "epoch 7, worst", loosely=True)


def test_differences_are_the_lines_that_say_something_else():
    assert differences("one\n0.10\n", "one\n0.11\n") == []
    assert differences("one\ntwo\n", "one\nthree\n") == ["- two\n+ three"]
    assert differences("one\ntwo\n", "one\nand\ntwo\n") == ["+and"]


def test_examples_that_were_not_asked_for_and_all_around_them_stay(tmp_path: Path, monkeypatch: Any):
    text = (
        "# Title\n<!-- example: one -->\n```\n$ a\nold\n```\nwords\n"
        "<!-- example: two in drawn -->\n```console\n"
        "$ b\nold\n```\nend\n<!-- example: two file x.py -->\n```python\nprint()\n```\n"
    )
    here, ran = World(tmp_path, "1"), []
    monkeypatch.setattr(World, "run", lambda self, command: (ran.append(command) or [r"new \1"], []))
    assert renewed(text, "two", here) == text.replace("$ b\nold", "$ b\nnew \\1") and ran == ["b"]
    assert (tmp_path / "x.py").read_text() == "print()\n"
    page = tmp_path / "page.md"
    page.write_text(text)
    assert examples(page) == [Example(page, "one", "empty", False), Example(page, "two", "drawn", False)]


def test_a_world_keeps_what_was_exported_and_ends_what_it_started():
    with world("empty") as here:
        assert here.run("export WHO=ada") == ([], [])
        assert here.run("echo $WHO at 8008; echo so >&2; pwd") == (["ada at 8008", "/home/ada"], ["so"])
        assert here.run("echo up 8008; sleep 100 &") == (["up 8008"], [])
        process = here.running[0]
    assert process.poll() is not None and not here.folder.exists()


def test_the_tables_are_those_of_the_results():
    for page in pages():
        text = page.read_text("utf-8")
        assert filled(text) == text, f"{page}: run: python scripts/examples.py --tables"
        assert {match.group(2) for match in TABLE.finditer(text)} <= set(TABLES)


def test_examples_have_worlds_and_names_of_their_own():
    assert len({example.name for example in ALL}) == len(ALL) > 10
    assert {example.world for example in ALL} <= set(WORLDS)
    for page in pages():
        text = page.read_text("utf-8")
        marks = text.count("<!-- example: ")
        blocks = list(BLOCK.finditer(text))
        assert len(blocks) == marks, f"{page}: a mark without a block of code after it"
        assert all(match.group(4) or match.group(6).startswith("$ ") for match in blocks), page


def test_the_readmes_examples_need_no_data():
    assert {example.world for example in ALL if example.page == ROOT / "README.md"} == {"empty"}


def as_parameter(example: Example) -> Any:
    return pytest.param(example, id=example.name, marks=[pytest.mark.slow] if example.name in SLOW else [])


@pytest.mark.slow
@pytest.mark.parametrize("example", [as_parameter(example) for example in ALL])
def test_an_example_prints_what_the_page_shows(example: Example):
    if example.world == "shipped" and importlib.util.find_spec("skimage") is None:
        pytest.skip("needs the extra [demo]")
    if "$ curl " in example.page.read_text("utf-8") and shutil.which("curl") is None:
        pytest.skip("needs curl")
    before, after = run_example(example)
    assert differences(before, after, example.loosely) == [], (
        f"run: python scripts/examples.py --only {example.name}"
    )
