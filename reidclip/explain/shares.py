"""Which share of a heat map lies on each region of a person, and how sure the mean over pictures is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reidclip.data.images import UInt8
from reidclip.evaluation.bootstrap import bootstrap_interval
from reidclip.explain.placing import Floats
from reidclip.explain.regions import Regions

Interval = tuple[float, float]
RESAMPLES = 1000


@dataclass(frozen=True)
class Share:
    """Of one region, over all pictures whose map is not zero.

    Attributes:
        mass: mean share of the map's mass, 0..1.
        interval: bootstrap 95% interval of ``mass`` over pictures.
        pixels: mean share of the pictures' pixels, 0..1.
        lift: ``mass / pixels``; 1 is what a map without preference has. None where no picture has such pixels.
        lift_interval: bootstrap 95% interval of ``lift`` over pictures.
    """

    mass: float
    interval: Interval
    pixels: float
    lift: float | None
    lift_interval: Interval | None


def mass_by_region(mass: Floats, labels: UInt8, regions: Regions) -> Floats:
    """Sum of a map over each region: (H, W) and (H, W) label indices -> (R,); it sums to what the map sums to.

    Raises:
        ValueError: map and labels of different size.
    """
    if mass.shape != labels.shape:
        raise ValueError(f"the map is {mass.shape}, the label map {labels.shape}")
    by_label = np.bincount(labels.ravel(), weights=mass.ravel(), minlength=len(regions.of_label))
    by_region: Floats = np.bincount(np.array(regions.of_label), weights=by_label, minlength=len(regions.names)).astype(np.float64)
    return by_region


def summarise(mass: Floats, pixels: Floats, regions: Regions, seed: int = 0) -> dict[str, Share]:
    """Means over pictures, by region.

    Args:
        mass: (N, R) shares of each picture's map; N > 0.
        pixels: (N, R) shares of each picture's pixels.
        regions: R names.
        seed: of the resampling; all regions, and two encoders on the same pictures, are resampled alike.
    """
    return {name: _share(mass[:, r], pixels[:, r], seed) for r, name in enumerate(regions.names)}


def difference(first: Floats, second: Floats, seed: int = 0) -> dict[str, Any]:
    """How much more of its mass the second encoder has on a region than the first, on the same pictures: mean and interval of (N,)."""
    return {"mean": float((second - first).mean()), "interval": bootstrap_interval(second - first, RESAMPLES, seed)}


def _share(mass: Floats, pixels: Floats, seed: int) -> Share:
    mean, area = float(mass.mean()), float(pixels.mean())
    interval = bootstrap_interval(mass, RESAMPLES, seed)
    if area == 0:
        return Share(mean, interval, area, None, None)
    return Share(mean, interval, area, mean / area, _ratio_interval(mass, pixels, seed))


def _ratio_interval(mass: Floats, pixels: Floats, seed: int) -> Interval | None:
    """Percentile interval of a ratio of means, both of the same drawn pictures; None when a draw has no pixels of the region."""
    generator = np.random.default_rng(seed)
    both = np.stack([mass, pixels])
    means = np.stack([both[:, generator.integers(0, len(mass), len(mass))].mean(axis=1) for _ in range(RESAMPLES)])
    if (means[:, 1] == 0).any():
        return None
    low, high = np.quantile(means[:, 0] / means[:, 1], [0.025, 0.975])
    return float(low), float(high)
