"""The site: built without a warning, with links that all lead somewhere, and a reference without gaps."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import fields
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("sphinx", reason="needs the extra [docs]")
pytest.importorskip("fastapi", reason="needs the extra [web]")

import facesearch
from facesearch import errors
from facesearch.cli.main import main
from facesearch.training.recipe import TrainConfig

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
ON_GITHUB = sorted(ROOT.glob("*.md"))
"""What is read in the repository, where links go to files."""
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:scripts|facesearch|tests|docs|index)/[\w./-]+\.\w+)`")
"""A file of the repository that a text names."""


class Links(HTMLParser):
    """The anchors of a page, where its links lead, and what a browser loads for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif "src" in given or tag == "link":
            self.loads.append(given.get("src") or given.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-E", "-W", "--keep-going", "-q"]
    done = subprocess.run([*command, str(DOCS), str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@cache
def links_of(page: Path) -> Links:
    return Links(page.read_text("utf-8"))


@pytest.mark.slow
def test_every_page_is_built_and_every_link_leads_somewhere(site: Path):
    built = sorted(site.rglob("*.html"))
    assert {page.relative_to(DOCS).with_suffix(".html") for page in PAGES} <= {
        page.relative_to(site) for page in built
    }
    broken = []
    for page in built:
        for link in [*links_of(page).links, *links_of(page).loads]:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data", "mailto"):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.is_file():
                broken.append(f"{page.relative_to(site)}: {link}: no such file")
            elif target.suffix == ".html" and unquote(parts.fragment) not in {"", *links_of(target).anchors}:
                broken.append(f"{page.relative_to(site)}: {link}: no such place")
    assert broken == []


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site: Path):
    for page in site.rglob("*.html"):
        foreign = [load for load in links_of(page).loads if urlsplit(load).netloc]
        assert foreign == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//", style.read_text("utf-8")), style


@pytest.mark.slow
def test_the_reference_leaves_nothing_out(site: Path):
    def text(name: str) -> str:
        return (site / "reference" / f"{name}.html").read_text("utf-8")

    anchors = links_of(site / "reference" / "cli.html").anchors
    assert {f"facesearch-{name}" for name in main.commands} <= anchors
    for each in fields(TrainConfig):
        assert f"{each.name} = " in re.sub("<[^>]+>", "", text("training-settings")), each.name
    python = links_of(site / "reference" / "python.html").anchors
    assert {f"facesearch.{name}" for name in facesearch.__all__ if name != "__version__"} <= python
    for name, cls in vars(errors).items():
        if inspect.isclass(cls) and issubclass(cls, errors.FacesearchError):
            assert name in text("exit-codes"), name
    schemas = links_of(site / "reference" / "schemas.html").anchors
    assert {
        path.name.removesuffix(".schema.json") for path in (ROOT / "facesearch/schema").iterdir()
    } <= schemas


def test_every_variable_of_the_environment_is_on_its_page_and_no_other():
    pattern = re.compile(r"\bFACESEARCH_[A-Z_]*[A-Z]\b")
    code = [*(ROOT / "facesearch").rglob("*.py"), ROOT / "compose.yaml"]
    used = {name for path in code for name in pattern.findall(path.read_text("utf-8"))}
    page = (DOCS / "reference" / "environment.md").read_text("utf-8")
    options = {
        option.envvar
        for command in main.commands.values()
        for option in command.params
        if isinstance(option.envvar, str)
    }  # the page has these from the code
    assert set(pattern.findall(page)) | options == used | options
    assert options <= used


@pytest.mark.parametrize("page", ON_GITHUB, ids=lambda page: page.name)
def test_relative_links_of_what_is_read_in_the_repository_lead_to_files(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for link in filter(None, (one or other for one, other in LINK.findall(text))):
        parts = urlsplit(link)
        if parts.scheme or not (parts.path or parts.fragment):
            continue
        target = page if not parts.path else page.parent / parts.path
        assert target.exists(), link
        if parts.fragment and target.suffix == ".md":
            assert parts.fragment in slugs(target.read_text("utf-8")), link


def slugs(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", [*PAGES, *ON_GITHUB], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_are_there(page: Path):
    for name in set(NAMED.findall(page.read_text("utf-8"))):
        assert (ROOT / name).exists() or "NAME" in name, name
