"""What surrounds the code: pins, licences, the version, the contributors' tools."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from facesearch.version import __version__

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def pins() -> dict[str, list[Version]]:
    """constraints.txt: what each package is pinned to, here and on other systems and Pythons."""
    found: dict[str, list[Version]] = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            found.setdefault(canonicalize_name(requirement.name), []).append(Version(pin.version))
    return found


def test_every_requirement_is_pinned_to_a_version_that_it_allows():
    pinned = pins()
    extras = PROJECT["optional-dependencies"].values()
    wanted = [Requirement(line) for part in (PROJECT["dependencies"], *extras) for line in part]
    outside = [one for one in wanted if one.name != "facesearch"]
    assert len(outside) > 30
    for one in outside:
        versions = pinned.get(canonicalize_name(one.name), [])
        assert versions, f"{one.name} is not in constraints.txt: run `make constraints`"
        assert all(one.specifier.contains(version) for version in versions), one


def test_the_version_stands_in_one_place_and_the_others_agree():
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert str(citation["version"]) == __version__
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    assert compose["services"]["facesearch"]["image"] == f"facesearch:{__version__}"
    assert f"facesearch:{__version__}" in (ROOT / "scripts" / "container.sh").read_text("utf-8")


def test_code_weights_and_detector_have_their_licences():
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])
    code = (ROOT / "LICENSE").read_text("utf-8")
    assert code.strip().startswith("Apache License") and "END OF TERMS AND CONDITIONS" in code
    weights = (ROOT / "facesearch" / "weights" / "LICENSE").read_text("utf-8")
    assert "non-commercial research" in weights and "index/gallery.sqlite" in weights
    assert "facesearch/weights/LICENSE" in (ROOT / "index" / "LICENSE").read_text("utf-8")
    detector = (ROOT / "facesearch" / "faces" / "yunet" / "LICENSE").read_text("utf-8")
    (owner,) = re.findall(r"^Copyright .*$", detector, re.MULTILINE)
    assert owner in (ROOT / "NOTICE").read_text("utf-8")


def test_the_changelog_has_the_form_of_keep_a_changelog():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", version) for version in versions[1:])
    assert f"[{__version__}]" in versions[1]
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_hooks_before_a_commit_need_no_network():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    assert {hook["language"] for hook in hooks["repos"][0]["hooks"]} == {"system"}


@pytest.mark.parametrize("name", ["bug", "question_or_idea"])
def test_an_issue_has_a_form(name: str):
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text("utf-8"))
    assert form["name"] and form["description"] and form["body"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] and field["id"] for field in fields)
