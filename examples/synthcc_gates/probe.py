"""A quick look at whether people can be told apart: a linear metric learned on colours of heads and limbs, in seconds."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from features import Float
from pictures import Pictures

from reidclip.synth import labels

HEAD = (labels.HAIR, labels.FACE, labels.GLASSES, labels.HAT)
SKIN = (labels.FACE, labels.LEFT_ARM, labels.RIGHT_ARM, labels.LEFT_LEG, labels.RIGHT_LEG)
_NECK = 0.19  # share of the person's height from the crown down


def head_and_skin(pictures: Pictures, size: tuple[int, int] = (14, 10)) -> Float:
    """The head's pixels as a small picture, shares and colours of hair and skin, (N, D)."""
    rows = []
    for image, label in zip(pictures.images, pictures.labels, strict=True):
        upright = np.nonzero((label > 0).any(1))[0]
        top, tall = (int(upright[0]), len(upright)) if len(upright) else (0, len(label))
        part = slice(top, top + max(4, round(_NECK * tall)))
        mask = np.isin(label[part], HEAD)
        columns = np.nonzero(mask.any(0))[0]
        left, right = (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, label.shape[1])
        crop = np.where(mask[..., None], image[part], 255)[:, left:right]
        small = cv2.resize(crop, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        facts = [len(columns) / tall, mask.sum() / tall**2 * 10]
        for names in ((labels.HAIR,), SKIN):
            seen = np.isin(label, names)
            facts += [np.sqrt(seen.sum()) / tall, *(image[seen].mean(0) / 255 if seen.any() else np.full(3, 0.5))]
        rows.append(np.concatenate([small.ravel(), np.array(facts, np.float32) * 3]))
    return np.asarray(rows, np.float32)


def discriminant(train: Float, pids: npt.NDArray[np.int64], features: Float, keep: int = 60, ridge: float = 0.02) -> Float:
    """Linear discriminant analysis learned on (train, pids), applied to features: (N, keep), normalised."""
    middle, spread = train.mean(0), train.std(0) + 1e-3
    x = (train - middle) / spread
    _, label = np.unique(pids, return_inverse=True)
    means = np.stack([x[label == k].mean(0) for k in range(label.max() + 1)])
    within = x - means[label]
    scatter = within.T @ within / len(x)
    scatter += np.eye(len(scatter), dtype=np.float32) * (ridge * np.trace(scatter) / len(scatter))
    values, vectors = np.linalg.eigh(scatter)
    whiten = vectors / np.sqrt(values)
    _, _, axes = np.linalg.svd((means - means.mean(0)) @ whiten, full_matrices=False)
    out = ((features - middle) / spread) @ whiten @ axes[:keep].T
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True), np.float32)
