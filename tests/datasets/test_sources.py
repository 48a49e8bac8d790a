from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from facesearch.datasets.sources import read_source, with_random_split
from facesearch.errors import BadTable, NotFound, UnknownSource
from tests.helpers.drawn import save_colour
from tests.helpers.saying import refused


def celeba500(root: Path, files: int = 10) -> Path:
    names = [f"{i:06d}.jpg" for i in range(files)]
    for name in names:
        save_colour(root / "celebA_imgs" / name, "red", (178, 218))
    (root / "celebA_anno.txt").write_text("".join(f"{name} {i // 2}\n" for i, name in enumerate(names)))
    (root / "celebA_train_split.txt").write_text("".join(f"{name} {i % 3}\n" for i, name in enumerate(names)))
    return root


def test_celeba500_keeps_its_own_splits_and_labels(tmp_path: Path):
    source = read_source(celeba500(tmp_path))
    assert source.kind == "celeba500"
    assert [(e.person, e.split) for e in source.entries[:4]] == [
        ("celeba500-0", "train"), ("celeba500-0", "val"), ("celeba500-1", "test"), ("celeba500-1", "train"),
    ]  # fmt: skip


def test_a_listed_file_that_is_missing_is_skipped_by_name(tmp_path: Path):
    celeba500(tmp_path)
    (tmp_path / "celebA_imgs" / "000003.jpg").unlink()
    source = read_source(tmp_path)
    assert len(source.entries) == 9
    assert [(s.path.name, s.reason) for s in source.skipped] == [
        ("000003.jpg", "listed, but the file is not there")
    ]


def test_the_random_split_deals_each_photo_once_by_the_seed(tmp_path: Path):
    source = read_source(celeba500(tmp_path, 20))

    def dealt(seed: int) -> list[tuple[str, str]]:
        entries = with_random_split(source, val=0.2, test=0.1, seed=seed).entries
        return [(entry.name, entry.split) for entry in entries]

    one = dealt(4)
    assert [name for name, _ in one] == [entry.name for entry in source.entries]
    assert Counter(split for _, split in one) == {"train": 14, "val": 4, "test": 2}
    assert one == dealt(4) and one != dealt(5)


def test_the_extra_people_have_roles_for_splits(tmp_path: Path):
    celeba500(tmp_path)
    (tmp_path / "celebA_train_split.txt").unlink()
    (tmp_path / "roles.txt").write_text("0 train\n1 open\n2 open\n3 train\n4 train\n")
    source = read_source(tmp_path)
    assert {e.person: e.split for e in source.entries}["celeba_extra-1"] == "open"
    assert {e.person: e.split for e in source.entries}["celeba_extra-3"] == "train"


def test_celebas_own_files_with_landmarks_partition_and_limits(tmp_path: Path):
    for i in range(6):
        save_colour(tmp_path / "img_align_celeba" / f"{i}.jpg", "blue", (178, 218))
    (tmp_path / "identity_CelebA.txt").write_text(
        "".join(f"{i}.jpg {p}\n" for i, p in enumerate((7, 7, 9, 9, 9, 2)))
    )
    (tmp_path / "list_eval_partition.txt").write_text("".join(f"{i}.jpg {i % 3}\n" for i in range(6)))
    (tmp_path / "list_landmarks_align_celeba.txt").write_text(
        "6\nlefteye_x lefteye_y ...\n0.jpg 1 2 3 4 5 6 7 8 9 10\n"
    )
    whole = read_source(tmp_path)
    assert len(whole.entries) == 6
    assert whole.entries[0].landmarks is not None and np.array_equal(whole.entries[0].landmarks[1], [3, 4])
    assert [e.person for e in read_source(tmp_path, people=1, min_photos=3).entries] == ["celeba-9"] * 3


def test_the_identification_rate_set_names_queries_only(tmp_path: Path):
    save_colour(tmp_path / "celebA_query" / "1.jpg", "red", (83, 100))
    save_colour(tmp_path / "celebA_distractors" / "2.jpg", "red", (83, 100))
    (tmp_path / "celebA_anno_query.csv").write_text("img,id\n1.jpg,35\n")
    assert [(e.person, e.split) for e in read_source(tmp_path).entries] == [
        ("celeba_ir-35", "query"),
        ("", "distractor"),
    ]


def test_one_folder_a_person_takes_the_first_folder_as_the_name(tmp_path: Path):
    save_colour(tmp_path / "Ana" / "2020" / "a.png", "red")
    save_colour(tmp_path / "Бен" / "b.png", "red")
    save_colour(tmp_path / "loose.png", "red")
    source = read_source(tmp_path)
    assert [(e.person, e.name) for e in source.entries] == [("Ana", "Ana/2020/a.png"), ("Бен", "Бен/b.png")]
    assert [s.reason for s in source.skipped] == ["not in a person's folder"]


@pytest.mark.parametrize(
    ("table", "text", "line", "why"),
    [
        ("celebA_anno.txt", "000000.jpg 0 1\n", 1, "two words"),
        ("celebA_anno.txt", "000000.jpg 0\n../../etc/passwd 1\n", 2, "leads out of the folder"),
        ("celebA_train_split.txt", "000000.jpg 7\n", 1, "'7'"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, table: str, text: str, line: int, why: str):
    celeba500(tmp_path)
    (tmp_path / table).write_text(text)
    with pytest.raises(BadTable, match=why) as caught:
        read_source(tmp_path)
    assert caught.value.line == line


def test_the_query_table_may_not_lead_out_either(tmp_path: Path):
    (tmp_path / "celebA_distractors").mkdir()
    (tmp_path / "celebA_anno_query.csv").write_text("img,id\n../../secret.jpg,1\n")
    with pytest.raises(BadTable, match="leads out"):
        read_source(tmp_path)


def test_what_is_no_source_is_said(tmp_path: Path):
    with refused(UnknownSource, "one folder a person"):
        read_source(tmp_path)
    with pytest.raises(NotFound):
        read_source(tmp_path / "nowhere")


@pytest.mark.parametrize("val", [0.2, 0.5, 0.9])
def test_the_random_split_leaves_everybody_a_train_photo(tmp_path: Path, val: float):
    for person in range(12):
        for shot in range(1 + person % 3):
            save_colour(tmp_path / f"p{person}" / f"{shot}.png", "red")
    source = read_source(tmp_path)
    for seed in range(20):
        dealt = with_random_split(source, val=val, test=0.05, seed=seed).entries
        assert [e.name for e in dealt] == [e.name for e in source.entries]
        assert {e.person for e in dealt if e.split == "train"} == {f"p{i}" for i in range(12)}
        count = Counter(e.split for e in dealt)
        assert count["val"] + count["test"] == min(round(val * 24) + round(0.05 * 24), 12)


def test_a_split_that_leaves_nobody_out_is_as_it_was(tmp_path: Path):
    """What was prepared before is found again: the plan of a dataset holds its split."""
    for person in range(3):
        for shot in range(8):
            save_colour(tmp_path / f"p{person}" / f"{shot}.png", "red")
    dealt = with_random_split(read_source(tmp_path), val=0.25, test=0.0, seed=1).entries
    order = np.random.default_rng(1).permutation(24)
    assert {i for i, e in enumerate(dealt) if e.split == "val"} == set(order[:6].tolist())
