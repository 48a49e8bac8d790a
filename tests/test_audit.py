"""Errors planted in drawn people are found, each list against its slow, obvious twin; and right labels are left alone."""

from __future__ import annotations

import csv
import io
import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesearch import report_audit
from facesearch.errors import NothingToDo
from facesearch.faces.compare import aligned_correlation, correlations, crop_facts
from facesearch.faces.table import Dataset
from facesearch.gallery.rows import NewFace, Threshold
from facesearch.gallery.store import Gallery
from facesearch.jobs.audit import COPY, Labelled, audit, judged, labelled_dataset, labelled_gallery
from facesearch.jobs.enroll import enroll
from facesearch.metrics import audit as metrics
from facesearch.metrics.copies import CropFacts, bad_crops, copy_floor, groups_of, neighbours, robust_z, same_content
from facesearch.report_audit import findings
from tests.conftest import ColourEncoder, save_colour

D = 48
PEOPLE, PHOTOS = 30, 12


def quiet(done: int, total: int) -> None:
    pass


def units(v: np.ndarray) -> np.ndarray:
    return (v / np.linalg.norm(v, axis=-1, keepdims=True)).astype(np.float32)


def crowd(seed: int = 0, people: int = PEOPLE, photos: int = PHOTOS) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, d) around a centre each, and whose they are."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(units(rng.normal(size=(people, D))), photos, axis=0)
    return units(centres + 0.09 * rng.normal(size=centres.shape)), np.repeat(np.arange(people), photos)


def labelled(vectors: np.ndarray, codes: np.ndarray, content: list[str] | None = None) -> Labelled:
    n = len(vectors)
    return Labelled(
        "drawn", tuple(f"{i}.jpg" for i in range(n)), np.array([f"p{c:02d}" for c in codes]), np.full(n, "train"),
        np.array(content or [f"{i:064x}" for i in range(n)]), vectors,
    )  # fmt: skip


def face(seed: int) -> np.ndarray:
    """A smooth drawn picture (112, 112, 3), unlike any of another seed."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((112, 112), Image.Resampling.BICUBIC))


def through_jpeg(crop: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(crop).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


# ---- wrong names


def slow_fit(vectors: np.ndarray, codes: np.ndarray, groups: np.ndarray, use: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    own, other, who = [], [], []
    for i, v in enumerate(vectors):
        scores = {}
        for person in sorted(set(codes)):
            rows = [j for j in range(len(vectors)) if codes[j] == person and use[j] and not (person == codes[i] and groups[j] == groups[i])]
            pictures = [vectors[[j for j in rows if groups[j] == g]].astype(np.float64).mean(axis=0) for g in {groups[j] for j in rows}]
            scores[person] = float(units(np.sum(pictures, axis=0)) @ v) if rows else float("nan")
        own.append(scores.pop(codes[i]))
        who.append(max(scores, key=lambda p: -2 if np.isnan(scores[p]) else scores[p]))
        other.append(scores[who[-1]])
    return np.array(own), np.array(other), np.array(who)


def test_each_photo_is_scored_without_itself_and_without_its_copies(monkeypatch: pytest.MonkeyPatch):
    vectors, codes = crowd(people=5, photos=6)
    groups, use = np.arange(30), np.ones(30, bool)
    groups[[1, 2]], groups[[8, 9, 10]] = 1, 8
    use[[3, 9, 20]] = False
    codes = np.append(codes, 5)  # somebody with one photo
    vectors, groups, use = np.vstack([vectors, vectors[:1]]), np.append(groups, 30), np.append(use, True)
    for cells in (1 << 24, 20):  # at once, and three photos at a time
        monkeypatch.setattr(metrics, "CELLS", cells)
        fast = metrics.fit(vectors, codes, groups, use)
        own, other, who = slow_fit(vectors, codes, groups, use)
        assert np.isnan(fast.own[-1]) and np.isnan(own[-1])
        assert np.allclose(fast.own[:-1], own[:-1], atol=1e-5) and np.allclose(fast.other, other, atol=1e-5)
        assert fast.who.tolist() == who.tolist()


def test_people_taken_as_one_are_no_others_to_each_other():
    vectors, codes = crowd(people=4, photos=5)
    twin = np.concatenate([codes, np.full(5, 4)])
    doubled = np.vstack([vectors, units(vectors[:5] + 0.01)])
    n = len(twin)
    plain = metrics.fit(doubled, twin, np.arange(n), np.ones(n, bool))
    one = metrics.fit(doubled, twin, np.arange(n), np.ones(n, bool), [(0, 4)])
    assert set(plain.who[:5]) == {4} and 4 not in one.who[:5] and 0 not in one.who[-5:]
    assert np.array_equal(plain.own, one.own)


def swapped(codes: np.ndarray, rows: list[int]) -> np.ndarray:
    wrong = codes.copy()
    wrong[rows] = (codes[rows] + 7) % PEOPLE
    return wrong


def test_swapped_labels_are_found_with_the_person_they_belong_to_and_no_others():
    vectors, codes = crowd()
    rows = [3, 50, 51, 120, 200, 301, 359]
    result = audit(labelled(vectors, swapped(codes, rows)), quiet)
    assert {w.row for w in result.wrong} == set(rows)
    for w in result.wrong:
        assert result.names[w.who] == f"p{codes[w.row]:02d}" and w.margin > 0.3 and w.stranger_share > 0.01
        assert all(codes[row] == codes[w.row] for row, _ in w.nearest_other) and w.row not in {row for row, _ in w.nearest_own}
    assert [w.margin for w in result.wrong] == sorted((w.margin for w in result.wrong), reverse=True)


def test_right_labels_are_left_alone():
    result = audit(labelled(*crowd(4)), quiet)
    assert (result.wrong, result.same, result.clusters, result.copies) == ((), (), (), ())


def test_a_wrong_photo_is_not_vouched_for_by_its_own_copy():
    """A person of three: one photo is a stranger's, and there are four copies of it. As votes they would outweigh the right ones."""
    vectors, codes = crowd()
    few = np.concatenate([np.flatnonzero(codes == 0)[:3], np.flatnonzero(codes != 0)])
    vectors, codes = vectors[few], codes[few]
    stranger = np.flatnonzero(codes == 9)[0]
    vectors, codes = np.vstack([vectors, np.repeat(vectors[[stranger]], 4, axis=0)]), np.append(codes, [0] * 4)
    content = [f"{i:064x}" for i in range(len(codes) - 4)] + [f"{'c' * 64}"] * 4
    result = audit(labelled(vectors, codes, content), quiet)
    assert {w.row for w in result.wrong} >= set(range(len(codes) - 4, len(codes)))
    assert not {w.row for w in result.wrong} & set(range(len(codes) - 4))


def test_nobody_is_trusted_less_because_most_of_their_photos_are_suspected():
    suspect = np.array([True, True, False, True, False, False])
    assert metrics.trusted(suspect, np.array([0, 0, 0, 1, 1, 1])).tolist() == [True, True, True, False, True, True]


def test_closer_to_somebody_else_is_not_enough_by_hand():
    """100 photos score 0.5 to 1.49 (in hundredths) with their own person; strangers reach 0.2 at most."""
    own = np.arange(50, 150).astype(np.float32) / 100
    other = np.zeros(100, np.float32)
    own[10], other[10] = 0.60, 0.61  # a poor photo, a look-alike: neither low nor close to anybody
    own[20], other[20] = 0.10, 0.30  # no more like its person than strangers are
    own[30], other[30] = 0.80, 0.95  # as close to the other as 3 in 4 photos are to their own person
    own[40], other[40] = np.nan, 0.99  # the only photo of its person
    fitted = metrics.Fit(own, other, np.zeros(100, np.int64), np.linspace(-0.2, 0.2, 100).astype(np.float32))
    assert np.flatnonzero(metrics.suspects(fitted, np.full(100, "train"))).tolist() == [20, 30]
    parts = np.full(100, "train")
    parts[[10, *range(60, 100)]] = "val"  # of its part it is the lowest: that of the trained-on photos is another matter
    assert np.flatnonzero(metrics.suspects(fitted, parts)).tolist() == [10, 20, 30]


# ---- people


def test_a_person_under_two_names_is_found_and_their_photos_are_under_no_wrong_name():
    vectors, codes = crowd(1)
    doubled = codes.copy()
    doubled[(codes == 3) & (np.arange(len(codes)) % 2 == 0)] = PEOPLE
    doubled[(codes == 8) & (np.arange(len(codes)) % 3 == 0)] = PEOPLE + 1
    result = audit(labelled(vectors, doubled), quiet)
    assert {(str(result.names[s.a]), str(result.names[s.b])) for s in result.same} == {("p03", "p30"), ("p08", "p31")}
    assert result.wrong == () and all(s.fitting >= 0.5 for s in result.same)
    n = len(codes)
    fitted, pairs = judged(vectors, doubled, np.arange(n), np.full(n, ""))
    everybody = metrics.fit(vectors, doubled, np.arange(n), np.ones(n, bool), [(p.a, p.b) for p in pairs])
    assert np.array_equal(fitted.own, everybody.own)  # nobody was set aside for being like their own other name
    first = result.same[0]
    one, two = (units(vectors[doubled == int(str(result.names[code])[1:])].sum(axis=0)) for code in (first.a, first.b))
    assert first.score == pytest.approx(float(one @ two), abs=1e-5)
    i, j, best = first.nearest[0]
    cosines = vectors[result.data.people == result.names[first.a]] @ vectors[result.data.people == result.names[first.b]].T
    assert best == pytest.approx(cosines.max(), abs=1e-6) and float(vectors[i] @ vectors[j]) == pytest.approx(best, abs=1e-6)


def test_two_people_under_one_name_are_two_clusters():
    vectors, codes = crowd(2)
    mixed = np.where(codes == 5, 6, codes)
    mixed[(codes == 11) & (np.arange(len(codes)) % PHOTOS < 3)] = 12  # three photos only
    result = audit(labelled(vectors, mixed), quiet)
    found = {str(result.names[c.person]): c for c in result.clusters}
    assert set(found) == {"p06", "p12"}
    assert {frozenset(found["p06"].large), frozenset(found["p06"].small)} == {frozenset(np.flatnonzero(codes == c)) for c in (5, 6)}
    small = found["p12"].small
    assert set(small) == set(np.flatnonzero((codes == 11) & (mixed == 12)))
    own = vectors[list(small)] @ vectors[list(small)].T
    assert metrics._within(vectors[list(small)]) == pytest.approx(own[np.triu_indices(3, 1)].mean(), abs=1e-5)


def test_average_linkage_is_that_of_scipy():
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    for seed in range(5):
        rng = np.random.default_rng(seed)
        vectors = units(rng.normal(size=(17, 5)))
        similarity = vectors @ vectors.T
        tree = hierarchy.linkage((1 - similarity)[np.triu_indices(17, 1)].astype(np.float64), "average")
        members: dict[int, frozenset[int]] = {i: frozenset([i]) for i in range(17)}
        expected = set()
        for number, (a, b, _, _) in enumerate(tree):
            expected.add(frozenset([members[int(a)], members[int(b)]]))
            members[17 + number] = members[int(a)] | members[int(b)]
        assert {frozenset([frozenset(a), frozenset(b)]) for a, b in metrics.merges(similarity)} == expected


def test_copies_of_one_stray_photo_are_no_cluster():
    vectors, codes = crowd(3)
    stray = vectors[-1:]
    data = labelled(np.vstack([vectors, stray, stray]), np.append(codes, [0, 0]), [*(f"{i:064x}" for i in range(len(codes))), "s", "s"])
    assert audit(data, quiet).clusters == ()


def test_the_usual_scores_are_quantiles_of_pairs():
    vectors, codes = crowd(6)
    usual = metrics.levels(vectors, codes)
    cosines, upper = vectors @ vectors.T, np.triu_indices(len(codes), 1)
    same = (codes[:, None] == codes[None, :])[upper]
    assert usual.mates == pytest.approx(np.median(cosines[upper][same]), abs=0.01)
    assert usual.stranger_99 == pytest.approx(np.quantile(cosines[upper][~same], 0.99), abs=0.02)
    assert usual.lonely == pytest.approx(np.quantile(cosines[upper][~same], 1 - 10 / len(codes)), abs=0.03)
    assert usual.stranger_95 < usual.stranger_99 < usual.stranger_999 < usual.mates


def test_among_few_strangers_nobody_is_called_lonely():
    """Thirty people, one photo each: the best of 29 strangers is no high score, and that is no fault of a crop."""
    vectors, codes = crowd(7, people=30, photos=1)
    lonely = metrics.levels(vectors, codes).lonely
    assert (neighbours(vectors, 0.9).nearest >= lonely).all()
    outcast = np.vstack([vectors, units(-np.linalg.pinv(vectors).sum(axis=1))])  # turned away from all of them
    assert neighbours(outcast, 0.9).nearest[-1] < metrics.levels(outcast, np.arange(31)).lonely


def test_two_strays_unlike_each_other_are_no_cluster():
    """Both are turned away from the eight others and join each other first, at a cosine that strangers reach."""
    vectors, codes = crowd(8)
    main = vectors[codes == 0]
    rng = np.random.default_rng(1)
    one, two = units(rng.normal(size=(2, D)) - 2 * units(main.sum(axis=0)) * 2)
    two = units(two - one * (float(two @ one) - 0.15))
    person = np.vstack([main, one, two])
    sides = [sorted(map(len, join)) for join in metrics.merges(person @ person.T)]
    assert [2, 12] in sides and float(one @ two) < 0.3
    usual = metrics.levels(vectors, codes)
    mixed, whose = np.vstack([vectors, one, two]), np.append(codes, [0, 0])
    assert float(one @ two) < usual.stranger_99
    assert metrics.two_clusters(mixed, whose, np.arange(len(whose)), usual) == []
    alike = np.vstack([vectors, one, units(one + 0.02)])
    assert [c.person for c in metrics.two_clusters(alike, whose, np.arange(len(whose)), usual)] == [0]


# ---- copies


@pytest.mark.parametrize("chunk", [7, 64, 1000])
def test_neighbours_are_those_of_the_whole_matrix(chunk: int):
    vectors, _ = crowd(people=8, photos=9)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    found = neighbours(vectors, 0.6, per_face=3, chunk=chunk)
    assert np.allclose(found.nearest, cosines.max(axis=1), atol=1e-6)
    expected = []
    for a in range(len(vectors)):
        later = [b for b in np.argsort(-cosines[a], kind="stable") if b > a and cosines[a, b] >= 0.6]
        expected += [(a, int(b)) for b in later[:3]]
    assert list(zip(found.a.tolist(), found.b.tolist(), strict=True)) == expected and len(expected) > 50
    assert np.allclose(found.cosine, cosines[found.a, found.b], atol=1e-6)


def test_groups_join_what_pairs_join():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 60, 40), rng.integers(0, 60, 40)
    reach = np.eye(60, dtype=bool)
    reach[a, b] = reach[b, a] = True
    for _ in range(6):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    assert groups_of(a, b, 60).tolist() == [int(np.flatnonzero(row)[0]) for row in reach]
    first, later = same_content(np.array(["x", "y", "x", "z", "y", "x"]))
    assert list(zip(first.tolist(), later.tolist(), strict=True)) == [(0, 2), (1, 4), (0, 5)]


def test_the_floor_of_copies_by_vector_is_a_quarter_of_the_usual_angle():
    assert copy_floor(np.cos(np.radians([10, 20, 40], dtype=np.float32))) == pytest.approx(np.cos(np.radians(5)), abs=1e-6)
    assert copy_floor(np.array([np.nan], np.float32)) == 1.0


@pytest.mark.parametrize(
    "change",
    [
        lambda c: through_jpeg(c, 50),
        lambda c: np.clip(c * 0.7 + 20, 0, 255).astype(np.uint8),
        lambda c: np.asarray(Image.fromarray(c).resize((70, 70), Image.Resampling.BILINEAR).resize((112, 112), Image.Resampling.BILINEAR)),
        lambda c: np.roll(c, (4, -4), axis=(0, 1)),
        lambda c: np.asarray(Image.fromarray(c).resize((118, 118), Image.Resampling.BICUBIC).crop((3, 3, 115, 115))),
    ],
    ids=["recompressed", "relit", "resized", "shifted", "scaled"],
)
def test_a_changed_copy_is_the_same_picture_and_another_picture_is_not(change):
    for seed in range(3):
        assert aligned_correlation(face(seed), change(face(seed))) >= COPY
        assert aligned_correlation(face(seed), change(face(seed + 10))) < 0.8


def test_correlations_are_pearsons():
    a, b = (np.stack([face(s)[::4, ::4, 0] for s in range(k, k + 4)]) for k in (0, 20))
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    assert np.allclose(correlations(a, b), expected, atol=1e-5)
    assert correlations(np.full((1, 4, 4), 7, np.uint8), a[:1, :4, :4]).tolist() == [0]


# ---- crops


def test_crops_are_measured_as_the_textbook_says():
    crops = np.stack([face(1), face(2)])
    facts, small = crop_facts(crops, quiet)
    grey = np.round(crops @ [0.299, 0.587, 0.114])
    around = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    laplacian = around[:, :-2, 1:-1] + around[:, 2:, 1:-1] + around[:, 1:-1, :-2] + around[:, 1:-1, 2:] - 4 * grey
    assert np.allclose(facts[:, 0], grey.mean(axis=(1, 2)), atol=0.1) and np.allclose(facts[:, 1], grey.std(axis=(1, 2)), atol=0.1)
    assert np.allclose(facts[:, 2], laplacian.var(axis=(1, 2)), rtol=0.1) and small.shape == (2, 32, 32)


def test_robust_deviations_by_hand():
    # median 3, distances from it 2 1 0 1 97: their median is 1
    assert robust_z(np.array([1.0, 2, 3, 4, 100])) == pytest.approx(np.array([-2, -1, 0, 1, 97]) / 1.4826)
    assert robust_z(np.array([5.0, 5, 5, 9])).tolist() == [0, 0, 0, 0]


def test_spoilt_crops_are_listed_with_their_reason_worst_first():
    rng = np.random.default_rng(0)
    bright, contrast, sharp = rng.normal(120, 10, 60), rng.normal(50, 4, 60), np.exp(rng.normal(5, 0.3, 60))
    bright[3], contrast[3] = 2, 1
    bright[7], sharp[11], sharp[13] = 250, 1, 1e5
    nearest = np.full(60, 0.8, np.float32)
    nearest[20] = 0.1
    found = bad_crops(CropFacts(bright, contrast, sharp), nearest, 0.3)
    reasons = {bad.row: [word for word, _, _ in bad.reasons] for bad in found}
    assert {row: set(words) for row, words in reasons.items()} == {
        3: {"dark", "flat"}, 7: {"bright"}, 11: {"blurred"}, 13: {"noisy"}, 20: {"like no other photo"},
    }  # fmt: skip
    assert [bad.worst for bad in found] == sorted((bad.worst for bad in found), reverse=True) and found[-1].row == 20
    assert [bad.spoilt for bad in found] == [True] * 4 + [False]


# ---- the whole


def test_nothing_to_compare_with():
    vectors, codes = crowd(people=2, photos=2)
    with pytest.raises(NothingToDo, match="compares photos"):
        audit(labelled(vectors[:1], codes[:1]), quiet)
    alone = audit(labelled(vectors[:2], codes[:2]), quiet)  # one person only: nobody to be mistaken for
    assert (alone.wrong, alone.same, alone.clusters) == ((), (), ())
    single = audit(labelled(vectors[[0, 2]], codes[[0, 2]]), quiet)  # one photo each
    assert single.unjudged == 2 and single.wrong == ()
    nobody = labelled(vectors, codes)
    nameless = audit(Labelled("x", nobody.files, np.full(4, ""), nobody.splits, nobody.sha256, vectors), quiet)
    assert nameless.nameless == 4 and nameless.wrong == ()


def test_photos_without_a_name_do_not_shift_the_others():
    vectors, codes = crowd()
    rows = [40, 200]
    data = labelled(vectors, swapped(codes, rows))
    people = data.people.copy()
    people[[0, 1, 100]] = ""
    result = audit(Labelled("x", data.files, people, data.splits, data.sha256, vectors), quiet)
    assert {w.row for w in result.wrong} == set(rows) and result.nameless == 3
    assert all(codes[row] == codes[w.row] for w in result.wrong for row, _ in w.nearest_other)


@pytest.fixture
def spoilt(toy_dataset: Dataset) -> Labelled:
    """The toy album with two recompressed copies (one mirrored, one under another name) and a black crop."""
    rows = toy_dataset.rows
    mirrored = np.ascontiguousarray(toy_dataset.crops[5][:, ::-1])
    added = np.stack([through_jpeg(toy_dataset.crops[0], 60), through_jpeg(mirrored, 60), np.zeros((112, 112, 3), np.uint8)])
    crops = np.concatenate([toy_dataset.crops, added])
    vectors = ColourEncoder().embed(crops)
    vectors[-2] = vectors[5]  # as an encoder that averages over the mirror image would have it
    other = "val" if rows[0].split == "train" else "train"
    return Labelled(
        "album", (*(r.file for r in rows), "a.png", "b.png", "black.png"),
        np.array([*(r.person for r in rows), rows[0].person, "p005", rows[9].person]),
        np.array([*(r.split for r in rows), other, rows[5].split, "train"]),
        np.array([*(r.sha256 for r in rows), "a", "b", "c"]), vectors, crops,
    )  # fmt: skip


def test_copies_and_spoilt_crops_in_pictures(spoilt: Labelled):
    result = audit(spoilt, quiet)
    n = len(spoilt)
    found = {(c.a, c.b): c for c in result.copies}
    assert found[0, n - 3].kind == "same picture" and found[5, n - 2].kind == "mirrored"
    assert all(c.correlation >= COPY for c in result.copies)
    told = {(c["file"], c["other_file"]): c for c in findings(result)["copies"]}
    across = told[spoilt.files[0], "a.png"], told[spoilt.files[5], "b.png"]
    assert [(c["across_splits"], c["across_people"]) for c in across] == [(True, False), (False, True)]
    assert result.crops is not None and result.crops[0].row == n - 1 and result.crops[0].spoilt


def test_a_spoilt_crop_says_nothing_about_its_name():
    vectors, codes = crowd()
    data = labelled(vectors, swapped(codes, [40, 200]))
    crops = np.stack([face(seed) for seed in range(len(codes))])
    crops[40] = 0
    result = audit(replace(data, crops=crops), quiet)
    assert [w.row for w in result.wrong] == [200] and result.crops is not None and result.crops[0].row == 40


# ---- the command


def test_the_table_the_json_the_tables_and_the_sheet_say_the_same(run, spoilt: Labelled, tmp_path: Path, toy_dataset: Dataset):
    result = audit(spoilt, quiet)
    lists = report_audit.findings(result)
    told = json.loads(report_audit.audit_json(result))
    assert told["photos"] == len(spoilt) and told["copies"][0]["file"] == lists["copies"][0]["file"]
    lines = report_audit.audit_lines(result, 1)
    assert f"{len(lists['copies'])} duplicate and near-duplicate photos" in "\n".join(lines)
    if len(lists["copies"]) > 1:
        assert f"       ... and {len(lists['copies']) - 1} more (--top)" in lines
    written = report_audit.write_tables(result, tmp_path / "tables")
    assert sorted(path.name for path in written) == sorted(f"{name}.csv" for name in lists)
    for path in written:
        with path.open(newline="") as file:
            assert len(list(csv.DictReader(file))) == len(lists[path.stem])
    shown = report_audit.write_sheet(result, tmp_path / "sheet.html", 2)
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("data:image/jpeg;base64,") == shown > 0 and "http" not in page
    assert stat.S_IMODE((tmp_path / "sheet.html").stat().st_mode) == 0o600
    with pytest.raises(ValueError, match="needs crops"):
        report_audit.write_sheet(replace(result, data=replace(spoilt, crops=None)), tmp_path / "no.html", 2)


def test_a_name_is_text_on_the_sheet(spoilt: Labelled, tmp_path: Path):
    people = np.where(spoilt.people == spoilt.people[0], "<script>alert(1)</script>", spoilt.people)
    data = Labelled("x", spoilt.files, people, spoilt.splits, spoilt.sha256, spoilt.vectors, spoilt.crops)
    report_audit.write_sheet(audit(data, quiet), tmp_path / "s.html", 5)
    assert "<script>" not in (tmp_path / "s.html").read_text() and "&lt;script&gt;" in (tmp_path / "s.html").read_text()


def test_the_command_on_a_dataset_and_on_a_gallery(run, toy_dataset: Dataset, weights: Path, tmp_path: Path):
    asked = run("audit", "--data", toy_dataset.folder, "--weights", weights, "--csv", "t", "--html", "s.html", "--top", 2)
    assert asked.stdout.startswith(f"{toy_dataset.folder}: 48 photos of 6 people\n") and "crops that look unusable" in asked.stdout
    assert "5 tables are in t" in asked.stderr and "photos of people" in asked.stderr and Path("s.html").is_file()
    assert json.loads(run("audit", "--data", toy_dataset.folder, "--weights", weights, "--json").stdout)["crops_judged"] is True
    run("build-index", "--data", toy_dataset.folder, "--weights", weights)
    alone = run("audit", "--gallery", "index")
    assert alone.stdout.startswith("index: 48 photos of 6 people\n") and "no crops in a gallery" in alone.stdout
    assert "bad_crops" not in json.loads(run("audit", "--gallery", "index", "--json").stdout)
    assert "a gallery holds no photos" in run("audit", "--gallery", "index", "--html", "x.html", code=2).stderr
    assert "facesearch prepare" in run("audit", code=1).stderr  # bare: the default data, which is not here


def test_a_gallery_is_audited_by_its_vectors(tmp_path: Path):
    vectors, codes = crowd()
    wrong = swapped(codes, [30, 99])
    with Gallery.create(tmp_path / "g", "e" * 64, D, "encoder") as gallery:
        gallery.add([NewFace(f"p{c:02d}", f"{i:064x}", f"{i}.jpg", v) for i, (c, v) in enumerate(zip(wrong, vectors, strict=True))])
        gallery.add([NewFace("p29", f"{0:064x}", "again.jpg", vectors[0])])
        data = labelled_gallery(gallery)
    result = audit(data, quiet)
    assert {data.files[w.row] for w in result.wrong} >= {"30.jpg", "99.jpg"}
    assert [(c.kind, {data.files[c.a], data.files[c.b]}) for c in result.copies] == [("same file", {"0.jpg", "again.jpg"})]


# ---- enroll --strict


@pytest.fixture
def two_people(tmp_path: Path) -> tuple[Path, ColourEncoder]:
    encoder = ColourEncoder()
    photos = [("Ana", save_colour(tmp_path / "in/a.png", "red")), ("Ben", save_colour(tmp_path / "in/b.png", "blue"))]
    enroll(photos, tmp_path / "g", encoder, None, largest=False, fpir=None, progress=quiet)
    with Gallery.open(tmp_path / "g") as gallery:
        gallery.set_threshold(Threshold(0.9, 0.01, "by hand", 100, 2))
    return tmp_path / "g", encoder


def test_strict_refuses_whoever_is_closer_to_somebody_else_and_enrolls_the_rest(two_people, tmp_path: Path):
    folder, encoder = two_people
    photos = [
        ("Ben", save_colour(tmp_path / "in/c.png", "red", shade=40)),  # Ana's
        ("Ben", save_colour(tmp_path / "in/d.png", "blue", shade=40)),
        ("Eva", save_colour(tmp_path / "in/e.png", "blue", shade=20)),  # a second name for Ben
        ("Eva", save_colour(tmp_path / "in/f.png", "green")),
    ]
    result = enroll(photos, folder, encoder, None, largest=False, fpir=None, progress=quiet, strict=True)
    assert result.added == {"Ben": 1, "Eva": 1} and [s.path.name for s in result.skipped] == ["c.png", "e.png"]
    assert "closer to Ana" in result.skipped[0].reason and "a.png" in result.skipped[0].reason and "with Ben" in result.skipped[0].reason
    assert "closer to Ben" in result.skipped[1].reason and "Eva has no photo yet" in result.skipped[1].reason
    loose = enroll(photos, folder, encoder, None, largest=False, fpir=None, progress=quiet)
    assert loose.added == {"Ben": 1, "Eva": 1} and loose.skipped == ()


def test_strict_searches_once_a_photo_and_opens_the_index_once(two_people, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from facesearch.jobs import enroll as job

    folder, encoder = two_people
    counts = {"open": 0, "search": 0}

    def counted(name, real):
        def call(*args, **named):
            counts[name] += 1
            return real(*args, **named)

        return call

    monkeypatch.setattr(job, "open_index", counted("open", job.open_index))
    monkeypatch.setattr(job, "nearest_people", counted("search", job.nearest_people))
    photos = [("Ben", save_colour(tmp_path / f"in/x{k}.png", "blue", shade=10 * k + 5)) for k in range(5)]
    enroll(photos, folder, encoder, None, largest=False, fpir=None, progress=quiet, strict=True)
    assert counts == {"open": 1, "search": 5}


def test_strict_on_the_command_line(run, album: Path, weights: Path, tmp_path: Path):
    run("enroll", "--from", album, "--aligned", "--weights", weights, "--strict")  # into a new gallery: nobody is there yet
    with Gallery.open(tmp_path / "index") as gallery:
        gallery.set_threshold(Threshold(0.5, 0.01, "by hand", 100, 48))
    first, second = sorted((album / "p001").iterdir())[:2]
    copy = tmp_path / "other.png"
    Image.open(first).convert("RGB").save(tmp_path / "other.png", compress_level=1)
    refused = run("enroll", "Somebody", copy, "--aligned", "--weights", weights, "--strict", code=1)
    assert "Closer to p001" in refused.stderr
    assert "Somebody" not in run("list").stdout
    assert run("enroll", "p001", second, "--aligned", "--weights", weights, "--strict").stdout == ""  # known already
    assert run("enroll", "Somebody", copy, "--aligned", "--weights", weights).stdout == "Somebody: 1 photo enrolled\n"


def test_strict_without_a_threshold_says_what_it_did_not_check(tmp_path: Path):
    encoder = ColourEncoder()
    enroll([("Ana", save_colour(tmp_path / "a.png", "red"))], tmp_path / "g", encoder, None, largest=False, fpir=None, progress=quiet)
    again = [("Ben", save_colour(tmp_path / "b.png", "red", shade=9))]
    result = enroll(again, tmp_path / "g", encoder, None, largest=False, fpir=None, progress=quiet, strict=True)
    assert result.unchecked == 1 and result.added == {"Ben": 1}


def test_the_dataset_of_the_toys_is_what_is_audited(toy_dataset: Dataset):
    data = labelled_dataset(toy_dataset, ColourEncoder().embed(toy_dataset.crops))
    assert len(data) == 48 and data.files[3] == toy_dataset.rows[3].file and data.crops is toy_dataset.crops
