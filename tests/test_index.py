"""Every kind of index answers as trying all does, through additions, removals, damage, kills and other processes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from pathlib import Path

import faiss
import numpy as np
import pytest

from facesearch.commands.asking import _named_in
from facesearch.errors import BadIndex, CorruptGallery, NothingToDo, UnknownPerson
from facesearch.gallery import faiss_index, index_files, index_kinds
from facesearch.gallery.bit_codes import code_bytes, encode, rotated, scanner
from facesearch.gallery.faiss_index import count_faces, erase_from_index, is_current, open_index, refresh, update
from facesearch.gallery.index_choice import choose_index, chosen_index, index_parts, part_words
from facesearch.gallery.index_kinds import FLAT, Recall, Trial, finder_for
from facesearch.gallery.index_rows import flat_index, header, rows_in, vectors_of
from facesearch.gallery.nearest import nearest_people
from facesearch.gallery.rows import NewFace
from facesearch.gallery.store import FILE, Gallery
from facesearch.gallery.sums import mixed, row_sums
from facesearch.jobs.care import verify
from facesearch.jobs.erase import forget
from tests.conftest import refused

D = 64
SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("HNSW16", "PCAR32,IVF4,SQ8")]
KINDS = ["flat", "bits1", "bits2", "IVF8,SQ8", *SLOW]


def people(count: int, photos: int = 5, seed: int = 0, first: int = 0) -> list[NewFace]:
    """Drawn people, their photos around them."""
    faces = []
    for person in range(first, first + count):
        random = np.random.default_rng([seed, person])
        centre = random.normal(size=D)
        for photo in range(photos):
            vector = (centre + 0.7 * random.normal(size=D)).astype(np.float32)
            sha256 = random.bytes(32).hex()
            faces.append(NewFace(f"person {person:05}", sha256, f"picture-{person:05}-{photo}.jpg", vector / np.linalg.norm(vector)))
    return faces


def asked(count: int = 12) -> np.ndarray:
    vectors = np.stack([face.vector for face in people(count, 2, seed=0)])[1::2] + np.random.default_rng(9).normal(size=(count, D)) * 0.05
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def by_trying_all(gallery: Gallery, queries: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The slow, obvious twin."""
    ids, vectors, _ = gallery.vectors()
    if among is not None:
        ids, vectors = ids[np.isin(ids, among)], vectors[np.isin(ids, among)]
    scores = queries @ vectors.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return ids[order], np.take_along_axis(scores, order, axis=1)


def answers_right(gallery: Gallery, k: int = 10, among: np.ndarray | None = None) -> None:
    queries = asked()
    ids, scores = open_index(gallery).search(queries, k, among)
    expected, best = by_trying_all(gallery, queries, k, among)
    there = expected.shape[1]
    assert np.array_equal(ids[:, :10], expected[:, :10]) and (ids[:, there:] == -1).all()
    assert np.array_equal(np.sort(ids[:, :there]), np.sort(expected))  # far down, equals may change places by rounding
    assert np.allclose(scores[:, :there], best, atol=1e-6) and np.isneginf(scores[:, there:]).all()


@pytest.fixture(autouse=True)
def one_thread():
    """Processes are forked here, and FAISS's threads do not survive that."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture
def gallery(tmp_path: Path):
    """1,500 photos of 300 people."""
    with Gallery.create(tmp_path / "g", "e" * 64, D, "encoder") as opened:
        opened.add(people(300))
        yield opened


def indexed(gallery: Gallery, kind: str) -> Gallery:
    choose_index(gallery, kind)
    refresh(gallery, "test")
    assert [part["kind"] for part in index_parts(gallery)] == [kind]
    return gallery


# ---- every kind


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_answers_as_trying_all_does(gallery: Gallery, kind: str):
    indexed(gallery, kind)
    answers_right(gallery)
    answers_right(gallery, k=1)
    answers_right(gallery, k=1600)  # more than there are: all of them, in order, and then none
    among = gallery.face_ids(["person 00003", "person 00200", "person 00299"])
    assert len(among) == 15
    answers_right(gallery, k=4, among=among)
    answers_right(gallery, k=15, among=among)


@pytest.mark.parametrize("kind", KINDS)
def test_additions_and_removals_are_seen_at_once_and_after_compaction(gallery: Gallery, kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(faiss_index, "DELTA_LIMIT", 40)
    monkeypatch.setattr(faiss_index._bring_up_to_date, "__defaults__", (40,))
    indexed(gallery, kind)
    gallery.add(people(8, seed=5, first=300))  # beside the files
    assert open_index(gallery).built == "" and len(index_parts(gallery)) == 1
    answers_right(gallery)
    gallery.add(people(8, seed=5, first=308))  # a segment of their own
    assert "80 faces were enrolled" in open_index(gallery).built and [part["faces"] for part in index_parts(gallery)] == [1500, 80]
    answers_right(gallery)
    for number in (1, 4, 250, 301):
        gallery.forget(f"person {number:05}")
    answers_right(gallery)
    assert sum(part["faces"] for part in index_parts(gallery)) == 1560 == len(open_index(gallery)) == count_faces(gallery)
    gallery.add(people(100, seed=6, first=400))  # swallows what came before
    open_index(gallery)
    assert [part["faces"] for part in index_parts(gallery)] == [2060]
    answers_right(gallery)
    for number in range(50):
        if number not in (1, 4):
            gallery.forget(f"person {number:05}")  # more than a tenth: written anew
    open_index(gallery)
    assert [(part["rows"], part["faces"]) for part in index_parts(gallery)] == [(1820, 1820)]
    answers_right(gallery)
    assert verify(gallery.folder, repair=True).index == ""


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_read_only_folder_the_same_answers_and_no_file_is_touched(gallery: Gallery, kind: str, monkeypatch: pytest.MonkeyPatch):
    indexed(gallery, kind)
    gallery.forget("person 00001")
    gallery.add(people(450, seed=5, first=300))  # too many to be searched beside it
    before = {path.name: path.read_bytes() for path in gallery.folder.glob("vectors*")}
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: False if mode == os.W_OK else real(path, mode))
    answers_right(gallery)
    assert {path.name: path.read_bytes() for path in gallery.folder.glob("vectors*")} == before


def test_a_kind_that_faiss_does_not_know_is_refused_and_the_choice_stays(gallery: Gallery):
    choose_index(gallery, "bits2")
    for wrong in ("IVF8,Nonsense", "bits3", "", "flat "):
        with refused(BadIndex, "auto, flat, bits1, bits2"):
            choose_index(gallery, wrong)
    assert chosen_index(gallery) == "bits2"


def test_too_few_faces_to_train_a_kind_are_all_compared_instead(gallery: Gallery):
    choose_index(gallery, "IVF4096,SQ8")
    refresh(gallery, "test")
    assert [part["kind"] for part in index_parts(gallery)] == [FLAT]
    answers_right(gallery)


# ---- the measured choice


def test_auto_is_exact_up_to_the_crossover_and_then_what_is_measured_to_suffice(gallery: Gallery, monkeypatch: pytest.MonkeyPatch):
    refresh(gallery, "test")
    assert [part["kind"] for part in index_parts(gallery)] == [FLAT]
    monkeypatch.setattr(index_kinds, "CROSSOVER", 1000)
    refresh(gallery, "test")
    (part,) = index_parts(gallery)
    assert part["kind"] == "bits1" and min(part["recall"].values()) >= 0.998
    assert "recall@10 was" in part_words(part) and "all compared" in part_words({"kind": FLAT, "faces": 3, "recall": None})
    answers_right(gallery)


def test_where_codes_would_miss_too_much_auto_takes_finer_ones_and_then_compares_all(gallery: Gallery, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(index_kinds, "CROSSOVER", 1000)
    monkeypatch.setattr(index_kinds, "LADDER", (20,))
    refresh(gallery, "test")
    (coarse,) = index_parts(gallery)
    assert coarse["kind"] == FLAT  # 20 candidates by one or two bits of 64 numbers do not reach 0.998
    for ladder, kind in (((20, 60, 120), "bits2"), ((20, 60, 500), "bits1")):
        monkeypatch.setattr(index_kinds, "LADDER", ladder)
        refresh(gallery, "test")
        assert [part["kind"] for part in index_parts(gallery)] == [kind], index_parts(gallery)
    monkeypatch.setattr(index_kinds, "_memory", lambda: 1500 * 8 * 4 - 1)
    refresh(gallery, "test")
    assert [part["kind"] for part in index_parts(gallery)] == [FLAT]  # no memory for codes


def test_the_measured_recall_is_that_of_a_count_by_hand(gallery: Gallery):
    _, vectors, names = gallery.vectors()
    rows = vectors.astype("<f2").view(np.uint8)
    person = np.unique(names, return_inverse=True)[1].astype(np.int64)
    trial = Trial(rows, person)
    index = scanner(encode(vectors, 1), D, 1)
    for most, reached in trial.recalls(index_kinds.find_by_bits(index)):
        found = index.search(rotated(vectors[trial._asked]), len(vectors))[1]
        hits = {False: 0, True: 0}
        for query, candidates in zip(trial._asked.tolist(), found.tolist(), strict=True):
            scores = vectors @ vectors[query]
            for strangers in (False, True):
                allowed = [i for i in range(len(vectors)) if (person[i] != person[query] if strangers else i != query)]
                best = sorted(allowed, key=lambda i: -scores[i])[:10]
                there = set(allowed)
                hits[strangers] += len(set(best) & set([i for i in candidates if i in there][:most]))
        total = 10 * len(trial._asked)
        assert reached == Recall(pytest.approx(hits[False] / total), pytest.approx(hits[True] / total))
        break  # the first step of the ladder is the one that misses


def test_without_a_trial_nothing_approximate_is_taken():
    rows = np.zeros((5, 2 * D), np.uint8)
    assert finder_for("bits1", rows, np.arange(5), D).kind == FLAT


# ---- codes, rows, sums


@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("dimension", [3, 12, 16, 100, 512])
def test_codes_are_what_faiss_itself_would_choose_in_that_codebook(bits: int, dimension: int):
    vectors = np.random.default_rng(dimension).normal(size=(200, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes = encode(vectors, bits)
    assert codes.shape == (200, code_bytes(dimension, bits))
    assert np.allclose(rotated(vectors) @ rotated(vectors).T, vectors @ vectors.T, atol=1e-5)
    width = rotated(vectors).shape[1]
    twin, own = faiss.IndexPQ(width, width * bits // 4, 4), scanner(codes, dimension, bits)
    faiss.copy_array_to_vector(faiss.vector_to_array(own.pq.centroids), twin.pq.centroids)
    twin.is_trained = True
    ours, its = (np.linalg.norm(twin.sa_decode(c) - rotated(vectors), axis=1) for c in (codes, twin.sa_encode(rotated(vectors))))
    assert np.allclose(ours, its, atol=1e-4)  # numbers on a level's very edge may fall either way


def test_the_rotation_and_the_sums_are_the_same_numbers_for_ever():
    """Files written on one machine are read on another. The sums once more, by hand, in Python's own whole numbers."""

    def split_mix(i: int, seed: int) -> int:
        z = (i + (seed << 32)) * 0x9E3779B97F4A7C15 % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    assert mixed(3, 1).tolist() == [split_mix(i, 1) for i in (1, 2, 3)] == [5046631899840037604, 16717222514326610955, 11091719282212608533]
    rows, ids = np.arange(16, dtype=np.uint8).reshape(2, 8), np.array([5, 7])
    weights = [split_mix(i, 2) | 1 for i in (1, 2)]
    words = [int.from_bytes(bytes(row), "little") for row in rows]
    assert row_sums(rows, ids).tolist() == [(n * weights[0] + w * weights[1]) % 2**64 for n, w in zip(ids.tolist(), words, strict=True)]
    assert np.round(rotated(np.eye(4, dtype=np.float32)) * 8).astype(int).tolist() == [
        [2, 2, -6, 2, -2, -2, -2, -2],
        [-2, -2, -2, 6, 2, 2, 2, 2],
        [6, -2, -2, -2, 2, 2, 2, 2],
        [2, -6, 2, 2, -2, -2, -2, -2],
    ]


def test_every_changed_bit_changes_a_rows_sum():
    rows = np.random.default_rng(1).integers(0, 256, (3, 24), np.uint8)
    ids = np.array([1, 5, 9])
    right = row_sums(rows, ids)
    for place in range(24):
        for bit in range(8):
            other = rows.copy()
            other[1, place] ^= 1 << bit
            assert (row_sums(other, ids) != right).tolist() == [False, True, False]
    assert (row_sums(rows, ids + 1) != right).all()
    assert row_sums(rows[:, :6].copy(), ids).shape == (3,)  # rows that are no whole number of words


def test_the_file_of_rows_is_one_that_faiss_reads_by_itself(gallery: Gallery):
    refresh(gallery, "test")
    index = faiss.read_index(str(next(gallery.folder.glob("*.faiss"))))
    assert np.array_equal(index.reconstruct_n(0, 1500), gallery.vectors()[1])
    twin = flat_index(D)
    twin.add(gallery.vectors()[1])
    whole = faiss.serialize_index(twin).tobytes()
    assert whole == next(gallery.folder.glob("*.faiss")).read_bytes() and whole.startswith(header(1500, D))
    assert np.array_equal(vectors_of(rows_in(np.frombuffer(whole, np.uint8), D)), gallery.vectors()[1])


# ---- damage


@pytest.mark.parametrize("kind", ["flat", "bits1", pytest.param("IVF8,SQ8", marks=pytest.mark.slow)])
def test_a_byte_flipped_anywhere_in_the_index_gives_no_wrong_answer(gallery: Gallery, kind: str):
    """Every 997th byte of every file, of long ones every 9973rd: the answers are right, whatever is found damaged on the way."""
    indexed(gallery, kind)
    queries = asked()
    expected, best = by_trying_all(gallery, queries, 10)
    noticed = 0
    whole = {path: path.read_bytes() for path in gallery.folder.glob("vectors*") if path.stat().st_size}
    for path, data in whole.items():
        for place in range(0, len(data), 997 if len(data) < 40_000 else 9973):
            for other, content in whole.items():
                other.write_bytes(content)
            broken = bytearray(data)
            broken[place] ^= 1 << place % 8
            path.write_bytes(broken)
            index = open_index(gallery)
            ids, scores = index.search(queries, 10)
            assert np.array_equal(ids, expected) and np.allclose(scores, best, atol=1e-6), (path.name, place)
            noticed += bool(index.built)
            for rest in set(gallery.folder.glob("vectors*")) - whole.keys():
                rest.unlink()
    assert noticed > 5


def test_a_vector_damaged_in_its_file_is_read_from_the_store_and_verify_mends_the_file(gallery: Gallery):
    indexed(gallery, "bits1")
    path = next(gallery.folder.glob("*.faiss"))
    data = bytearray(path.read_bytes())
    start = len(header(1500, D))
    data[start:] = bytes(len(data) - start)  # all of them
    path.write_bytes(data)
    assert open_index(gallery).built == ""
    answers_right(gallery)
    assert is_current(gallery)[0] and "damaged" in verify(gallery.folder, repair=False).index
    assert verify(gallery.folder, repair=True).mended == ("the index was made anew",)
    assert verify(gallery.folder, repair=True).index == ""


def test_a_code_that_is_not_its_rows_is_found_by_verify(gallery: Gallery):
    indexed(gallery, "bits1")
    path = next(gallery.folder.glob("*.codes"))
    path.write_bytes(path.read_bytes()[::-1])
    manifest = gallery.folder / "vectors.json"
    text = manifest.read_text()
    checks = index_files.read_manifest(gallery)["segments"][0]["checks"]
    manifest.write_text(text.replace(str(checks[".codes"]), str(index_files._check(path))))  # whoever did it knew the check number
    assert "damaged" in verify(gallery.folder, repair=False).index


def test_an_index_of_the_version_before_is_made_anew_and_not_misread(gallery: Gallery):
    """As it was written until 2026-11: ids within the FAISS file, a hash of all of it in the manifest."""
    import hashlib
    import json

    ids, vectors, _ = gallery.vectors()
    old = faiss.IndexIDMap2(flat_index(D))
    old.add_with_ids(vectors[::-1].copy(), ids)  # wrong on purpose: whoever takes it answers wrongly
    data = faiss.serialize_index(old).tobytes()
    (gallery.folder / "vectors-1-abcd.faiss").write_bytes(data)
    entry = {"file": "vectors-1-abcd.faiss", "sha256": hashlib.sha256(data).hexdigest(), "faces": 1500, "last_face_id": 1500,
             "encoder_id": gallery.encoder_id, "erasures": 0}  # fmt: skip
    (gallery.folder / "vectors.json").write_text(json.dumps(entry))
    assert "another version" in open_index(gallery).built
    answers_right(gallery)
    assert not (gallery.folder / "vectors-1-abcd.faiss").exists()


# ---- erasing


@pytest.mark.parametrize("kind", KINDS)
def test_forgetting_leaves_no_byte_of_a_vector_or_a_code(tmp_path: Path, kind: str):
    with Gallery.create(tmp_path / "g", "e" * 64, 512, "encoder") as gallery:
        random = np.random.default_rng(3)
        vectors = random.normal(size=(600, 512)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        gallery.add([NewFace(f"person {i // 3:05}", random.bytes(32).hex(), f"picture-{i:05}.jpg", v) for i, v in enumerate(vectors)])
        indexed(gallery, kind)
        before = index_parts(gallery)
        files = sorted(path.name for path in gallery.folder.glob("vectors-*"))
    gone = vectors[6:9]
    blobs = [row.astype("<f2").tobytes() for row in gone]
    rows = np.stack([np.frombuffer(blob, np.uint8) for blob in blobs])
    bits = index_kinds.BITS.get(kind)
    codes = [bytes(code) for code in encode(vectors_of(rows), bits)] if bits else []
    pieces = [blob[i : i + 16] for blob in blobs + codes for i in range(0, len(blob) - 15, 8)]
    assert any(piece in path.read_bytes() for piece in pieces for path in (tmp_path / "g").glob("vectors-*"))
    receipt, _ = forget("person 00002", tmp_path / "g", (), lambda line: None)
    assert receipt.photos == 3
    for path in (tmp_path / "g").rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not any(piece in data for piece in pieces), path
    with Gallery.open(tmp_path / "g") as gallery:
        (after,) = index_parts(gallery)
        if kind in ("flat", "bits1", "bits2"):  # overwritten where it lay, nothing else was written anew
            assert after | {"faces": 600} == before[0] and after["faces"] == 597
            assert sorted(path.name for path in gallery.folder.glob("vectors-*")) == files
        else:  # an index that has learned from the forgotten is made anew
            assert (after["rows"], after["faces"]) == (597, 597)
        ids, _ = open_index(gallery).search(gone, 597)
        assert not np.isin([7, 8, 9], ids).any() and len(np.unique(ids)) == 597
        assert verify(gallery.folder, repair=False).index == ""


def test_the_proof_can_fail(gallery: Gallery, monkeypatch: pytest.MonkeyPatch):
    """With the overwriting of rows switched off the bytes stay, and it is noticed."""
    from facesearch.errors import StillThere
    from facesearch.jobs import erase

    indexed(gallery, "bits2")
    monkeypatch.setattr(index_files, "overwrite", lambda *args: None)
    monkeypatch.setattr(erase, "refresh", lambda *args: None)
    monkeypatch.setattr(erase.time, "sleep", lambda seconds: None)
    with pytest.raises(StillThere, match=r"\.faiss"):
        forget("person 00002", gallery.folder, (), lambda line: None)


STEPS = {
    "while rows are written": (index_files, "finder_for"),
    "while what belongs to them is written": (index_files, "replace_file"),
    "before it is named": (faiss_index, "write_manifest"),
    "while it is named": (index_files, "replace_json"),
    "before the old files go": (index_files, "drop_others"),
}


@pytest.mark.parametrize("kind", ["bits1", pytest.param("flat", marks=pytest.mark.slow), SLOW[1]])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_of_writing_it_the_next_one_answers_right_and_leaves_nothing(gallery: Gallery, kind: str, step: str):
    indexed(gallery, kind)
    gallery.add(people(450, seed=5, first=300))
    owner, name = STEPS[step]
    child = os.fork()
    if child == 0:
        setattr(owner, name, lambda *args, **kwargs: os._exit(9))
        try:
            with Gallery.open(gallery.folder) as other:
                refresh(other, "test")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    answers_right(gallery)
    update(gallery)
    named = {part["name"] for part in index_files.read_manifest(gallery)["segments"]}
    assert {path.stem for path in gallery.folder.glob("vectors-*")} == named and not list(gallery.folder.glob(".*.new"))


def test_killed_while_rows_are_overwritten_the_index_is_made_anew(gallery: Gallery):
    indexed(gallery, "bits1")
    gallery.forget("person 00002")
    child = os.fork()
    if child == 0:
        real, calls = index_files.overwrite, []

        def once(*args: object) -> None:
            if calls:
                os._exit(9)
            calls.append(1)
            real(*args)  # type: ignore[arg-type]

        index_files.overwrite = once  # type: ignore[assignment]
        try:
            with Gallery.open(gallery.folder) as other:
                erase_from_index(other)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    answers_right(gallery)
    assert verify(gallery.folder, repair=False).index == "" and sum(part["faces"] for part in index_parts(gallery)) == 1495


# ---- other processes


def _ask_for_ever(folder: Path, number: int, until: object) -> None:
    rounds = 0
    while not until.is_set() or rounds < 3:  # type: ignore[attr-defined]
        with Gallery.open(folder) as gallery:
            index = open_index(gallery)
            for person in range(250, 300):
                photo = people(1, 1, first=person)[0]
                best = nearest_people(gallery, index, photo.vector, 1)[0]
                if best.person != photo.person or best.score < 0.999:
                    os._exit(3)
        rounds += 1
    os._exit(0)


def test_one_process_enrolls_and_forgets_while_others_ask(gallery: Gallery, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(faiss_index._bring_up_to_date, "__defaults__", (40,))
    monkeypatch.setattr(faiss_index, "DELTA_LIMIT", 40)
    indexed(gallery, "bits1")
    context = multiprocessing.get_context("fork")
    done = context.Event()
    readers = [context.Process(target=_ask_for_ever, args=(gallery.folder, n, done)) for n in range(2)]
    for reader in readers:
        reader.start()
    for number in range(5):
        gallery.add(people(10, seed=7, first=1000 + 10 * number))
        forget(f"person {number:05}", gallery.folder, (), lambda line: None)
    done.set()
    for reader in readers:
        reader.join()
        assert reader.exitcode == 0
    answers_right(gallery)
    assert verify(gallery.folder, repair=True).problems == ()


def test_an_encrypted_gallery_keeps_its_index_in_memory_alone(tmp_path: Path):
    from facesearch.gallery.keys import Key

    pytest.importorskip("cryptography")
    key = Key(bytes(range(32)), "a test")
    with Gallery.create(tmp_path / "g", "e" * 64, D, "encoder", key) as gallery:
        gallery.add(people(100))
        for kind in ("flat", "bits1", "IVF8,SQ8"):
            choose_index(gallery, kind)
            answers_right(gallery)
        assert sorted(path.name.split("-")[0] for path in gallery.folder.iterdir() if not path.name.startswith(FILE)) == []


# ---- filters, counts, the commands


def test_a_filter_keeps_to_its_people_and_an_unknown_name_is_the_usual_error(gallery: Gallery, tmp_path: Path):
    indexed(gallery, "bits1")
    gallery.add(people(1, seed=5, first=300))  # beside the files
    index = open_index(gallery)
    query = people(1, 1)[0].vector
    assert nearest_people(gallery, index, query, 2)[0].person == "person 00000"
    among = gallery.face_ids(["person 00009", "person 00300"])
    found = nearest_people(gallery, index, query, 5, among)
    assert {match.person for match in found} == {"person 00009", "person 00300"} and all(match.photos == 5 for match in found)
    with pytest.raises(UnknownPerson, match="Did you mean"):
        gallery.face_ids(["person 0009"])
    (tmp_path / "names.txt").write_text("person 00009\n\nperson 00300\n")
    assert _named_in(tmp_path / "names.txt") == ["person 00009", "person 00300"]
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(NothingToDo, match="No name"):
        _named_in(tmp_path / "none.txt")


def test_counting_by_the_index_is_counting(gallery: Gallery):
    assert count_faces(gallery) == 1500  # no index yet
    refresh(gallery, "test")
    gallery.add(people(3, seed=5, first=300))
    assert count_faces(gallery) == 1515
    gallery.forget("person 00000")
    assert count_faces(gallery) == 1510
    erase_from_index(gallery)
    assert count_faces(gallery) == 1510


def test_the_commands(run, tmp_path: Path, album: Path, weights: Path):
    use = ("--aligned", "--weights", weights)
    run("enroll", "--from", album, *use)
    made = run("index", "bits1").stdout
    assert made.startswith("index: index bits1 of 48 faces") and "bits1: 48 faces, the best 200 compared exactly" in made
    facts = run("info").stdout
    assert "bits1: 48 faces" in facts and "chosen index" in facts
    assert "is no index that can be made" in run("index", "IVF8,Nonsense", code=1).stderr
    few = run("index", "IVF64,SQ8")
    assert "flat: 48 faces, all compared" in few.stdout and "cannot be made of so few faces" in few.stderr
    photo = sorted((album / "p001").iterdir())[0]
    assert " * 1.  1.000  p001" in run("query", photo, *use, "--threshold", "0.9").stdout
    answer = run("query", photo, *use, "--among", "p002", "--among", "p003").stdout
    assert "p002" in answer and "p003" in answer and "p001 " not in answer.replace(str(photo), "")
    (tmp_path / "names").write_text("p004\n")
    answer = run("query", photo, *use, "--among-file", "names").stdout
    assert "p004" in answer and "p002" not in answer
    assert "Nobody called 'p0' is enrolled" in run("query", photo, *use, "--among", "p0", code=1).stderr


def test_a_lost_row_is_still_damage_with_a_compressed_index(gallery: Gallery):
    import sqlite3

    indexed(gallery, "bits1")
    index = open_index(gallery)
    with sqlite3.connect(gallery.folder / FILE) as db:
        db.execute("DELETE FROM faces WHERE face_id = 3")
    with pytest.raises(CorruptGallery, match="row of face 3 is gone"):
        nearest_people(gallery, index, people(1)[2].vector, 1)
    shutil.rmtree(gallery.folder, ignore_errors=True)
