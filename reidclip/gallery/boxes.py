"""From a tracker's boxes to the pixels that are cut out: chosen, padded, clipped to the frame."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from reidclip.counted import counted
from reidclip.gallery.mot import Detection
from reidclip.gallery.reading import Reading

Box = tuple[int, int, int, int]


def chosen_boxes(detections: Iterable[Detection], reading: Reading, size: tuple[int, int]) -> tuple[list[tuple[Detection, Box]], list[str]]:
    """Detections that are taken, each with its pixels, in their order, and notes on those left out.

    Args:
        size: height and width of the frames.
    """
    found: list[tuple[Detection, Box]] = []
    seen: set[tuple[int, int, Box]] = set()
    out: Counter[str] = Counter()
    for d in detections:
        box = pixels(d, reading.padding, size)
        if d.frame % reading.every:
            continue
        if reading.min_confidence is not None and d.confidence < reading.min_confidence:
            out[f"below a confidence of {reading.min_confidence:g}"] += 1
        elif box is None:
            out["outside the frame"] += 1
        elif min(box[2:]) < reading.min_size:
            out[f"smaller than {reading.min_size} pixels"] += 1
        elif (d.frame, d.track, box) in seen:
            out["told twice"] += 1
        else:
            seen.add((d.frame, d.track, box))
            found.append((d, box))
    return found, [f"{counted(count, 'box', 'boxes')} left out, {why}" for why, count in out.items()]


def pixels(d: Detection, padding: float, size: tuple[int, int]) -> Box | None:
    """Left, top, width and height in whole pixels of the frame, edges rounded; None where nothing of it is inside.

    Args:
        padding: added at each side, as a share of the box's width and height.
        size: height and width of the frame.
    """
    height, width = size
    left, right = _edge(d.left - padding * d.width, width), _edge(d.left + (1 + padding) * d.width, width)
    top, bottom = _edge(d.top - padding * d.height, height), _edge(d.top + (1 + padding) * d.height, height)
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def _edge(value: float, limit: int) -> int:
    return min(max(math.floor(value + 0.5), 0), limit)
