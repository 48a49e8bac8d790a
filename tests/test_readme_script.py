"""scripts/readme.py: what a block shows is run again and written as the block had it."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from readme import EXAMPLE, README, TABLE, TABLES, Step, filled, renewed, steps, written


def test_a_block_is_its_commands_with_what_they_showed():
    block = "$ one --two\nshown\n\n# and said\n$ three | head -1\n"
    assert list(steps(block)) == [Step("one --two", ("shown", "", "# and said")), Step("three | head -1", ())]


@pytest.mark.parametrize(
    ("shown", "out", "err", "expected"),
    [
        ((), ["new"], ["encoder: x"], ["new"]),
        (("old", "# encoder: x"), ["new"], ["encoder: y", "data: z", ""], ["new", "# encoder: y"]),
        (('{"a": 1, "b...',), ['{"a": 22, "bcd": 3}', "more"], [], ['{"a": 22, "...', "more"]),
        (('{"a": 1, "b...',), ["short"], [], ["short"]),
        (
            ("gallery                index", "...", "index                  old", "..."),
            [
                "gallery                index",
                "people  1",
                "faces   2",
                "index                  new",
                "threshold",
            ],
            [],
            ["gallery                index", "...", "index                  new", "..."],
        ),
    ],
)
def test_what_was_cut_or_left_out_is_again(
    shown: tuple[str, ...], out: list[str], err: list[str], expected: list[str]
):
    assert written(Step("command", shown), out, err) == expected


def test_examples_that_were_not_asked_for_and_all_around_them_stay():
    text = (
        "# Title\n<!-- example: one -->\n```\n$ a\nold\n```\nwords\n<!-- example: two -->\n```\n$"
        " b\nold\n```\nend\n"
    )
    ran: list[str] = []

    @contextmanager
    def world(name: str):
        yield lambda command: (ran.append(f"{name}: {command}") or [r"new \1"], [])

    assert renewed(text, ["two"], world) == text.replace("$ b\nold", "$ b\nnew \\1") and ran == ["two: b"]
    assert renewed(text, [], world).count("new") == 2


def test_the_readmes_tables_are_those_of_the_results_and_its_examples_can_be_run():
    text = README.read_text("utf-8")
    assert filled(text) == text, "run: python scripts/readme.py --tables"
    assert {match.group(2) for match in TABLE.finditer(text)} == set(TABLES)
    for match in EXAMPLE.finditer(text):
        assert match.group(2) == "demo" or match.group(3).startswith("$ "), match.group(2)
