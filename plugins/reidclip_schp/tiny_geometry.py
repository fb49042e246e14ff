"""From a picture of any size to the network's input and back: an aspect-preserving fit with padding (a letterbox)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Fit:
    """Where a picture lies inside the network's input, in input pixels: left, top, width, height."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, picture_hw: tuple[int, int], input_hw: tuple[int, int]) -> Fit:
        """The largest centred fit that keeps the picture's aspect."""
        (h, w), (height, width) = picture_hw, input_hw
        scale = min(height / h, width / w)
        new_h, new_w = max(1, round(h * scale)), max(1, round(w * scale))
        return cls((width - new_w) // 2, (height - new_h) // 2, new_w, new_h)


def letterbox(picture: npt.NDArray[np.uint8], input_hw: tuple[int, int], pad: int = 127) -> npt.NDArray[np.uint8]:
    """Fit an RGB uint8 (h, w, 3) picture into (H, W, 3), padded with mid-grey, which is about 0 after normalisation."""
    fit = Fit.of((picture.shape[0], picture.shape[1]), input_hw)
    shrinks = fit.width < picture.shape[1] or fit.height < picture.shape[0]
    canvas = np.full((*input_hw, 3), pad, np.uint8)
    resized = cv2.resize(picture, (fit.width, fit.height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    canvas[fit.top : fit.top + fit.height, fit.left : fit.left + fit.width] = resized
    return canvas


def labels_at_picture_size(
    scores: npt.NDArray[np.float32], picture_hw: tuple[int, int], input_hw: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Highest score per pixel of the picture, (C, H / r, W / r) -> uint8 (h, w).

    The scores are interpolated bilinearly to the picture's size before the comparison, one label at a time, so that memory is
    two planes of the picture and not C of them.
    """
    h, w = picture_hw
    fit = Fit.of(picture_hw, input_hw)
    step = input_hw[1] / scores.shape[2], input_hw[0] / scores.shape[1]
    # picture pixel (x, y) -> score pixel, with pixel centres at half-integers on all three grids
    ax, ay = fit.width / w / step[0], fit.height / h / step[1]
    to_scores = np.array(
        [[ax, 0, 0.5 * ax + fit.left / step[0] - 0.5], [0, ay, 0.5 * ay + fit.top / step[1] - 0.5]],
        np.float64,
    )
    best = np.full((h, w), -np.inf, np.float32)
    labels = np.zeros((h, w), np.uint8)
    for index, plane in enumerate(scores):
        score = cv2.warpAffine(plane, to_scores, (w, h), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
        ahead = score > best
        labels[ahead] = index
        np.maximum(best, score, out=best)
    return labels
