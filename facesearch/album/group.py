"""Put the faces of strangers together by person, without an n x n matrix; and keep the groups that people
have seen.

The usual way is average linkage, cut where two groups' mean cosine falls below a threshold. It is found by
merging, round by round, every two groups that are each other's nearest; FAISS finds the nearest. Average
linkage is reducible (Bruynooghe 1977): the order of such merges changes nothing, and a group whose nearest is
below the cut can never merge again, so it is laid aside. The result is what any exact implementation gives,
in memory that grows with n alone. scikit-learn's HDBSCAN and DBSCAN are the others.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from statistics import NormalDist

import faiss
import numpy as np

from facesearch.errors import PackageMissing, TooManyFaces
from facesearch.records import F32, F64, I64

METHODS = ("average", "hdbscan", "dbscan")
CHANCES = {"average": 4.0, "dbscan": 1e-3}
"""How many strangers each face may have at or above a method's cut, by the normal law: the more faces, the
stricter it must be. Fixed by scripts/clustering.py on people that are in no table of its results."""
LARGEST_SHARE = 0.02
"""Of an album's pairs so many may lie above the cut at most, however few faces there are."""
SMALLEST, REACH = 8, 2
"""HDBSCAN's fewest faces of a group, and which neighbour's distance is the density. Fixed there too."""
PAIRS = 200_000
"""So many pairs of an album's faces tell where pairs of different people lie."""
KNOWN_SHARE = 0.25
SEARCHES_AT_ONCE = 1024
MOST_BY_HDBSCAN = 12_000
"""HDBSCAN holds n x n distances: 1.2 GB, and as much again while it works."""
NEIGHBOURS = 64


def group(vectors: F32, method: str, limit: float) -> I64:
    """Number the groups of unit vectors (n, d) float32: (n,) int64 from 0, in order of first appearance; -1
    for whoever is alone.

    limit: the cosine at which the method cuts (see usual_threshold). Raises PackageMissing where scikit-learn
    is needed and not there, TooManyFaces where the method holds n x n distances.
    """
    if len(vectors) < 2:
        return np.full(len(vectors), -1, np.int64)
    if method == "average":
        labels = average_linkage(vectors, limit)
    elif method == "hdbscan":
        labels = _hdbscan(vectors)
    elif method == "dbscan":
        labels = _dbscan(vectors, limit)
    else:
        raise ValueError(f"no method is called {method!r}")
    return in_order(labels)


def average_linkage(vectors: F32, limit: float) -> I64:
    """Average linkage of unit vectors (n, d), cut at the mean cosine `limit`: group numbers (n,), no -1.

    Exact but for ties and float32's rounding. Time grows with n x n x d, memory with n x d.
    """
    n = len(vectors)
    sums, sizes, group_of = vectors.astype(np.float32), np.ones(n, np.int64), np.arange(n)
    active = np.arange(n)
    nearest, score = np.full(n, -1, np.int64), np.full(n, -np.inf, np.float32)
    stale = active
    while len(active) > 1:
        means: F32 = (sums[active] / sizes[active, None]).astype(np.float32)
        nearest[stale], score[stale] = _nearest_other(means, active, np.searchsorted(active, stale))
        active = active[score[active] >= limit]
        pairs = _each_others_nearest(active, nearest, score)
        if not len(pairs):
            break
        into, gone = pairs[:, 0], pairs[:, 1]
        sums[into] += sums[gone]
        sizes[into] += sizes[gone]
        target = np.arange(n)
        target[gone] = into
        group_of = target[group_of]
        active = np.setdiff1d(active, gone, assume_unique=True)
        stale = active[np.isin(active, into) | np.isin(nearest[active], pairs)]
    return group_of


def in_order(labels: I64) -> I64:
    """Groups of two or more numbered from 0 by first appearance, -1 for the rest: (n,)."""
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    kept = np.flatnonzero((counts > 1) & (labels[first] >= 0))
    number = np.full(len(first), -1, np.int64)
    number[kept[np.argsort(first[kept])]] = np.arange(len(kept))
    return number[inverse]


def settle(old: I64, labels: I64, vectors: F32, first_new: int) -> I64:
    """Bring a fresh grouping to the groups there were: (n,) numbers, 0 for none.

    old (n,): each face's group so far, 0 for none; labels (n,): fresh groups, -1 for none. A face that has a
    group keeps it. Others join that old group of their fresh one to which their mean cosine is highest; a
    fresh group without old members gets a number from first_new on.
    """
    out = old.copy()
    for label in range(int(labels.max(initial=-1)) + 1):
        members = np.flatnonzero(labels == label)
        newcomers = members[old[members] == 0]
        there = np.unique(old[members][old[members] > 0])
        if not len(there):
            out[newcomers] = first_new
            first_new += 1
        elif len(newcomers):
            means = np.stack([vectors[old == number].mean(axis=0) for number in there])
            out[newcomers] = there[np.argmax(vectors[newcomers] @ means.T, axis=1)]
    return out


def join_by_person(labels: I64, known: Sequence[str]) -> I64:
    """Join fresh groups (n,) of one recognised person: those in which at least a quarter of the faces are
    `known` (n,) as them.

    A recognised face that is alone counts as a group. Which of several, if two people have a quarter: whom
    most faces are.
    """
    labels = labels.copy()
    number: dict[str, int] = {}
    loose = int(labels.max(initial=-1)) + 1
    for i in np.flatnonzero(labels < 0).tolist():
        if known[i]:
            labels[i], loose = loose, loose + 1
    for label in range(loose):
        members = np.flatnonzero(labels == label)
        names, votes = np.unique(
            np.array([known[i] for i in members.tolist() if known[i]], np.str_), return_counts=True
        )
        if len(names) and votes.max() >= KNOWN_SHARE * len(members):
            who = str(names[np.argmax(votes)])
            labels[members] = number.setdefault(who, label)
    return in_order(labels)


def usual_threshold(vectors: F32, method: str, chance: float | None = None) -> float:
    """Where a method cuts when nobody says: where each of n faces has so many strangers by `chance`
    (CHANCES), by the normal law.

    The law's middle and spread are those of the album's own pairs (n, d), n >= 2, so the cut fits any
    encoder. hdbscan cuts nowhere; for it, it means nothing.
    """
    middle, spread = pair_spread(vectors)
    share = min(LARGEST_SHARE, (CHANCES.get(method, 1.0) if chance is None else chance) / len(vectors))
    return min(0.999, middle + NormalDist().inv_cdf(1 - share) * spread)


def pair_spread(vectors: F32, *, seed: int = 0) -> tuple[float, float]:
    """Middle and standard deviation of the cosines of pairs of different faces of (n, d), n >= 2, as of a
    normal distribution.

    From the quantiles at 5 and 20 %: pairs of one person are few, and they are not there.
    """
    n = len(vectors)
    rng = np.random.default_rng(seed)
    if n * (n - 1) // 2 <= PAIRS:
        a, b = np.triu_indices(n, 1)
    else:
        a = rng.integers(0, n, PAIRS)
        b = (a + rng.integers(1, n, PAIRS)) % n
    cosines = np.concatenate(
        [(vectors[a[i : i + 8192]] * vectors[b[i : i + 8192]]).sum(axis=1) for i in range(0, len(a), 8192)]
    )
    low, high = np.quantile(cosines, [0.05, 0.20])
    spread = float(high - low) / (1.644854 - 0.841621)
    return float(high) + 0.841621 * spread, spread


def _nearest_other(means: F32, ids: I64, rows: I64) -> tuple[I64, F32]:
    """For some rows of means (m, d), of groups ids (m,), the nearest other group and its mean cosine: (r,)
    int64, (r,) float32.
    """
    index = faiss.IndexFlatIP(means.shape[1])
    index.add(np.ascontiguousarray(means))
    found, best = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), SEARCHES_AT_ONCE):
        part = rows[start : start + SEARCHES_AT_ONCE]
        scores, places = index.search(np.ascontiguousarray(means[part]), 2)
        second = (places[:, 0] == part).astype(np.int64)
        at = np.arange(len(part))
        found[start : start + len(part)] = ids[places[at, second]]
        best[start : start + len(part)] = scores[at, second]
    return found, best


def _each_others_nearest(active: I64, nearest: I64, score: F32) -> I64:
    """Pairs (p, 2), lower number first, of groups that are each other's nearest; where ties leave none, the
    closest one.
    """
    other = nearest[active]
    mutual = (nearest[other] == active) & (active < other) & np.isin(other, active)
    if mutual.any() or not len(active):
        return np.stack([active[mutual], other[mutual]], axis=1)
    best = active[np.argmax(score[active])]
    return np.sort(np.array([[best, nearest[best]]]), axis=1)


def _hdbscan(vectors: F32) -> I64:
    """HDBSCAN (Campello et al. 2013). It holds all n x n distances.

    Not with cluster_selection_epsilon: scikit-learn 1.9.1 raises TypeError there (an array where it wants a
    number).
    """
    _need_sklearn("hdbscan")
    if len(vectors) > MOST_BY_HDBSCAN:
        raise TooManyFaces(len(vectors), MOST_BY_HDBSCAN, "hdbscan")
    if len(vectors) < SMALLEST:
        return np.full(len(vectors), -1, np.int64)
    from sklearn.cluster import HDBSCAN

    distances = np.clip(1 - vectors @ vectors.T, 0, 2).astype(np.float64)
    np.fill_diagonal(distances, 0)
    found = HDBSCAN(
        min_cluster_size=SMALLEST, min_samples=REACH, metric="precomputed", copy=False
    ).fit_predict(distances)
    labels: I64 = found.astype(np.int64)
    return labels


def _dbscan(vectors: F32, limit: float) -> I64:
    """DBSCAN (Ester et al. 1996) on the graph of each face's nearest NEIGHBOURS at or above `limit`: chains
    of likeness.
    """
    _need_sklearn("dbscan")
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]  # of scikit-learn's own needs
    from sklearn.cluster import DBSCAN

    n = len(vectors)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    k = min(n, NEIGHBOURS)
    rows: list[I64] = []
    columns: list[I64] = []
    distances: list[F64] = []
    for start in range(0, n, SEARCHES_AT_ONCE):
        scores, places = index.search(np.ascontiguousarray(vectors[start : start + SEARCHES_AT_ONCE]), k)
        near = (scores >= limit) & (places >= 0)
        row, _ = np.nonzero(near)
        rows.append(row + start)
        columns.append(places[near])
        distances.append(np.clip(1 - scores[near], 1e-9, 2).astype(np.float64))
    graph = csr_matrix(
        (np.concatenate(distances), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n)
    )
    graph = graph.maximum(graph.T)
    labels: I64 = (
        DBSCAN(eps=1 - limit, min_samples=3, metric="precomputed").fit_predict(graph).astype(np.int64)
    )
    return labels


def _need_sklearn(method: str) -> None:
    if importlib.util.find_spec("sklearn") is None:
        raise PackageMissing("scikit-learn", "album", f"grouping by {method}")
