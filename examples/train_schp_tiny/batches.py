"""Training batches at any size: a mild change of place, scale and light of decoded pictures, and labels at the scores' size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pairs import Bank, Pair
from torch import Tensor

from reidclip.data.label_sets import LIP
from reidclip_schp.mirror import mirrored_order
from reidclip_schp.tiny_network import FINER, PATCH
from reidclip_schp.tiny_session import normalise

Float = npt.NDArray[np.float64]
UInt8 = npt.NDArray[np.uint8]
_MIRROR = np.array(mirrored_order(LIP.labels), np.uint8)
STEP = PATCH // FINER  # input pixels per score


@dataclass(frozen=True)
class Sampler:
    """Draws batches from pictures as they were rendered and from randomised scenes.

    Args:
        rendered, scenes: where pictures come from.
        chances: chance of each rendered picture, (len(rendered),).
        scene_share: share of a batch that comes from the scenes.
        seed: with the step's number, all that a batch depends on.
    """

    rendered: Bank
    scenes: Bank
    chances: Float
    scene_share: float
    seed: int

    def batch(self, step: int, size: int, input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Normalised pictures (size, 3, H, W) and labels (size, H / 2, W / 2) int64."""
        rng = np.random.default_rng([self.seed, 1, step])
        pictures, targets = [], []
        edges = np.cumsum(self.chances)
        for _ in range(size):
            if rng.random() < self.scene_share:
                pair = self.scenes[int(rng.integers(len(self.scenes)))]
            else:
                pair = self.rendered[min(int(np.searchsorted(edges, rng.random() * edges[-1])), len(self.rendered) - 1)]
            picture, target = example(rng, pair, input_hw)
            pictures.append(picture)
            targets.append(target)
        return normalise(torch.from_numpy(np.stack(pictures))), torch.from_numpy(np.stack(targets).astype(np.int64))


def example(rng: np.random.Generator, pair: Pair, input_hw: tuple[int, int]) -> tuple[UInt8, UInt8]:
    """One picture (H, W, 3) and the labels at its scores (H / 2, W / 2), moved and lit a little, half of them mirrored.

    Each score's label is taken at a random place inside the pixels that the score stands for, so that nothing is shifted on average.
    """
    height, width = input_hw
    full_h, full_w = pair.labels.shape
    picture = pair.picture
    if full_h != height:
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    mirrored = rng.random() < 0.5
    back = np.linalg.inv(_placement(rng, height, width, mirrored))  # from the moved picture to the kept one, pixel centres at integers
    flags = cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(picture, back[:2], (width, height), flags=cv2.INTER_LINEAR | flags, borderMode=cv2.BORDER_REPLICATE)
    inside = (STEP - 1) / 2 + rng.uniform(-0.99, 0.99, 2) * STEP / 2
    from_scores = np.array([[STEP, 0, inside[0]], [0, STEP, inside[1]], [0, 0, 1]])
    x, y = full_w / width, full_h / height
    to_full = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
    target = cv2.warpAffine(
        pair.labels,
        (to_full @ back @ from_scores)[:2],
        (width // STEP, height // STEP),
        flags=cv2.INTER_NEAREST | flags,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if rng.random() < 0.6:
        moved = cv2.LUT(moved, _tones(rng))
    return np.asarray(moved, np.uint8), np.asarray(_MIRROR[target] if mirrored else target, np.uint8)


def _placement(rng: np.random.Generator, height: int, width: int, mirrored: bool) -> Float:
    """Matrix (3, 3) from a pixel of the kept picture to where it goes: often nowhere, else a small turn, stretch and shift."""
    matrix, shift = np.eye(3), np.zeros(2)
    if rng.random() < 0.7:
        scale, aspect, angle = math.exp(rng.normal(0, 0.08)), math.exp(rng.normal(0, 0.04)), math.radians(rng.normal(0, 3))
        cos, sin = math.cos(angle), math.sin(angle)
        matrix[:2, :2] = np.array([[cos, -sin], [sin, cos]]) @ np.diag([scale * aspect, scale / aspect])
        shift = rng.normal(0, (0.04, 0.03)) * (width, height)
    if mirrored:
        matrix[:, 0] *= -1
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix[:2, 2] = centre + shift - matrix[:2, :2] @ centre
    return matrix


def _tones(rng: np.random.Generator) -> UInt8:
    """Gamma, contrast, brightness and colour cast as a table (1, 256, 3)."""
    level = (np.arange(256) / 255) ** math.exp(rng.normal(0, 0.2))
    level = (level - 0.5) * rng.uniform(0.75, 1.25) + 0.5 + rng.normal(0, 0.05)
    return np.asarray((level[:, None] * rng.normal(1, 0.04, 3) * 255).clip(0, 255), np.uint8)[None]
