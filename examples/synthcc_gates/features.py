"""Features made by hand: what clothes alone, or the true description of a person, tell about who it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pictures import WORN, Pictures

Float = npt.NDArray[np.float32]


def clothes_histogram(pictures: Pictures, bins: int = 5) -> Float:
    """Colours of everything worn, upper and lower half of the person apart: (N, 2 * bins^3), square roots of shares."""
    out = np.zeros((len(pictures.samples), 2, bins**3), np.float32)
    for i, (image, label) in enumerate(zip(pictures.images, pictures.labels, strict=True)):
        mask = np.isin(label, WORN)
        rows = np.nonzero(mask.any(1))[0]
        if not len(rows):
            continue
        middle = (rows[0] + rows[-1]) // 2
        code = (image.astype(np.int64) * bins // 256) @ np.array([bins * bins, bins, 1])
        for half, part in enumerate((slice(0, middle), slice(middle, None))):
            out[i, half] = np.bincount(code[part][mask[part]], minlength=bins**3)[: bins**3]
    flat = out.reshape(len(out), -1)
    return np.asarray(np.sqrt(flat / np.maximum(flat.sum(1, keepdims=True), 1)), np.float32)


def clothes_attributes(pictures: Pictures) -> Float:
    """The true outfit of every picture as zeros and ones: kind, colours and pattern of each thing worn."""

    def words(record: dict[str, Any]) -> list[str]:
        return [f"{slot} {k} {v}" for slot, thing in record["outfit"].items() if isinstance(thing, dict) for k, v in thing.items()]

    return _zeros_and_ones([words(r) for r in pictures.records])


def identity_attributes(pictures: Pictures) -> Float:
    """The true words about every person as zeros and ones: what a perfect captioner could see."""
    return _zeros_and_ones([[f"{k} {v}" for k, v in r["identity"].items()] for r in pictures.records])


def _zeros_and_ones(words: list[list[str]]) -> Float:
    known = {w: i for i, w in enumerate(sorted({w for row in words for w in row}))}
    out = np.zeros((len(words), len(known)), np.float32)
    for i, row in enumerate(words):
        out[i, [known[w] for w in row]] = 1
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def random_features(pictures: Pictures, seed: int = 0) -> Float:
    """Chance, measured: features that know nothing."""
    return np.random.default_rng(seed).normal(0, 1, (len(pictures.samples), 16)).astype(np.float32)
