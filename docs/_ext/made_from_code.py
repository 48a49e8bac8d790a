"""Parts of pages that are made from the code, or are pages of the repository, while the site is built.

A function here gives Markdown, which takes the place of `<!-- made from code: NAME -->` in a page. None of it
is kept in the repository, so none of it can go out of date.
"""

from __future__ import annotations

import inspect
import json
import re
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from sphinx.application import Sphinx

import facesearch.errors
from facesearch.api.encoder import Encoder
from facesearch.api.opening import open_gallery
from facesearch.cli.interrupt import KEPT
from facesearch.cli.main import SECTIONS, main
from facesearch.errors import FacesearchError, base
from facesearch.training.recipe_files import settings
from facesearch.web.app import Service
from facesearch.web.settings import Limits, Settings

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "facesearch" / "schema"
MARKER = re.compile(r"^<!-- made from code: (\w+) -->$", re.MULTILINE)
FILE = re.compile(r"^<!-- file of the repository: (\S+) -->$", re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
PAGES = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "facesearch/weights/MODEL_CARD.md": "explanation/model-card.md",
}
"""Files of the repository that the site has as pages."""
ROW = re.compile(r"^\|.*$", re.MULTILINE)
INTERVAL = re.compile(r"([\d.]+) \[([-\d.]+), ([-\d.]+)\]")
"""A figure with its interval, which stays on one line of a table."""
Json = dict[str, Any]
FAMILIES = (
    FacesearchError,
    *(each for each in vars(base).values() if inspect.isclass(each) and FacesearchError in each.__mro__[1:]),
)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; cells are Markdown without line feeds."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def plain(text: str) -> str:
    """Text on one line that Markdown leaves as it is, but for `code`."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(part if part[:1] == "`" else re.sub(r"([\\*_\[\]<>#])", r"\\\1", part) for part in parts)


def code(text: str) -> str:
    return f"`{text}`" if text else ""


# ---- commands and settings


def commands() -> str:
    """Every command with its help, in the sections of `facesearch --help`."""
    told = []
    for title, members in SECTIONS.items():
        told.append(f"## {title}\n")
        for command in members:
            told += _command(command, f"facesearch {command.name}", "###")
            if isinstance(command, click.Group):
                for name, inner in command.commands.items():
                    told += _command(inner, f"facesearch {command.name} {name}", "####")
    return "\n".join(told)


def _command(command: click.Command, name: str, level: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, help_option_names=["-h", "--help"])
    yield f"{level} {name}\n"
    for part in inspect.cleandoc(command.help or "").split("\n\n"):
        if part.startswith("\b\n"):  # Click's mark of lines that are to stay as they are
            lines = textwrap.dedent(part.removeprefix("\b\n").replace("Example:", " " * 8)).strip()
            yield f"```\n{lines}\n```\n"
        else:
            yield f"{plain(part)}\n"
    yield f"Usage: `{name} {' '.join(command.collect_usage_pieces(context))}`\n"
    rows = []
    for option in command.params:
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is not None:
            rows.append((code(record[0]), plain(record[1])))
    if rows:
        yield table(("option", "what it does"), rows)


def training_settings() -> str:
    """What `facesearch train --settings` prints, as tables."""
    told: dict[str, list[tuple[str, ...]]] = {}
    for each in settings():
        row = (code(f"{each.name} = {each.default}"), f"{plain(each.words)} *{plain(each.kind)}*")
        told.setdefault(each.section, []).append(row)
    head = ("setting = default", "what it does; *type and range*")
    return "\n".join(f"## {section}\n\n{table(head, rows)}" for section, rows in told.items())


def environment() -> str:
    """The variables that options of commands are read from, with the options."""
    named: dict[str, tuple[str, str, list[str]]] = {}
    for command in main.commands.values():
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(option.envvar, str):
                words = (option.help or "").partition("  [")[0]
                named.setdefault(option.envvar, (option.opts[0], words, []))[2].append(str(command.name))
    rows = [
        (code(name), code(option), plain(words), f"{len(of)} of {len(main.commands)}")
        for name, (option, words, of) in sorted(named.items())
    ]
    return table(("variable", "option", "what it is", "commands that read it"), rows)


# ---- errors


def errors() -> str:
    """Every expected error, family by family."""
    families: dict[type, list[tuple[str, ...]]] = {}
    for name, cls in sorted(vars(facesearch.errors).items()):
        if inspect.isclass(cls) and issubclass(cls, FacesearchError) and cls not in FAMILIES:
            family = next((base for base in cls.__mro__ if base in FAMILIES), FacesearchError)
            row = (code(name), code(cls.kind), str(cls.status), _first(cls))
            families.setdefault(family, []).append(row)
    head = ("error", "kind", "HTTP status", "when")
    return "\n".join(
        f"### {family.__name__}\n\n{_first(family)}\n\n{table(head, rows)}"
        for family, rows in sorted(families.items(), key=lambda item: item[0].__name__)
    )


def _first(cls: type) -> str:
    """The first paragraph of a class's docstring; dataclasses without one bear their signature there."""
    told = inspect.getdoc(cls) or ""
    return "" if told.startswith(f"{cls.__name__}(") else plain(told.partition("\n\n")[0])


def interrupted() -> str:
    """What each command keeps when it is interrupted."""
    names = [command.name for members in SECTIONS.values() for command in members]
    rows = [
        (code(f"facesearch {name}"), plain(KEPT.get(str(name), "Nothing was changed."))) for name in names
    ]
    return table(("command", "after Ctrl-C"), rows)


# ---- JSON


def kind_of(schema: Json) -> str:
    """A JSON type in words; a shape that has a section of its own is named."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{code(name)}](#{name.lower()})"
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return " or ".join(code(json.dumps(value)) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(kind_of(each) for each in schema["anyOf"])
    if "prefixItems" in schema:
        return "[" + ", ".join(kind_of(each) for each in schema["prefixItems"]) + "]"
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {kind_of(schema['additionalProperties'])}"
    return {"binary": "file", "byte": "base64"}.get(schema.get("format", ""), kind) + _limits(schema)


def _limits(schema: Json) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
        "maxLength": "length at most",
    }
    found = [f"{word} {schema[key]:g}" for key, word in words.items() if key in schema]
    return f" ({', '.join(found)})" if found else ""


def fields_of(schema: Json) -> str:
    """The properties of an object as a table; those of nested objects without a name are listed by path."""
    rows = list(_rows(schema, ""))
    told = any(words for *_, words in rows)
    return (
        table(("field", "type", "what it is"), rows)
        if told
        else table(("field", "type"), [r[:2] for r in rows])
    )


def _rows(schema: Json, path: str) -> Iterator[tuple[str, str, str]]:
    for name, each in schema.get("properties", {}).items():
        there = f"{path}{name}"
        must = name in schema.get("required", ()) or "default" in each
        yield (
            code(there),
            _default(each) + ("" if must else ", may be left out"),
            plain(each.get("description", "")),
        )
        inner = each.get("items", each)
        if "properties" in inner:
            yield from _rows(inner, f"{there}[]." if inner is not each else f"{there}.")


def shapes(found: Json, level: str) -> str:
    """Named shapes, each with its fields."""
    return "\n".join(
        f"{level} {name}\n\n{plain(shape.get('description', ''))}\n\n{fields_of(shape)}"
        for name, shape in sorted(found.items())
        if shape.get("properties")
    )


def schemas() -> str:
    """The JSON Schemas: what each is printed by, and its fields; the shapes inside them come last."""
    shared: Json = {}
    told = []
    for path in sorted(SCHEMAS.glob("*.json")):
        schema = json.loads(path.read_text("utf-8"))
        shared |= schema.get("$defs", {})
        printed = schema.get("$comment", "").removeprefix("Printed by: ")
        top = schema if "properties" in schema else schema.get("items", schema)
        name = path.name.removesuffix(".schema.json")
        told.append(
            f"### {name}\n\nPrinted by {code(printed)}. File: `facesearch/schema/{path.name}`.\n\n"
            f"{plain(schema.get('description', ''))}\n\n"
            + (fields_of(top) if "properties" in top else f"{kind_of(schema).capitalize()}.\n")
        )
    return "## Answers\n\n" + "\n".join(told) + "\n## Shapes inside them\n\n" + shapes(shared, "###")


# ---- HTTP


class _NoNetwork:
    """An encoder that is never asked, since only the service's description is wanted."""

    encoder_id, dimension, words, notes = "0" * 64, 1, "none", {}

    def embed(self, crops: Any) -> Any:
        raise NotImplementedError


def openapi() -> Json:
    """The description that the service itself gives."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Settings(), open_gallery(folder, encoder=Encoder.of(_NoNetwork())))
        described: Json = service.api.openapi()
        service.close()
    return described


def http() -> str:
    """Every route: what it does, what it takes, what it answers."""
    described = openapi()
    told = ["## Routes\n"]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            told += [f"### {method.upper()} {path}\n", plain(operation["description"]) + "\n"]
            told += _taken(operation)
            told.append(f"Answers with {_answered(operation)}.\n")
    told.append("## Shapes of the answers\n\n" + shapes(described["components"]["schemas"], "###"))
    return "\n".join(told)


def _taken(operation: Json) -> Iterator[str]:
    if parameters := operation.get("parameters"):
        rows = [(code(p["name"]), _default(p["schema"]), plain(p.get("description", ""))) for p in parameters]
        yield table(("parameter", "type", "what it is"), rows)
    content = operation.get("requestBody", {}).get("content", {})
    if (form := content.get("multipart/form-data")) is None:
        yield from (f"Takes JSON: {kind_of(each['schema'])}.\n" for each in content.values())
        return
    fields = dict(form["schema"]["properties"])
    photos = fields.pop("photo")
    fewest, most = photos.get("minItems", 1), photos.get("maxItems", 1)
    yield f"Takes {_counted(fewest, most)}, as a form or as JSON (see above)" + (
        ", and:\n" if fields else ".\n"
    )
    if fields:
        yield fields_of({**form["schema"], "properties": fields})


def _counted(fewest: int, most: int) -> str:
    return "1 photo" if most == 1 else f"{most} photos" if fewest == most else f"{fewest} to {most} photos"


def _default(schema: Json) -> str:
    told = f", default {code(json.dumps(schema['default']))}" if "default" in schema else ""
    return kind_of(schema) + told


def _answered(operation: Json) -> str:
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            kinds = [
                kind_of(each["schema"]) if each.get("schema") else f"a file ({code(media)})"
                for media, each in answer.get("content", {}).items()
            ]
            return f"{' or '.join(kinds) or 'no body'} (status {status})"
    raise KeyError(operation["operationId"])


def limits() -> str:
    """What a client may ask of the service, with the numbers."""
    words = inspect.getdoc(Limits) or ""
    rows = [
        (code(name), f"{value:,}") for name, value in ((n, getattr(Limits(), n)) for n in Limits.__slots__)
    ]
    return f"{plain(words)}\n\n{table(('limit', 'value'), rows)}"


MAKERS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "training_settings": training_settings,
    "environment": environment,
    "errors": errors,
    "interrupted": interrupted,
    "schemas": schemas,
    "http": http,
    "limits": limits,
}


# ---- pages of the repository


def repository_page(name: str) -> str:
    """A Markdown file of the repository: its links into docs/ lead to pages of the site, its pictures are
    found, and of other links the words stay.
    """

    def found(link: re.Match[str]) -> str:
        words, target = link[2], link[3]
        if link[1]:
            return f"![{words}](../{target})"
        if target.startswith(("http", "#", "mailto:")):
            return link[0]
        path, _, anchor = target.partition("#")
        place = path.removeprefix("docs/") if path.startswith("docs/") else PAGES.get(path)
        return f"[{words}]({place}{'#' * bool(anchor)}{anchor})" if place else words

    return LINK.sub(found, (ROOT / name).read_text("utf-8"))


def _fill(app: Sphinx, docname: str, source: list[str]) -> None:
    text = MARKER.sub(lambda match: MAKERS[match[1]](), source[0])
    text = FILE.sub(lambda match: repository_page(match[1]), text)
    for path, place in PAGES.items():
        text = re.sub(rf"\]\((\.\./)+{re.escape(path)}", f"](/{place}", text)
    source[0] = ROW.sub(
        lambda row: INTERVAL.sub("\\1\N{NO-BREAK SPACE}[\\2,\N{NO-BREAK SPACE}\\3]", row[0]), text
    )


def setup(app: Sphinx) -> Json:
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
