"""Numbers and words as cells of a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping

from ablation.paired import Paired
from ablation.results import Value
from ablation.scores import METRICS


def told(value: Value) -> str:
    """``58.3 [55.1, 61.5]``, in per cent."""
    if value.interval is None:
        return f"{100 * value.mean:.1f}"
    return f"{100 * value.mean:.1f} [{100 * value.interval[0]:.1f}, {100 * value.interval[1]:.1f}]"


def comparison(against: str | None, paired: Mapping[str, Paired] | None) -> list[str]:
    """The row compared with and the difference in each metric; empty cells where there is none."""
    return [cell(against or ""), *(_delta(paired[metric]) if paired else "" for metric in METRICS)]


def _delta(paired: Paired) -> str:
    interval = f" [{100 * paired.seed_interval[0]:+.1f}, {100 * paired.seed_interval[1]:+.1f}]" if paired.seed_interval else ""
    p = "p < 0.001" if paired.p_identities < 0.001 else f"p = {paired.p_identities:.3f}"
    return f"{100 * paired.difference:+.1f}{interval}, {p}{' ✓' if paired.significant else ''}"


def cell(text: str) -> str:
    """Words that do not end the cell."""
    return text.replace("|", "\\|")
