"""Short versions of what deep face clustering's papers use, for scripts/clustering.py to compare with."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from facesearch.album.group import in_order
from facesearch.album.linkage import Near
from facesearch.records import F32, I64

ROUNDS = 20


def neighbours(near: Near, n: int) -> list[list[tuple[int, float]]]:
    """Of each of n faces the others that it is near to, with the cosine."""
    out: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for a, b, score in zip(near.a.tolist(), near.b.tolist(), near.score.tolist(), strict=True):
        out[a].append((b, score))
        out[b].append((a, score))
    return out


def chinese_whispers(near: Near, n: int) -> I64:
    """Everybody takes the label that weighs most around them, again and again (Biemann 2006)."""
    around, labels = neighbours(near, n), np.arange(n)
    rng = np.random.default_rng(0)
    for _ in range(ROUNDS):
        before = labels.copy()
        for i in rng.permutation(n).tolist():
            weights: dict[int, float] = defaultdict(float)
            for j, score in around[i]:
                weights[int(labels[j])] += score
            if weights:
                labels[i] = max(weights, key=lambda label: (weights[label], -label))
        if (before == labels).all():
            break
    return in_order(labels)


def finch(vectors: F32, limit: float) -> I64:
    """Everybody is with their nearest, if it is at least `limit` near; so are their groups' means, once more
    (Sarfraz et al. 2019: the second partition)."""
    labels = np.arange(len(vectors))
    for _ in range(2):
        count = int(labels.max()) + 1
        means = np.zeros((count, vectors.shape[1]), np.float32)
        np.add.at(means, labels, vectors)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        cosines = means @ means.T
        np.fill_diagonal(cosines, -1)
        nearest = cosines.argmax(axis=1)
        root = np.arange(count)
        for i, j in enumerate(nearest.tolist()):
            if cosines[i, j] >= limit:
                root[root == root[j]] = root[i]
        labels = np.unique(root, return_inverse=True)[1][labels]
    return in_order(labels)


def infomap(near: Near, n: int) -> I64:
    """Everybody moves to the neighbours' group that shortens the description of a random walk most: the first
    level of Infomap (Rosvall and Bergstrom 2008), without joining groups afterwards."""
    around = neighbours(near, n)
    total = sum(score for own in around for _, score in own) or 1.0
    flow = [sum(score for _, score in own) / total for own in around]
    labels, inside, leaving = list(range(n)), dict(enumerate(flow)), dict(enumerate(flow))
    all_leaving = sum(flow)
    for _ in range(ROUNDS):
        moved = 0
        for i in np.random.default_rng(0).permutation(n).tolist():
            to: dict[int, float] = defaultdict(float)
            for j, score in around[i]:
                to[labels[j]] += score / total
            old, best, gain = labels[i], labels[i], -1e-12
            out_old = leaving[old] - flow[i] + 2 * to[old]
            for new, link in sorted(to.items()):
                if new == old:
                    continue
                out_new = leaving[new] + flow[i] - 2 * link
                changed = all_leaving + out_old + out_new - leaving[old] - leaving[new]
                delta = plogp(changed) - plogp(all_leaving)
                delta -= 2 * (plogp(out_old) + plogp(out_new) - plogp(leaving[old]) - plogp(leaving[new]))
                delta += plogp(out_old + inside[old] - flow[i]) - plogp(leaving[old] + inside[old])
                delta += plogp(out_new + inside[new] + flow[i]) - plogp(leaving[new] + inside[new])
                if delta < gain:
                    best, gain, kept = new, delta, (out_old, out_new, changed)
            if best != old:
                leaving[old], leaving[best], all_leaving = kept
                inside[old] -= flow[i]
                inside[best] += flow[i]
                labels[i] = best
                moved += 1
        if not moved:
            break
    return in_order(np.array(labels, np.int64))


def plogp(p: float) -> float:
    return p * math.log2(p) if p > 0 else 0.0
