"""What README.md and docs/ say is what there is: commands, options, files, links."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
from examples import pages

from facesearch.cli.main import main

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
QUESTIONS = ROOT / "docs" / "questions.md"
WRITTEN_BY_HAND = [page for page in pages() if "reference" not in page.parts]
LINK = re.compile(r"(?<!\!)\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^()\s]+)\)")


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def short(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def links(page: Path) -> list[tuple[Path, str]]:
    """The files of this repository that a page links to, each with the heading it names, or ""."""
    found = []
    for target in LINK.findall(without_code(text_of(page))):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            found.append(((page.parent / path).resolve() if path else page, anchor))
    return found


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL), re.MULTILINE)
    marks = set(re.findall(r"^\(([\w-]+)\)=$", text_of(page), re.MULTILINE))
    return marks | {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def command_lines(text: str) -> list[tuple[str, list[str]]]:
    """Each command of facesearch that stands in code, with the options beside it."""
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)).replace("\\\n", " ")
    said = re.findall(r"\bfacesearch ((?:album )?[a-z][a-z-]+)\b([^\n`|;#]*)", code)
    return [
        (name, re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", rest))
        for name, rest in said
        if name.split()[0] in main.commands
    ]


def command(name: str) -> click.Command:
    first, *rest = name.split()
    found = main.commands[first]
    if rest:
        assert isinstance(found, click.Group)
        found = found.commands[rest[0]]
    return found


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_on_a_page_that_was_written_by_hand(name: str):
    assert any(f"facesearch {name}" in text_of(page) for page in WRITTEN_BY_HAND)


@pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=short)
def test_every_command_line_has_options_that_exist(page: Path):
    for name, options in command_lines(text_of(page)):
        known = {option for parameter in command(name).params for option in parameter.opts} | {"--help"}
        assert set(options) <= known, f"facesearch {name} {options}"


def test_command_lines_are_found_with_their_options():
    text = "```\n$ facesearch query a --top 2 \\\n    --json | head --lines 1\n```\n"
    text += "`facesearch album export --xmp`"
    assert command_lines(text) == [("query", ["--top", "--json"]), ("album export", ["--xmp"])]
    assert sum(len(command_lines(text_of(page))) for page in WRITTEN_BY_HAND) > 100


@pytest.mark.parametrize("page", pages(), ids=short)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path):
    for path, anchor in links(page):
        assert path.exists(), path
        made = (
            "<!-- made from code: " in text_of(path) if anchor else False
        )  # the site's build looks at these
        assert not anchor or made or anchor in anchors(path), f"{path}#{anchor}"


@pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=short)
def test_every_file_of_the_repository_that_a_page_names_is_there(page: Path):
    for name in set(re.findall(r"`((?:scripts|docs|tests)/[\w./-]+\.\w+)`", text_of(page))):
        assert (ROOT / name).exists(), name


def test_every_extra_is_on_the_page_on_installing():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    page = text_of(ROOT / "docs" / "install.md")
    for extra in project["optional-dependencies"]:
        assert f"| `{extra}` |" in page, extra


def test_the_readme_is_short_and_needs_no_data():
    assert len(README.read_bytes()) <= 12_288
    assert "../shared" not in text_of(README)


def test_twenty_questions_are_answered_within_three_clicks_of_the_readme():
    rows = [row for row in text_of(QUESTIONS).splitlines() if row.startswith("| ") and "](" in row]
    assert len(rows) >= 20
    assert all(row.split("|")[1].strip().endswith("?") for row in rows)
    near, reached = {README}, {README}
    for _ in range(2):  # the third click is on a link in one of these pages
        found = {path for page in near for path, _ in links(page)}
        near = {path for path in found if path.suffix == ".md" and path.is_file()}
        reached |= near
    assert QUESTIONS in reached


def test_no_photo_and_no_machine_path_is_tracked():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    shipped = "facesearch/faces/yunet/face_detection_yunet_2026may.onnx"  # MIT
    assert [
        name for name in tracked if name.endswith((".jpg", ".jpeg", ".onnx", ".npy")) and name != shipped
    ] == []
    results = [
        name
        for name in tracked
        if name.startswith("scripts/results/") and name.endswith((".toml", ".json", ".jsonl"))
    ]
    assert len(results) > 10
    assert [
        name
        for name in results
        if re.search(r'"/(work|home|root|tmp|Users)/', (ROOT / name).read_text("utf-8"))
    ] == []
