"""The first table: how well a kind of feature finds people again, in their own and in other clothes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROTOCOLS = ("same-clothes", "same-clothes-control", "cloth-changing")
HEAD = "| features | " + " | ".join(f"{p} R1 / mAP" for p in PROTOCOLS) + " | 95% interval | seconds |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """One kind of feature.

    Attributes:
        scores: protocol -> (R1, mAP) in percent, for each of PROTOCOLS.
        interval: of the cloth-changing R1, over queries.
        seconds: that making and ranking the features took.
    """

    name: str
    scores: dict[str, tuple[float, float]]
    interval: tuple[float, float]
    seconds: float

    @property
    def same_clothes(self) -> float:
        """R1 in percent."""
        return self.scores["same-clothes"][0]

    @property
    def cloth_changing(self) -> float:
        """R1 in percent."""
        return self.scores["cloth-changing"][0]

    @property
    def camera_costs(self) -> float:
        """R1 of A-B less that of the same clothes under camera C."""
        return self.same_clothes - self.scores["same-clothes-control"][0]

    def line(self) -> str:
        """A row of the table, in Markdown."""
        cells = " | ".join(f"{r1:.1f} / {mean:.1f}" for r1, mean in (self.scores[p] for p in PROTOCOLS))
        return f"| {self.name} | {cells} | {self.interval[0]:.1f} to {self.interval[1]:.1f} | {self.seconds:.0f} |"


def row_of(name: str, metrics: Mapping[str, Mapping[str, Any]], seconds: float) -> Row:
    """From the metrics of an evaluation by protocol: shares ``R1``, ``mAP`` and ``R1_interval``."""
    scores = {p: (100 * metrics[p]["R1"], 100 * metrics[p]["mAP"]) for p in PROTOCOLS}
    low, high = metrics["cloth-changing"]["R1_interval"]
    return Row(name, scores, (100 * low, 100 * high), seconds)
