"""Every expected error: its family, its kind, its three parts, and that it travels."""

from __future__ import annotations

import copy
import pickle
import re
import types
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

import facesearch
from facesearch import errors
from facesearch.cli.main import main
from facesearch.errors import FacesearchError, counted
from facesearch.web.problems import problem_of, title_of

ROOT = Path(__file__).parents[1]
SECRET = "/home/ada/secret"
PLACES = {
    "made_with",
    "store",
    "stores",
    "origin",
    "text",
    "place",
    "named_in",
    "looked",
    "missing",
    "files",
    "resume",
    "kept",
}
"""Fields that hold a path of this machine, or words with one, though their type is not Path."""
FAMILIES = (
    errors.GalleryError,
    errors.EncoderError,
    errors.DataError,
    errors.TrainingError,
    errors.AlbumError,
    errors.StoreError,
    errors.ServiceError,
)
BESIDE = (errors.PackageMissing, errors.Interrupted, errors.OutputLost)
KINDS = {
    "nobody-enrolled": {errors.NoGallery, errors.EmptyGallery},
    "too-few": {errors.TooFewSearches, errors.NothingToDo},
    "gallery-damaged": {errors.CorruptGallery, errors.Damaged},
    "other-encoder": {errors.EncoderMismatch, errors.EncoderNotFound},
    "no-face": {errors.NoFace, errors.SeveralFaces},
    "bad-photo": {errors.UnusablePhoto},
    "could-not": {errors.CannotRead},
    "bad-name": {errors.BadName},
    "unknown-person": {errors.UnknownPerson},
    "unknown-photo": {errors.UnknownPhoto},
    "name-taken": {errors.NameTaken},
    "gallery-busy": {errors.GalleryBusy},
    "gallery-changed": {errors.GalleryChanged},
    "not-erased-yet": {errors.NotErasedYet},
    "still-there": {errors.StillThere},
    "cannot-write": {errors.CannotWrite},
    "closer-to-another": {errors.CloserToAnother},
}
"""As clients of the service have known them from the start."""
STATUS = {
    404: {errors.NoGallery, errors.EmptyGallery, errors.UnknownPerson, errors.UnknownPhoto},
    409: {
        errors.NameTaken,
        errors.GalleryChanged,
        errors.EncoderMismatch,
        errors.EncoderNotFound,
        errors.TooFewSearches,
        errors.NothingToDo,
        errors.CloserToAnother,
        errors.ReplacesBetter,
    },
    422: {errors.BadName, errors.UnusablePhoto, errors.NoFace, errors.SeveralFaces},
    500: {errors.StillThere, errors.CorruptGallery, errors.CannotWrite, errors.CannotRead},
    503: {errors.GalleryBusy, errors.NotErasedYet},
}


def classes(base: type[FacesearchError] = FacesearchError) -> Iterator[type[FacesearchError]]:
    """Every class that is raised: those with fields of their own."""
    for cls in base.__subclasses__():
        if cls.__module__.startswith("facesearch."):
            if "__dataclass_fields__" in cls.__dict__:
                yield cls
            yield from classes(cls)


EVERY = sorted(set(classes()), key=lambda cls: cls.__name__)


def value_of(kind: Any, name: str) -> Any:
    """A value of this type for a field of this name."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = get_args(kind)[0]
    if get_origin(kind) is tuple:
        return tuple(value_of(part, name) for part in get_args(kind) if part is not Ellipsis)
    if issubclass(kind, FacesearchError):
        return errors.NotFound(Path(SECRET), "encoder", "Look elsewhere.")
    if issubclass(kind, Path):
        return Path(SECRET) / name
    if issubclass(kind, str):
        return f"{SECRET}/{name}" if name in PLACES else f"{name} in words"
    return Path(SECRET) if kind is object else kind(3)


def sample(cls: type[FacesearchError]) -> FacesearchError:
    kinds = get_type_hints(cls)
    return cls(**{field.name: value_of(kinds[field.name], field.name) for field in fields(cls)})  # type: ignore[arg-type]


def test_there_are_many_and_all_are_exported():
    assert len(EVERY) > 50
    assert all(getattr(errors, cls.__name__) is cls for cls in (*EVERY, *FAMILIES, errors.KeyFileError))
    assert all(getattr(facesearch, family.__name__) is family for family in (*FAMILIES, FacesearchError))


@pytest.mark.parametrize("cls", EVERY)
def test_each_belongs_to_one_family(cls: type[FacesearchError]):
    of = [family for family in FAMILIES if issubclass(cls, family)]
    if cls in (errors.EncoderMismatch, errors.EncoderNotFound):
        assert of == [errors.GalleryError, errors.EncoderError]
    else:
        assert len(of) == (cls not in BESIDE)


def test_kinds_and_statuses_are_as_clients_know_them():
    found: dict[str, set[type[FacesearchError]]] = {}
    for cls in EVERY:
        found.setdefault(cls.kind, set()).add(cls)
    assert KINDS.items() <= found.items()
    assert all(len(shared) == 1 for kind, shared in found.items() if kind not in KINDS)
    assert all(cls.status == status for status, known in STATUS.items() for cls in known)
    assert {cls.status for cls in EVERY} == set(STATUS)
    assert all(kind == kind.lower() and kind.replace("-", "").isalpha() for kind in found)
    assert errors.LossIsNaN.kind == "loss-is-nan" and errors.StoreUnreachable.kind == "store-unreachable"


@pytest.mark.parametrize("cls", EVERY)
def test_the_fact_is_a_sentence_without_a_path_or_a_command(cls: type[FacesearchError]):
    error = sample(cls)
    assert error.what[0].isupper() or error.what[0] in "'\""
    assert error.what.endswith((".", "?")) and not error.what.endswith("..") and "\n" not in error.what
    assert SECRET not in error.what and "facesearch " not in error.what.replace("facesearch checkpoint", "")
    assert str(error) == (f"{error.where}: {error.what}" if error.where else error.what)
    assert error.message() == (f"{error}\n{error.advice}" if error.advice else str(error))
    if any(field.type == "Path" or field.name in PLACES for field in fields(cls)):  # type: ignore[arg-type]
        assert SECRET in error.message()


@pytest.mark.parametrize("cls", EVERY)
def test_a_client_is_told_the_fact_and_no_path(cls: type[FacesearchError]):
    error = sample(cls)
    problem = problem_of(error)
    assert (problem.kind, problem.status_code, problem.detail) == (cls.kind, cls.status, error.what)
    assert (problem.headers == {"Retry-After": "1"}) == (cls.status == 503)
    assert SECRET not in str(vars(problem)) and title_of(cls.kind)[0].isupper()


@pytest.mark.parametrize("cls", EVERY)
def test_each_can_be_pickled_and_copied(cls: type[FacesearchError]):
    error = sample(cls)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is cls and again is not error
        assert (again.message(), repr(again)) == (error.message(), repr(error))


def test_the_base_speaks_too():
    assert (FacesearchError().what, FacesearchError.kind, FacesearchError.status) == (
        "It could not be done.",
        "could-not",
        500,
    )
    assert title_of("unknown-person") == "Unknown person"


def test_an_error_of_another_process_keeps_all_its_parts():
    error = errors.OfOneProcess(1, 4, errors.NotFound(Path("data"), "prepared dataset", "Make it."))
    assert error.message() == "process 2 of 4: data: There is no prepared dataset there.\nMake it."


def test_the_command_line_prints_fact_and_advice(monkeypatch: pytest.MonkeyPatch, run):
    error = errors.WrongKey(Path("index"), "key.txt")

    def refuse(*args: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(main.commands["list"], "callback", refuse)
    assert run("list", code=1).stderr == f"Error: {error.message()}\n" and "key.txt" in error.message()


def test_one_of_a_thing_is_one_thing():
    assert counted(1, "photo") == "1 photo" and counted(0, "photo") == "0 photos"
    assert [counted(n, "new person") for n in (1, 2)] == ["1 new person", "2 new people"]
    assert counted(2, "search") == "2 searches" and counted(2, "process") == "2 processes"
    assert counted(1, "row is", "rows are") == "1 row is" and counted(2, "row is", "rows are") == "2 rows are"
    assert counted(12011, "face", commas=True) == "12,011 faces"


def test_no_message_counts_in_the_plural_alone():
    """A number and, right after it, a plural, as `{n} photos`: only of what is never one, as told here."""
    things = "photos|faces|people|vectors|searches|rows|groups|pairs|columns|bytes|pictures|strangers|epochs"
    never_one = {
        "evaluation": "its notes are about whole datasets",
        "errors/album.py": "more faces than a matrix holds",
        "web/uploads.py": "more than a request may hold",
        "web/forms.py": "a limit",
        "training/advice.py": "versions of a photo, averages",
        "training/batches.py": "processes that share a batch",
        "training/learner.py": "fewer people than processes",
        "api/searching.py": "more faces than half as many",
        "encoder/stream.py": "several faces",
        "datasets/prepare.py": "several faces",
        "datasets/pairs.py": "folds of pairs",
        "gallery/milvus/index.py": "more than a limit",
        "gallery/store/rows.py": "a limit",
        "gallery/store/keys.py": "a limit",
        "report/audit.py": "two groups of one person's photos",
        "cli/commands/export_gallery.py": "the bytes of a file",
        "cli/commands/backup.py": "the bytes of a file",
    }
    for path in sorted((ROOT / "facesearch").rglob("*.py")):
        name = path.relative_to(ROOT / "facesearch").as_posix()
        if any(name.startswith(known) for known in never_one):
            continue
        found = re.findall(rf"\{{[^{{}}%]*\}} (?:{things})\b[^\"\n]*", path.read_text("utf-8"))
        assert not found, (name, found)
