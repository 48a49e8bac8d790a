"""Recipes as files and as words: found by name, read, and every setting explained."""

from __future__ import annotations

import json
import tomllib
import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from facesearch.errors import CannotRead, NotFound, reason_of
from facesearch.files import read_regular
from facesearch.training.recipe import ANY, Range, TrainConfig

SECTIONS = {
    "backbone": "The network",
    "loss": "The loss",
    "teacher": "The teacher, where there is one",
    "optimizer": "The optimiser",
    "epochs": "The photos",
    "seed": "The run",
}
"""The first setting of each section of a recipe, and what the section is called."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a recipe, in words.

    Attributes:
        section: What it belongs to, such as "The loss".
        name: As it is written in a recipe and after --set.
        default: As it is written in TOML.
        kind: Its type and the values that are allowed.
        words: What it does.
    """

    section: str
    name: str
    default: str
    kind: str
    words: str


def settings() -> Iterator[Setting]:
    """Every setting of a recipe, in the order of the recipe."""
    kinds, section = typing.get_type_hints(TrainConfig), ""
    for each in fields(TrainConfig):
        section = SECTIONS.get(each.name, section)
        within: Range = each.metadata["within"]
        allowed = f", {within.words()}" if within != ANY else ""
        kind = _kind_words(kinds[each.name]) + allowed
        yield Setting(section, each.name, json.dumps(each.default), kind, each.metadata["words"])


def setting_lines() -> Iterator[str]:
    """The same as lines for a terminal; what is no value is a comment, so that they are a recipe too."""
    section = ""
    for each in settings():
        if each.section != section:
            section = each.section
            yield f"# {section}"
        yield f"{each.name} = {each.default}   # {each.kind}"
        yield f"    # {each.words}"


def _kind_words(kind: Any) -> str:
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(arguments)
    if typing.get_origin(kind) is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return f"list, each {_kind_words(arguments[0])}"
        return "a pair of " + " and ".join(_kind_words(argument) for argument in arguments)
    return {int: "whole number", float: "number", bool: "true or false", str: "text"}[kind]


def find_recipe(name: str) -> Path:
    """A .toml file, or the name of one of the recipes that come with facesearch. Raises NotFound with those
    names.
    """
    if name.endswith(".toml"):
        return Path(name)
    package = Path(__file__).parent.parent
    folders = (package / "recipes", package.parent / "scripts" / "recipes")  # installed, or in a checkout
    known = {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}
    if name not in known:
        raise NotFound(Path(name), "recipe", f"Known: {', '.join(sorted(known))}; or give a .toml file.")
    return known[name]


def load_recipe(path: Path) -> TrainConfig:
    """Read a recipe. Raises NotFound, CannotRead, UnknownSetting, BadConfig."""
    try:
        text = read_regular(path).decode("utf-8")
    except FileNotFoundError as error:
        raise NotFound(path, "recipe") from error
    except OSError as error:
        raise CannotRead(path, reason_of(error)) from error
    except UnicodeDecodeError as error:
        raise CannotRead(path, "not text in UTF-8") from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CannotRead(path, f"not TOML: {error}") from error
    return TrainConfig.from_dict(raw, str(path))
