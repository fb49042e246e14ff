"""From a label map to the mask M of CCAF eq. (4): 1 where a pixel is not clothes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from reidclip.data.images import UInt8
from reidclip.data.shielding import WHITE, Colour


def keep_mask(labels: UInt8, clothes: Sequence[int], dilation: int = 0, min_area: int = 0) -> UInt8:
    """M of eq. (4), CCAF.

    Args:
        labels: (H, W) uint8 label map.
        clothes: label indices that count as clothes.
        dilation: clothes grow by so many pixels, so that no rim of them is left in the shielding image.
        min_area: connected pieces of clothes (8 neighbours) with fewer pixels are taken as noise and kept visible; before dilation.

    Returns:
        (H, W) uint8, 1 = not clothes (kept), 0 = clothes (shielded).
    """
    table = np.zeros(256, np.uint8)
    table[list(clothes)] = 1
    worn = table[labels]
    if min_area > 1 and worn.any():
        count, pieces, facts, _ = cv2.connectedComponentsWithStats(worn, connectivity=8)
        large = np.ones(count, np.uint8)
        large[1:] = facts[1:, cv2.CC_STAT_AREA] >= min_area
        worn *= large[pieces]
    if dilation > 0:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * dilation + 1, 2 * dilation + 1))
        worn = np.asarray(cv2.dilate(worn, disc), np.uint8)
    return (1 - worn).astype(np.uint8)


def shielding_image(picture: UInt8, keep: UInt8, colour: Colour = WHITE) -> UInt8:
    """Eq. (4), CCAF: x_s = M x + (1 - M) 255, or another colour. (H, W, 3) and (H, W) -> (H, W, 3)."""
    return np.where(keep[:, :, None] == 1, picture, np.array(colour, np.uint8)).astype(np.uint8)


def clothes_image(picture: UInt8, keep: UInt8, colour: Colour = WHITE) -> UInt8:
    """Eq. (11), CCAF: x_c = (1 - M) x + 255 M, or another colour. (H, W, 3) and (H, W) -> (H, W, 3)."""
    return np.where(keep[:, :, None] == 1, np.array(colour, np.uint8), picture).astype(np.uint8)
