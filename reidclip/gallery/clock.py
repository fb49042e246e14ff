"""Times of items as people read them."""

from __future__ import annotations

from datetime import datetime, timezone

CLOCK_FROM = 10**8  # seconds: smaller times count from a video's begin


def time_told(seconds: float | None) -> str:
    """``2024-05-01 13:30:00`` (UTC) where a clock is known, ``90.5 s`` from a video's begin, "" where neither is."""
    if seconds is None:
        return ""
    if seconds < CLOCK_FROM:
        return f"{seconds:.1f} s"
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
