"""Put faces together by person by a method with a cut, and keep the groups that people have seen.

Without a cut, albums are grouped by what can be promised: see promise.py. Average linkage is cut where two
groups' mean cosine falls below a threshold; scikit-learn's HDBSCAN and DBSCAN are the others.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

import faiss
import numpy as np
from numpy.typing import NDArray

from facesearch.album.linkage import average_joins, near_pairs
from facesearch.errors import PackageMissing, TooManyFaces
from facesearch.records import F32, F64, I64

METHODS = ("average", "hdbscan", "dbscan")
CHANCE = 1e-3
"""How many strangers each face may have at or above dbscan's cut, by the normal law: the more faces, the
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


def group(vectors: F32, method: str, limit: float, apart: I64 | None = None) -> I64:
    """Number the groups of unit vectors (n, d) float32: (n,) int64 from 0, in order of first appearance; -1
    for a face that is alone.

    limit: the cosine at which the method cuts (see usual_threshold); apart (p, 2): pairs of faces that
    average linkage never puts together. Raises PackageMissing where scikit-learn is needed and not there,
    TooManyFaces where the method holds n x n distances.
    """
    if len(vectors) < 2:
        return np.full(len(vectors), -1, np.int64)
    if method == "average":
        labels = average_linkage(vectors, limit, apart)
    elif method == "hdbscan":
        labels = _hdbscan(vectors)
    elif method == "dbscan":
        labels = _dbscan(vectors, limit)
    else:
        raise ValueError(f"no method is called {method!r}")
    return in_order(labels)


def average_linkage(vectors: F32, limit: float, apart: I64 | None = None) -> I64:
    """Average linkage of unit vectors (n, d), cut at the mean cosine `limit`: group numbers (n,), no -1.

    apart (p, 2): see average_joins.
    """
    none = np.empty((0, 2), np.int64) if apart is None else apart
    near = near_pairs(vectors, limit)
    return average_joins(near, vectors, np.ones(len(vectors), np.int64), none, limit).tops()


def in_order(labels: I64) -> I64:
    """Groups of two or more numbered from 0 by first appearance, -1 for the rest: (n,)."""
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    kept = np.flatnonzero((counts > 1) & (labels[first] >= 0))
    number = np.full(len(first), -1, np.int64)
    number[kept[np.argsort(first[kept])]] = np.arange(len(kept))
    return number[inverse]


def settle(old: I64, labels: I64, vectors: F32, photos: NDArray[np.str_], first_new: int) -> I64:
    """Bring a fresh grouping to the groups there were: (n,) numbers, 0 for none.

    old (n,): each face's group so far, 0 for none; labels (n,): fresh groups, -1 for none; photos (n,): whose
    each face is. A face that has a group keeps it. Others join that old group of their fresh one to which
    their mean cosine is highest, and of which no face is in their photo; where there is none, they stay
    alone. A fresh group without old members gets a number from first_new on.
    """
    out = old.copy()
    of_old = {int(old[rows[0]]): rows for rows in _members(np.where(old > 0, old, -1))}
    shown = {number: set(photos[rows].tolist()) for number, rows in of_old.items()}
    for members in _members(labels):
        newcomers = members[old[members] == 0]
        there = np.unique(old[members][old[members] > 0]).tolist()
        if not there:
            out[newcomers] = first_new
            first_new += 1
            continue
        means = np.stack([vectors[of_old[number]].mean(axis=0) for number in there])
        for i, scores in zip(newcomers.tolist(), vectors[newcomers] @ means.T, strict=True):
            free = [at for at, number in enumerate(there) if photos[i] not in shown[number]]
            if free:
                number = there[max(free, key=lambda at: float(scores[at]))]
                out[i] = number
                shown[number].add(photos[i])
    return out


def join_by_person(labels: I64, known: Sequence[str], photos: NDArray[np.str_]) -> I64:
    """Join fresh groups (n,) of one recognised person: those in which at least a quarter of the faces are
    `known` (n,) as them. A group of which a face is in one photo (n,) with a face that is there already stays
    by itself.

    A recognised face that is alone counts as a group. Which of several, if two people have a quarter: the one
    that most faces are.
    """
    labels = labels.copy()
    recognised = np.array([bool(name) for name in known], bool)
    loose = np.flatnonzero((labels < 0) & recognised)
    labels[loose] = int(labels.max(initial=-1)) + 1 + np.arange(len(loose))
    number: dict[str, int] = {}
    shown: dict[str, set[str]] = {}
    for members in _members(labels):
        if not recognised[members].any():
            continue
        votes = Counter(known[i] for i in members.tolist() if known[i])
        who = min(votes, key=lambda name: (-votes[name], name))
        here = set(photos[members].tolist())
        if votes[who] < KNOWN_SHARE * len(members) or shown.get(who, set()) & here:
            continue
        shown.setdefault(who, set()).update(here)
        labels[members] = number.setdefault(who, int(labels[members[0]]))
    return in_order(labels)


def keep_apart(labels: I64, vectors: F32, photos: NDArray[np.str_]) -> I64:
    """Of two faces of one photo (n,) in one group, only the one that fits it best stays."""
    labels = labels.copy()
    for members in _members(labels):
        if len(set(photos[members].tolist())) < len(members):
            fit = vectors[members] @ vectors[members].sum(axis=0)
            order = members[np.argsort(-fit, kind="stable")]
            first = np.unique(photos[order], return_index=True)[1]
            labels[np.delete(order, first)] = -1
    return in_order(labels)


def _members(labels: I64) -> list[I64]:
    """The rows of each label from 0 on, lowest label first."""
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    _, starts = np.unique(labels[order], return_index=True)
    return np.split(order, starts[1:]) if len(order) else []


def usual_threshold(vectors: F32, chance: float = CHANCE) -> float:
    """Where dbscan cuts when nobody says: where each of n faces has so many strangers by `chance`, by the
    normal law.

    The law's middle and spread are those of the album's own pairs (n, d), n >= 2, so the cut fits any
    encoder. hdbscan cuts nowhere; for it, it means nothing.
    """
    middle, spread = pair_spread(vectors)
    share = min(LARGEST_SHARE, chance / len(vectors))
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
