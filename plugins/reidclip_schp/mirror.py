"""Which label a label becomes in a mirrored picture."""

from __future__ import annotations

from collections.abc import Sequence

SIDES = {"Left-": "Right-", "Right-": "Left-"}


def mirrored_order(labels: Sequence[str]) -> list[int]:
    """Index of each label's mirror image: ``Left-arm`` and ``Right-arm`` change places, labels without a side keep theirs."""
    return [labels.index(_other_side(label)) for label in labels]


def _other_side(label: str) -> str:
    return next((other + label.removeprefix(side) for side, other in SIDES.items() if label.startswith(side)), label)
