"""What ``reidclip evaluate --diagnostics`` prints: one line per diagnosis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a ``diagnostics.json``."""
    for protocol, pairs in found["pairs"].items():
        yield f"pairs, {protocol}: " + (_skipped(pairs) or _apart(pairs, "positive", "negative"))
    yield "clothes left in the feature: " + (_skipped(found["clothes_probe"]) or _probe(found["clothes_probe"]))
    if _skipped(found["prompts"]):
        yield "prompts: " + _skipped(found["prompts"])
    for name in ("identity", "clothes"):
        if name in found["prompts"]:
            prompts = found["prompts"][name]
            told = f"{prompts['accuracy']['x_s' if name == 'identity' else 'x_c']:.0%} of the training pictures find theirs"
            yield f"{name} prompts: {told}; to shielding and clothes images: {_apart(prompts, 'to_shielding', 'to_clothes')}"
    drawn = found["map"]
    yield "map: " + (_skipped(drawn) or f"{drawn['pictures']} pictures of {len(drawn['people'])} people, {drawn['way']}")


def domain_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a ``diagnostics.json`` over several data sets."""
    probe, drawn = found["domain_probe"], found["map"]
    yield "data set told from the feature: " + (_skipped(probe) or f"linear probe {_share(probe)}, {probe['people']} people")
    yield "map of data sets: " + (_skipped(drawn) or f"{drawn['pictures']} pictures, {drawn['way']}")


def _skipped(part: Mapping[str, Any]) -> str:
    return f"skipped, {part['skipped']}" if "skipped" in part else ""


def _apart(part: Mapping[str, Any], first: str, second: str) -> str:
    means = f"mean distances {part[first]['mean']:.3f} and {part[second]['mean']:.3f}"
    return f"{means}, overlap {part['overlap']:.2f}, AUC {part['auc']:.3f}"


def _probe(probe: Mapping[str, Any]) -> str:
    within = probe["within_camera"]
    camera = f"; within camera {_share(within)}" if within else ""
    note = f"; {probe['note']}" if "note" in probe else ""
    share = f"{100 * probe['variance_share']:.0f} % of the variance within people"
    return f"linear probe {_share(probe)}{camera}; {share}{note}"


def _share(probe: Mapping[str, Any]) -> str:
    interval = probe["interval"]
    told = f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else ""
    return f"{100 * probe['accuracy']:.1f} %{told}, chance {100 * probe['chance']:.1f} %"
