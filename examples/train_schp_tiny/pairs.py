"""Rendered pictures with exact label maps, held in memory, split by identity."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from reidclip.data.images import read_indexed_png, read_picture
from reidclip.errors import UserError

UInt8 = npt.NDArray[np.uint8]


@dataclass
class Pair:
    """RGB (H, W, 3) and labels (H, W), uint8, at most `Pairs.height` high."""

    identity: int
    picture: UInt8
    labels: UInt8


def load_pairs(root: Path, height: int, limit: int | None = None) -> list[Pair]:
    """All pictures that `reidclip synth ROOT --layout pairs` wrote, with their label maps.

    Args:
        root: the folder that the command wrote.
        height: pictures higher than this are reduced, in pixels.
        limit: read only so many.
    """
    table = root / "attributes.jsonl"
    if not table.is_file():
        raise UserError(f"There is no {table}.", "Render pictures first: reidclip synth OUT --layout pairs (see README.md).")
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines() if line]
    pairs = []
    for row in rows[:limit]:
        picture = read_picture(root / row["path"])
        labels, _ = read_indexed_png(root / row["parsing"])
        pairs.append(Pair(int(row["pid"]), *_reduced(picture, labels, height)))
    return pairs


def split_by_identity(pairs: list[Pair], held_out: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Training and held-out pairs; no identity is in both."""
    identities = np.array(sorted({pair.identity for pair in pairs}))
    np.random.default_rng(seed).shuffle(identities)
    test = set(identities[: max(1, round(held_out * len(identities)))].tolist())
    return [p for p in pairs if p.identity not in test], [p for p in pairs if p.identity in test]


def _reduced(picture: UInt8, labels: UInt8, height: int) -> tuple[UInt8, UInt8]:
    if picture.shape[0] <= height:
        return picture, labels
    size = (max(1, round(picture.shape[1] * height / picture.shape[0])), height)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
