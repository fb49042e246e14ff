"""Groups of clothes where the data names none: k-means over descriptors (`reidclip.gallery.clothes`), and how well groups match labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from reidclip.errors import WorkError

CLUSTERS = 40
"""Groups unless told otherwise. More split one outfit under two lights; fewer put other outfits of one person together."""
UNKNOWN = -1
_LEARN_FROM, _ROUNDS, _STARTS = 20_000, 50, 3
_KEY = "centroids"


def learn_centroids(descriptors: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """k-means (Lloyd) with seeds by k-means++ (Arthur, Vassilvitskii, SODA 2007), the best of three; the same for the same seed.

    Args:
        descriptors: (N, C) float32; rows of zeros (no clothes seen) are left out.
        count: K; fewer where there are fewer different descriptors.

    Returns:
        (K, C) float32.
    """
    seen = np.unique(descriptors[_seen(descriptors)], axis=0).astype(np.float64)
    rng = np.random.default_rng(seed)
    if len(seen) > _LEARN_FROM:
        seen = seen[np.sort(rng.choice(len(seen), _LEARN_FROM, replace=False))]
    if len(seen) <= count:
        return seen.astype(np.float32)
    tries = [_lloyd(seen, _plus_plus(seen, count, rng)) for _ in range(_STARTS)]
    return min(tries, key=lambda found: found[1])[0].astype(np.float32)


def nearest_centroid(descriptors: np.ndarray, centroids: np.ndarray, block: int = 65_536) -> np.ndarray:
    """(N, C), (K, C) -> (N,) int64 group of each; -1 where no clothes were seen."""
    groups = np.full(len(descriptors), UNKNOWN, dtype=np.int64)
    if not len(centroids):
        return groups
    for start in range(0, len(descriptors), block):
        part = descriptors[start : start + block]
        groups[start : start + block] = np.where(_seen(part), _squared(part, centroids).argmin(axis=1), UNKNOWN)
    return groups


def agreement(groups: np.ndarray, labels: np.ndarray, people: np.ndarray) -> dict[str, float]:
    """How well groups (N,) stand for labels of clothes (N,), over pictures where all three are known.

    Returns:
        "purity": share of pictures in the outfit that is most frequent in their group; "nmi": normalised mutual information
        (arithmetic mean; Strehl, Ghosh, JMLR 2002); "same_left_out" and "other_kept": of pairs of one person, the share in the same
        outfit that a search for other clothes leaves out, and the share in other outfits that it keeps. Empty where nothing is known.
    """
    known = (groups >= 0) & (labels >= 0) & (people >= 0)
    if not known.any():
        return {}
    _, group = np.unique(groups[known], return_inverse=True)
    _, label = np.unique(labels[known], return_inverse=True)
    table = np.zeros((group.max() + 1, label.max() + 1))
    np.add.at(table, (group, label), 1)
    found = {"purity": float(table.max(axis=1).sum() / table.sum()), "nmi": _mutual(table / table.sum())}
    same, same_out, other, other_kept = 0.0, 0.0, 0.0, 0.0
    for person in np.unique(people[known]):
        mine = np.zeros_like(table)
        here = people[known] == person
        np.add.at(mine, (group[here], label[here]), 1)
        size, together = mine.sum(), (mine**2).sum()
        outfits, grouped = (mine.sum(axis=0) ** 2).sum(), (mine.sum(axis=1) ** 2).sum()
        same, same_out = same + outfits - size, same_out + together - size
        other, other_kept = other + size**2 - outfits, other_kept + size**2 - outfits - (grouped - together)
    return (
        found | ({"same_left_out": float(same_out / same)} if same else {}) | ({"other_kept": float(other_kept / other)} if other else {})
    )


def save_centroids(path: Path, centroids: np.ndarray) -> None:
    """As safetensors."""
    save_file({_KEY: np.ascontiguousarray(centroids, dtype=np.float32)}, path)


def load_centroids(path: Path) -> np.ndarray:
    """What `save_centroids` wrote. Raises `WorkError` where it is something else."""
    try:
        found: np.ndarray = load_file(path)[_KEY]
    except (OSError, KeyError, SafetensorError) as error:
        raise WorkError(f"{path} holds no groups of clothes: {error}.", "Build the index again.") from error
    return found


def _seen(descriptors: np.ndarray) -> np.ndarray:
    seen: np.ndarray = (descriptors != 0).any(axis=1)
    return seen


def _squared(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    centres = centroids.astype(np.float64)
    many = rows.astype(np.float64)
    squared: np.ndarray = (many**2).sum(1)[:, None] - 2 * many @ centres.T + (centres**2).sum(1)
    return squared.clip(min=0.0)


def _plus_plus(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    chosen = [int(rng.integers(len(rows)))]
    nearest = _squared(rows, rows[chosen])[:, 0]
    while len(chosen) < count:
        chosen.append(int(np.searchsorted(np.cumsum(nearest), rng.random() * nearest.sum(), side="right").clip(0, len(rows) - 1)))
        nearest = np.minimum(nearest, _squared(rows, rows[chosen[-1:]])[:, 0])
    return rows[chosen]


def _lloyd(rows: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, float]:
    groups = np.full(len(rows), UNKNOWN)
    for _ in range(_ROUNDS):
        squared = _squared(rows, centroids)
        before, groups = groups, squared.argmin(axis=1)
        if np.array_equal(before, groups):
            break
        sums = np.zeros_like(centroids)
        np.add.at(sums, groups, rows)
        sizes = np.bincount(groups, minlength=len(centroids))[:, None]
        centroids = np.where(sizes > 0, sums / np.maximum(sizes, 1), centroids)
    return centroids, float(_squared(rows, centroids).min(axis=1).sum())


def _mutual(shares: np.ndarray) -> float:
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    there = shares > 0
    information = float((shares[there] * np.log(shares[there] / np.outer(rows, columns)[there])).sum())
    entropies = -float((rows * np.log(rows)).sum() + (columns * np.log(columns)).sum())
    return 2 * information / entropies if entropies > 0 else 1.0
