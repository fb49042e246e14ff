"""Intersection over union of a parser on labelled pictures, through its public interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pairs import Pair

from reidclip.data.lip import LIP_LABELS
from reidclip.interfaces import ParserSession

# What methods mask as clothes: glove, upper-clothes, dress, coat, socks, pants, jumpsuits, scarf, skirt.
CLOTHES = (3, 5, 6, 7, 8, 9, 10, 11, 12)


def measure(session: ParserSession, pairs: Sequence[Pair], batch: int = 64) -> dict[str, Any]:
    """IoU per occurring label, their mean, clothes against everything else, and pixel accuracy; pooled over all pixels."""
    count = len(LIP_LABELS)
    confusion = np.zeros((count, count), np.int64)  # rows: truth
    for start in range(0, len(pairs), batch):
        chunk = pairs[start : start + batch]
        for pair, found in zip(chunk, session([p.picture for p in chunk]), strict=True):
            confusion += np.bincount(pair.labels.ravel().astype(np.int64) * count + found.ravel(), minlength=count**2).reshape(count, count)
    occurring = np.flatnonzero(confusion.sum(1))
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    iou = {LIP_LABELS[i]: round(float(confusion[i, i] / union[i]), 4) for i in occurring}
    clothes = np.isin(np.arange(count), CLOTHES)
    both = confusion[np.ix_(clothes, clothes)].sum()
    either = confusion[clothes].sum() + confusion[:, clothes].sum() - both
    return {
        "pictures": len(pairs),
        "mean_iou": round(float(np.mean(list(iou.values()))), 4),
        "clothes_iou": round(float(both / max(either, 1)), 4),
        "pixel_accuracy": round(float(np.trace(confusion) / confusion.sum()), 4),
        "iou": iou,
    }
