"""What masks of a whole data set look like, in numbers: share of clothes, pictures without any, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from reidclip.counted import counted, which
from reidclip.data.images import UInt8
from reidclip.data.label_sets import Clothes


class MaskStatistics:
    """Counts of the masks made so far; one `add` per picture.

    Attributes:
        shares: relative picture path -> share of its pixels that is clothes, before a picture of nothing but clothes is kept.
        none, all: pictures without clothes, and of nothing but clothes.
        small: pictures, none of those in ``none``, whose pieces of clothes were all smaller than min_area, so that nothing is shielded.
        no_body: pictures of a person of whom nothing but clothes is labelled: the shielding image shows background alone.
    """

    def __init__(self, clothes: Clothes) -> None:
        self.clothes = clothes
        self.shares: dict[str, float] = {}
        self.none: list[str] = []
        self.small: list[str] = []
        self.all: list[str] = []
        self.no_body: list[str] = []
        self._pixels: npt.NDArray[np.int64] = np.zeros(len(clothes.label_set.labels), np.int64)

    def add(self, path: str, labels: UInt8, keep: UInt8) -> None:
        """Count one picture; labels and keep (H, W), keep 1 = not clothes."""
        self._pixels += np.bincount(labels.ravel(), minlength=len(self._pixels))
        share = 1.0 - float(keep.mean())
        self.shares[path] = share
        if share == 0.0:
            (self.small if np.isin(labels, self.clothes.indices).any() else self.none).append(path)
        elif share == 1.0:
            self.all.append(path)
        elif not ((labels > 0) & (keep == 1)).any():
            self.no_body.append(path)

    def metrics(self) -> dict[str, Any]:
        """For the manifest: shares of the pixels as fractions, pictures as numbers."""
        shares = list(self.shares.values())
        low, middle, high = (round(float(v), 4) for v in np.percentile(shares, (5, 50, 95)))
        part = self._pixels / max(int(self._pixels.sum()), 1)
        return {
            "pictures": len(shares),
            "clothes_share": round(float(np.mean(shares)), 4),
            "clothes_share_p5": low,
            "clothes_share_p50": middle,
            "clothes_share_p95": high,
            "without_clothes": len(self.none),
            "clothes_too_small": len(self.small),
            "all_clothes": len(self.all),
            "no_body": len(self.no_body),
            "label_share": {name: round(float(v), 6) for name, v in zip(self.clothes.label_set.labels, part, strict=True)},
        }

    def notes(self, kept: bool) -> list[str]:
        """Sentences on what should be looked at; ``kept``: pictures of nothing but clothes were left as they are."""
        it, they = ("it is left as it is", "they are left as they are") if kept else ("all of it is shielded", "all of them is shielded")
        bare = "nothing of the person but clothes, so the shielding image is background alone"
        found = [
            (self.none, "shows no clothes, so nothing of it is shielded", "show no clothes, so nothing of them is shielded"),
            (self.small, *2 * ("lost every piece of clothes to min_area, so nothing is shielded",)),
            (self.all, f"is nothing but clothes: {it}", f"are nothing but clothes: {they}"),
            (self.no_body, f"shows {bare}", f"show {bare}"),
        ]
        return [f"{counted(len(paths), f'picture {one}', f'pictures {many}')}; {which(paths)}." for paths, one, many in found if paths]

    def headline(self) -> str:
        """One line for the contact sheet."""
        m = self.metrics()
        return (
            f"{m['pictures']} pictures with {m['clothes_share']:.1%} clothes on average (5% of them below {m['clothes_share_p5']:.1%}, "
            f"half {m['clothes_share_p50']:.1%}, 5% above {m['clothes_share_p95']:.1%}), {m['without_clothes']} without clothes, "
            f"{m['all_clothes']} nothing but clothes"
            + (f", {m['clothes_too_small']} with pieces below min_area alone" if self.small else "")
        )

    def extremes(self, count: int) -> tuple[list[str], list[str]]:
        """The pictures with the fewest and with the most clothes, worst first; equal shares by path."""
        ordered: Sequence[str] = sorted(self.shares, key=lambda path: (self.shares[path], path))
        return list(ordered[:count]), list(reversed(ordered[-count:])) if count else []
