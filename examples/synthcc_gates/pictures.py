"""A rendered PRCC-layout set held in memory: pictures, label maps and what was drawn for each of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from reidclip.data.images import read_indexed_png, read_picture
from reidclip.data.open import open_dataset
from reidclip.errors import UserError
from reidclip.records import Dataset, Sample
from reidclip.synth import labels

UInt8 = npt.NDArray[np.uint8]
SHIELDED = (*labels.CLOTHES, labels.GLOVE)
"""What CCAF takes for clothes by default; hats and shoes stay."""
WORN = (*SHIELDED, labels.HAT, labels.LEFT_SHOE, labels.RIGHT_SHOE)
"""Everything that changes with the outfit and has a label."""


@dataclass
class Pictures:
    """Samples with their pixels.

    Attributes:
        dataset: labels and protocols.
        samples: (N,) in the order of the arrays.
        images: (N, H, W, 3) RGB.
        labels: (N, H, W) LIP labels.
        records: (N,) lines of attributes.jsonl.
    """

    dataset: Dataset
    samples: tuple[Sample, ...]
    images: UInt8
    labels: UInt8
    records: list[dict[str, Any]]

    @property
    def train(self) -> npt.NDArray[np.int64]:
        """Rows of the training split."""
        return np.array([i for i, s in enumerate(self.samples) if s.split == "train"])

    def shielded(self) -> UInt8:
        """The pictures with clothes painted white, CCAF eq. (4)."""
        out = self.images.copy()
        out[np.isin(self.labels, SHIELDED)] = 255
        return out


def load_pictures(root: Path, size: tuple[int, int]) -> Pictures:
    """Read a rendered set with ``control`` at a size (H, W)."""
    dataset = open_dataset(root)
    if dataset.layout != "prcc" or dataset.protocol("same-clothes-control") is None:
        raise UserError(f"{root} is no rendered PRCC tree with a control.", "Render one: reidclip synth OUT --preset synthcc.")
    drawn = {r["path"]: r for r in map(json.loads, (root / "attributes.jsonl").read_text("utf-8").splitlines())}
    samples = dataset.samples
    height, width = size
    images = np.empty((len(samples), height, width, 3), np.uint8)
    maps = np.empty((len(samples), height, width), np.uint8)
    for i, sample in enumerate(samples):
        picture = read_picture(root / sample.path)
        seen, _ = read_indexed_png(root / drawn[sample.path]["parsing"])
        images[i] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        maps[i] = cv2.resize(seen, (width, height), interpolation=cv2.INTER_NEAREST)
    return Pictures(dataset, samples, images, maps, [drawn[s.path] for s in samples])
