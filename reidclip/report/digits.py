"""To how many digits distances are told."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_DIGITS, MOST_DIGITS = 3, 7


def digits_of(distances: Sequence[float]) -> int:
    """Digits after the point by which a hundredth of the distances' range is seen (of equal ones, of the distance itself), from 3 to 7.

    Features that lie close together have distances of which three digits would tell nothing; beyond seven is rounding alone.
    """
    if not distances:
        return LEAST_DIGITS
    spread = max(distances) - min(distances) or abs(max(distances))
    wanted = 2 + math.ceil(-math.log10(spread)) if spread > 0 else LEAST_DIGITS
    return min(MOST_DIGITS, max(LEAST_DIGITS, wanted))
