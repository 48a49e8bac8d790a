"""Sources of photos as they are handed out, each read into one list of entries: which file, whose face, which
split.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facesearch.errors import (
    BadTable,
    CannotRead,
    NotFound,
    NothingToDo,
    UnknownSource,
    counted,
    reason_of,
    written,
)
from facesearch.faces.align import CELEBA_IR_LANDMARKS, CELEBA_IR_SIZE, CELEBA_LANDMARKS, CELEBA_SIZE
from facesearch.faces.people_folders import people_folders
from facesearch.faces.photos import walk
from facesearch.files import read_regular
from facesearch.records import F32, Skipped

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo of a source. name is its path below the source; person is empty where nobody is named.

    landmarks (5, 2) float32 in pixels where they are known, None where the face must be looked for; size is
    the (width, height) the landmarks hold for.
    """

    path: Path
    name: str
    person: str
    split: str
    landmarks: F32 | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """All entries of one source, in a fixed order, and what its lists promised but does not have."""

    kind: str
    root: Path
    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...] = ()


def read_source(root: Path, *, people: int | None = None, min_photos: int = 1) -> Source:
    """Recognise what lies at root and list it. people: only the first so many people; min_photos: of those
    with as many.

    Raises NotFound, UnknownSource, or BadTable naming the line of a list that cannot be read.
    """
    if not root.is_dir():
        raise NotFound(root, "folder of photos")
    if (root / "celeba" / "identity_CelebA.txt").is_file():  # where torchvision puts what it fetched
        root = root / "celeba"
    if (root / "celebA_anno.txt").is_file() and (root / "celebA_imgs").is_dir():
        source = _celeba500(root)
    elif (root / "identity_CelebA.txt").is_file():
        source = _celeba(root)
    elif (root / "celebA_anno_query.csv").is_file():
        source = _celeba_ir(root)
    else:
        source = _folders(root)
    return _limited(source, people, min_photos)


def read_unlabelled(root: Path) -> Source:
    """Photos of nobody in particular: every file below root, in any folders, without a name, all to be
    trained on. Raises NotFound, NothingToDo."""
    if not root.is_dir():
        raise NotFound(root, "folder of photos")
    found = list(walk(root))
    entries = tuple(
        Entry(path, _name_in(root, path), "", "train") for path in found if isinstance(path, Path)
    )
    skipped = tuple(each for each in found if isinstance(each, Skipped))
    if not entries:
        raise NothingToDo(str(root), "no photo lies there", left_out=tuple(skipped))
    return Source("unlabelled", root, entries, skipped)


def with_random_split(source: Source, *, val: float, test: float, seed: int) -> Source:
    """Deal the photos out again, each on its own, of any person: the seed project's random split (80/20
    for val=0.2). But a person who would be left without a train photo, and could not be learned, gets one in
    exchange for somebody else's.

    Photos with nobody named stay where they are.
    """
    named = [i for i, entry in enumerate(source.entries) if entry.person]
    order = np.random.default_rng(seed).permutation(len(named))
    n_val, n_test = round(val * len(named)), round(test * len(named))
    split_of = {
        named[j]: "val" if rank < n_val else "test" if rank < n_val + n_test else "train"
        for rank, j in enumerate(order)
    }
    dealt = [named[j] for j in order]
    _leave_one_to_each(split_of, {i: source.entries[i].person for i in dealt})
    entries = tuple(replace(e, split=split_of.get(i, e.split)) for i, e in enumerate(source.entries))
    return replace(source, entries=entries)


def _leave_one_to_each(split_of: dict[int, str], person_of: dict[int, str]) -> None:
    """Change the splits of photos so that everybody has one in train, and as many photos as before are in
    each split where that can be. person_of: in the order in which they were dealt.
    """
    left = Counter(person for i, person in person_of.items() if split_of[i] == "train")
    spare = iter([i for i in person_of if split_of[i] == "train"])
    for i, person in person_of.items():
        if left[person]:
            continue
        other = next((j for j in spare if left[person_of[j]] > 1), None)
        if other is not None:
            split_of[other] = split_of[i]
            left[person_of[other]] -= 1
        split_of[i] = "train"
        left[person] = 1


def _celeba500(root: Path) -> Source:
    """CelebA-500 (`file label`, `file split` with 0 train, 1 val, 2 test) or its extra people (`person
    role`).
    """
    label_of = dict(_pairs(root / "celebA_anno.txt"))
    split_list, roles_list = root / "celebA_train_split.txt", root / "roles.txt"
    kind = "celeba500"
    if split_list.is_file():
        split_of = {
            file: _split_name(split_list, line, code)
            for line, (file, code) in enumerate(_pairs(split_list), 1)
        }
    elif roles_list.is_file():
        kind, role_of = "celeba_extra", dict(_pairs(roles_list))
        split_of = {file: role_of.get(label, "") for file, label in label_of.items()}
    else:
        split_of = dict.fromkeys(label_of, "train")
    entries, skipped = [], []
    for file, label in label_of.items():
        path = root / "celebA_imgs" / file
        if file not in split_of or not split_of[file]:
            skipped.append(Skipped(path, "no split is given for it"))
        elif not path.is_file():
            skipped.append(Skipped(path, "listed, but the file is not there"))
        else:
            entries.append(
                Entry(path, file, f"{kind}-{label}", split_of[file], CELEBA_LANDMARKS, CELEBA_SIZE)
            )
    return Source(kind, root, tuple(entries), tuple(skipped))


def _celeba(root: Path) -> Source:
    """CelebA's own files; `list_landmarks_align_celeba.txt` and `list_eval_partition.txt` are used where they
    are.
    """
    landmarks = dict(_celeba_landmarks(root / "list_landmarks_align_celeba.txt"))
    partition = root / "list_eval_partition.txt"
    split_of = (
        {file: _split_name(partition, line, code) for line, (file, code) in enumerate(_pairs(partition), 1)}
        if partition.is_file()
        else {}
    )
    entries, skipped = [], []
    for file, number in _pairs(root / "identity_CelebA.txt"):
        path = root / "img_align_celeba" / file
        if not path.is_file():
            skipped.append(Skipped(path, "listed, but the file is not there"))
            continue
        points = landmarks.get(file, CELEBA_LANDMARKS)
        entries.append(
            Entry(path, file, f"celeba-{number}", split_of.get(file, "train"), points, CELEBA_SIZE)
        )
    return Source("celeba", root, tuple(entries), tuple(skipped))


def _celeba_ir(root: Path) -> Source:
    """The identification-rate set: `img,id` for the queries, and a folder of distractors that nobody
    names."""
    table = root / "celebA_anno_query.csv"
    entries, skipped = [], []
    for line, row in enumerate(csv.reader(read_lines(table)), 1):
        if line == 1 and row[:2] == ["img", "id"]:
            continue
        if len(row) != 2:
            raise BadTable(table, line, f"expected 'img,id', found {counted(len(row), 'column')}")
        stay_inside(table, line, row[0])
        path = root / "celebA_query" / row[0]
        if not path.is_file():
            skipped.append(Skipped(path, "listed, but the file is not there"))
            continue
        name = f"celebA_query/{row[0]}"
        entries.append(Entry(path, name, f"celeba_ir-{row[1]}", "query", CELEBA_IR_LANDMARKS, CELEBA_IR_SIZE))
    distractors = root / "celebA_distractors"
    if not distractors.is_dir():
        raise NotFound(distractors, "folder of distractors")
    for found in walk(distractors):
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            entries.append(
                Entry(found, _name_in(root, found), "", "distractor", CELEBA_IR_LANDMARKS, CELEBA_IR_SIZE)
            )
    return Source("celeba_ir", root, tuple(entries), tuple(skipped))


def _folders(root: Path) -> Source:
    """One folder a person (LFW's layout too): the first folder below root is the name."""
    try:
        photos, skipped = people_folders(root)
    except NothingToDo as error:
        raise UnknownSource(root) from error
    entries = tuple(Entry(photo, _name_in(root, photo), person, "train") for person, photo in photos)
    if not entries:
        raise NothingToDo(str(skipped[0].path), skipped[0].reason, left_out=tuple(skipped))
    return Source("folders", root, entries, tuple(skipped))


def _name_in(root: Path, photo: Path) -> str:
    """A photo's path below its source, as it is kept."""
    return written(photo.relative_to(root).as_posix())


def _limited(source: Source, people: int | None, min_photos: int) -> Source:
    if people is None and min_photos <= 1:
        return source
    count = Counter(entry.person for entry in source.entries if entry.person)
    chosen = [person for person, photos in count.items() if photos >= min_photos][:people]
    kept = frozenset(chosen) | {""}
    return replace(source, entries=tuple(entry for entry in source.entries if entry.person in kept))


def _split_name(table: Path, line: int, code: str) -> str:
    if code not in ("0", "1", "2"):
        raise BadTable(table, line, f"the split is {code!r}; it should be 0 (train), 1 (val) or 2 (test)")
    return SPLITS[int(code)]


def _pairs(table: Path) -> Iterator[tuple[str, str]]:
    """Lines of two words. Names must not leave the source's folder. Raises BadTable."""
    for line, text in enumerate(read_lines(table), 1):
        words = text.split()
        if not words:
            continue
        if len(words) != 2:
            raise BadTable(table, line, f"expected two words, found {len(words)}")
        stay_inside(table, line, words[0])
        yield words[0], words[1]


def stay_inside(table: Path, line: int, name: str) -> None:
    """Raises BadTable when a name in a table leads out of its folder."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise BadTable(table, line, f"{name!r} leads out of the folder")


def _celeba_landmarks(table: Path) -> Iterator[tuple[str, F32]]:
    """CelebA's list: a count, a header, then `file` and ten numbers."""
    if not table.is_file():
        return
    for line, text in enumerate(read_lines(table), 1):
        words = text.split()
        if line <= 2 or not words:
            continue
        try:
            numbers = np.array([float(word) for word in words[1:]], np.float32)
        except ValueError as error:
            raise BadTable(table, line, "a landmark is not a number") from error
        if len(numbers) != 10 or not np.isfinite(numbers).all():
            raise BadTable(table, line, f"expected a file and ten numbers, found {len(numbers)}")
        yield words[0], numbers.reshape(5, 2)


def read_lines(table: Path) -> list[str]:
    """The lines of a text file. Raises CannotRead."""
    try:
        return read_regular(table).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise CannotRead(table, reason_of(error)) from error
    except UnicodeDecodeError as error:
        raise CannotRead(table, f"not text in UTF-8: {error.reason} at byte {error.start}") from error
