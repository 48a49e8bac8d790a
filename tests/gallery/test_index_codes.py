"""Which kind of index is taken, and the codes, rows and checksums that it is made of."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from facesearch.gallery.index import kinds as index_kinds
from facesearch.gallery.index.bit_codes import code_bytes, encode, rotated, scanner
from facesearch.gallery.index.checksums import mixed, row_checksums
from facesearch.gallery.index.choice import index_parts, part_words
from facesearch.gallery.index.faiss_index import refresh
from facesearch.gallery.index.kinds import FLAT, Recall, Trial, finder_for
from facesearch.gallery.index.rows import flat_index, header, rows_in, vectors_of
from facesearch.gallery.store.store import Store
from tests.helpers.index import D, answers_right

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def gallery(three_hundred_people: Store) -> Store:
    return three_hundred_people


# ---- the measured choice


def test_auto_is_exact_up_to_the_crossover_and_then_what_is_measured_to_suffice(
    gallery: Store, monkeypatch: pytest.MonkeyPatch
):
    refresh(gallery, "test")
    assert [part["kind"] for part in index_parts(gallery)] == [FLAT]
    monkeypatch.setattr(index_kinds, "CROSSOVER", 1000)
    refresh(gallery, "test")
    (part,) = index_parts(gallery)
    assert part["kind"] == "bits1" and min(part["recall"].values()) >= 0.998
    assert "recall@10 was" in part_words(part) and "all compared" in part_words(
        {"kind": FLAT, "faces": 3, "recall": None}
    )
    answers_right(gallery)


def test_where_codes_would_miss_too_much_auto_takes_finer_ones_and_then_compares_all(
    gallery: Store, monkeypatch: pytest.MonkeyPatch
):
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


def test_the_measured_recall_is_that_of_a_count_by_hand(gallery: Store):
    _, vectors, names = gallery.faces.vectors()
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
                allowed = [
                    i
                    for i in range(len(vectors))
                    if (person[i] != person[query] if strangers else i != query)
                ]
                best = sorted(allowed, key=lambda i: -scores[i])[:10]
                there = set(allowed)
                hits[strangers] += len(set(best) & set([i for i in candidates if i in there][:most]))
        total = 10 * len(trial._asked)
        assert reached == Recall(pytest.approx(hits[False] / total), pytest.approx(hits[True] / total))
        break  # the first step of the ladder is the one that misses


def test_without_a_trial_nothing_approximate_is_taken():
    rows = np.zeros((5, 2 * D), np.uint8)
    assert finder_for("bits1", rows, np.arange(5), D).kind == FLAT


# ---- codes, rows, checksums


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
    ours, its = (
        np.linalg.norm(twin.sa_decode(c) - rotated(vectors), axis=1)
        for c in (codes, twin.sa_encode(rotated(vectors)))
    )
    assert np.allclose(ours, its, atol=1e-4)  # numbers on a level's very edge may fall either way


def test_the_rotation_and_the_sums_are_the_same_numbers_for_ever():
    """Files written on one machine are read on another. The checksums once more, by hand, in Python's own
    whole numbers.
    """

    def split_mix(i: int, seed: int) -> int:
        z = (i + (seed << 32)) * 0x9E3779B97F4A7C15 % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    assert (
        mixed(3, 1).tolist()
        == [split_mix(i, 1) for i in (1, 2, 3)]
        == [5046631899840037604, 16717222514326610955, 11091719282212608533]
    )
    rows, ids = np.arange(16, dtype=np.uint8).reshape(2, 8), np.array([5, 7])
    weights = [split_mix(i, 2) | 1 for i in (1, 2)]
    words = [int.from_bytes(bytes(row), "little") for row in rows]
    assert row_checksums(rows, ids).tolist() == [
        (n * weights[0] + w * weights[1]) % 2**64 for n, w in zip(ids.tolist(), words, strict=True)
    ]
    assert np.round(rotated(np.eye(4, dtype=np.float32)) * 8).astype(int).tolist() == [
        [2, 2, -6, 2, -2, -2, -2, -2],
        [-2, -2, -2, 6, 2, 2, 2, 2],
        [6, -2, -2, -2, 2, 2, 2, 2],
        [2, -6, 2, 2, -2, -2, -2, -2],
    ]


def test_every_changed_bit_changes_a_rows_sum():
    rows = np.random.default_rng(1).integers(0, 256, (3, 24), np.uint8)
    ids = np.array([1, 5, 9])
    right = row_checksums(rows, ids)
    for place in range(24):
        for bit in range(8):
            other = rows.copy()
            other[1, place] ^= 1 << bit
            assert (row_checksums(other, ids) != right).tolist() == [False, True, False]
    assert (row_checksums(rows, ids + 1) != right).all()
    assert row_checksums(rows[:, :6].copy(), ids).shape == (3,)  # rows that are no whole number of words


def test_the_file_of_rows_is_one_that_faiss_reads_by_itself(gallery: Store):
    refresh(gallery, "test")
    index = faiss.read_index(str(next(gallery.folder.glob("*.faiss"))))
    assert np.array_equal(index.reconstruct_n(0, 1500), gallery.faces.vectors()[1])
    twin = flat_index(D)
    twin.add(gallery.faces.vectors()[1])
    whole = faiss.serialize_index(twin).tobytes()
    assert whole == next(gallery.folder.glob("*.faiss")).read_bytes() and whole.startswith(header(1500, D))
    assert np.array_equal(vectors_of(rows_in(np.frombuffer(whole, np.uint8), D)), gallery.faces.vectors()[1])
