"""Faces blurred past recognition, from the labels of a human parser: what a re-identification without faces is tested on.

CLIP3DReID's tables 2 and 3 evaluate face-blurred copies of data sets and do not say how they were made; measures here are this project's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from reidclip.data.images import UInt8, read_indexed_png
from reidclip.data.label_sets import LabelSet
from reidclip.errors import UserError, WorkError

FACE_LABELS = ("Face", "Sunglasses")
"""Hair and hats stay: they are what is left of a head from behind, too, and are no biometric of the face."""
WHOLE_HEAD = ("Head",)
"""For label sets that do not part the face from the hair (Pascal-Person-Part, SCNet's)."""

SIGMA = 0.25  # of the Gaussian, in face sizes: about one colour is left, at any resolution
WHOLLY = 0.1  # face sizes around the labelled pixels that are blurred wholly: a parser's rim
FADING = 0.1  # further face sizes over which the blur fades out
LEAST_SIGMA = 1.0  # pixels

MEASURES: Mapping[str, float] = {"sigma": SIGMA, "wholly": WHOLLY, "fading": FADING, "least_sigma": LEAST_SIGMA}


@dataclass(frozen=True)
class FaceBlur:
    """Whose faces are blurred, for some pictures of a data set.

    Attributes:
        labels: indices that are face.
        maps: relative picture path -> its label map, of pictures that show a face; the others stay as they are.
        identity: digest of the label maps' artifact and of how faces are blurred, for caches.
        told: what a reader of a result should know, a sentence without its full stop.
    """

    labels: tuple[int, ...]
    maps: Mapping[str, Path] = field(default_factory=dict)
    identity: str = ""
    told: str = ""


def face_labels(label_set: LabelSet) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Indices and names of the labels that are blurred: `FACE_LABELS`, of sets that have none of them `WHOLE_HEAD`.

    Raises:
        UserError: the set has neither.
    """
    known = {name.lower(): index for index, name in enumerate(label_set.labels)}
    for wanted in (FACE_LABELS, WHOLE_HEAD):
        found = [name for name in wanted if name.lower() in known]
        if found:
            return tuple(known[name.lower()] for name in found), tuple(found)
    raise UserError(
        f"The label set '{label_set.name}' has no label for faces: {', '.join(label_set.labels)}.",
        "Blurring needs a parser whose labels tell Face (LIP, ATR) or Head (Pascal, SCNet): reidclip parse --parser schp.",
    )


def has_face(labels: UInt8, faces: Sequence[int]) -> bool:
    """Whether any pixel of a label map (H, W) is one of these labels."""
    return bool(np.isin(labels, faces).any())


def blur_faces(picture: UInt8, labels: UInt8, faces: Sequence[int]) -> UInt8:
    """The picture with a Gaussian over every face; pixels farther from one than `WHOLLY` + `FADING` face sizes (and a pixel) stay.

    The size of a face is the longer side of its largest connected piece in the label map; sigma, rim and fading are shares of it, so that
    8 pixels and 80 lose the same. Smaller pieces (an eye beside a strand of hair, a face behind) are blurred as strongly as the largest.

    Args:
        picture: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 label map.
        faces: labels that are face.

    Returns:
        (H, W, 3) uint8; the picture itself where there is no face.

    Raises:
        ValueError: picture and labels of different size.
    """
    if picture.shape[:2] != labels.shape:
        raise ValueError(f"a picture of {picture.shape[:2]} and labels of {labels.shape}")
    mask = np.isin(labels, faces).astype(np.uint8)
    if not mask.any():
        return picture
    size = _face_size(mask)
    sigma, wholly, reach = max(LEAST_SIGMA, SIGMA * size), WHOLLY * size, (WHOLLY + FADING) * size
    top, bottom, left, right = _box(mask, round(reach + 4 * sigma) + 1)
    part = picture[top:bottom, left:right]
    away = cv2.distanceTransform(1 - mask[top:bottom, left:right], cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = np.clip((reach - away) / max(reach - wholly, 1e-6), 0, 1)[:, :, None]
    share[away <= max(wholly, 1)] = 1  # one pixel of rim at the least
    blurred = cv2.GaussianBlur(part, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)  # of uint8: the same to the last bit everywhere
    out = picture.copy()
    out[top:bottom, left:right] = np.rint(part + share * (blurred.astype(np.float32) - part)).astype(np.uint8)
    return np.asarray(out, np.uint8)


def read_labels(path: Path, size: tuple[int, int], picture: Path) -> UInt8:
    """A label map (H, W), checked to be of its picture's size.

    Raises:
        WorkError: a broken file, or of another size.
    """
    labels: UInt8 = read_indexed_png(path)[0]
    if labels.shape != size:
        raise WorkError(
            f"Label map {path} is {labels.shape[1]} x {labels.shape[0]} pixels, its picture {picture} {size[1]} x {size[0]}.",
            "The label maps belong to another version of the data: run `reidclip parse` again.",
        )
    return labels


def _face_size(mask: UInt8) -> int:
    """Longer side, in pixels, of the box around the largest connected piece (8 neighbours)."""
    _, _, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    largest = facts[1:][int(facts[1:, cv2.CC_STAT_AREA].argmax())]
    return int(max(largest[cv2.CC_STAT_WIDTH], largest[cv2.CC_STAT_HEIGHT]))


def _box(mask: UInt8, margin: int) -> tuple[int, int, int, int]:
    """top, bottom, left, right of the mask and so many pixels around it, within the picture."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        max(0, int(rows[0]) - margin),
        min(mask.shape[0], int(rows[-1]) + 1 + margin),
        max(0, int(columns[0]) - margin),
        min(mask.shape[1], int(columns[-1]) + 1 + margin),
    )
