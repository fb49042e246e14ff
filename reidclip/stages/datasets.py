"""What `reidclip datasets` tells of data sets without having any: every registered layout. Imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reidclip import registry
from reidclip.data.open import GROUP
from reidclip.records import PublishedCount
from reidclip.registry import PluginInfo

_HEADLINES = (("identities", "images"), ("identities", "tracklets", "frames"), ("identities", "tracklets"))


@dataclass(frozen=True, slots=True)
class PublishedNumber:
    """A published count as text and number; ``mark`` as in `reidclip.records.PublishedCount`."""

    what: str
    value: int
    mark: str


@dataclass(frozen=True, slots=True)
class ProtocolInfo:
    """An evaluation protocol; rule and note as in `reidclip.records.Protocol`."""

    name: str
    rule: str
    note: str


@dataclass(frozen=True, slots=True)
class LayoutInfo:
    """A registered layout; all but name, distribution and error are empty when it cannot be loaded.

    Attributes:
        name: as --dataset takes it.
        title: data set and publication.
        source: where to ask for the data.
        tree: what the folder must look like.
        published: what `datasets verify` compares with.
        protocols: those of a whole copy; empty where they depend on the data.
        distribution: Python package it comes from.
        error: why it cannot be loaded, or None.
    """

    name: str
    title: str
    source: str
    tree: str
    published: tuple[PublishedNumber, ...]
    protocols: tuple[ProtocolInfo, ...]
    distribution: str
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**dataclasses.asdict(self), "state": "ok" if self.error is None else "broken"}


def list_layouts() -> list[LayoutInfo]:
    """Every registered layout by name, broken ones included."""
    return [_describe(info) for info in registry.all_infos(GROUP)]


def show_layout(name: str) -> LayoutInfo:
    """One layout.

    Raises:
        UserError: no such layout (with the nearest), or it cannot be loaded.
    """
    registry.get(GROUP, name)
    return _describe(registry.info(GROUP, name))


def headline(published: Sequence[PublishedNumber]) -> str:
    """Identities and images (or tracklets) of the whole data set, else of the first split of which both are published; "" without any.

    "221 identities, 33,698 images"; "train: 751 identities, 12,936 images"; "226 identities, 2,856 tracklets, 347,833 frames".
    """
    parts: dict[str, dict[str, int]] = {}
    for number in published:
        part, _, quantity = number.what.rpartition(": ")
        parts.setdefault(part, {})[quantity] = number.value
    for quantities in _HEADLINES:
        whole = [part for part, values in parts.items() if set(quantities) <= set(values)]
        if whole:
            chosen = "all" if "all" in whole else whole[0]
            numbers = ", ".join(f"{parts[chosen][quantity]:,} {quantity}" for quantity in quantities)
            return numbers if chosen == "all" else f"{chosen}: {numbers}"
    return ""


def _describe(info: PluginInfo) -> LayoutInfo:
    if info.object is None:
        return LayoutInfo(info.name, "", "", "", (), (), info.distribution, info.error)
    layout = info.object
    published: Sequence[PublishedCount] = getattr(layout, "published", ())
    return LayoutInfo(
        name=info.name,
        title=str(getattr(layout, "title", info.name)),
        source=str(getattr(layout, "source", "")),
        tree=str(getattr(layout, "expected_tree", "")),
        published=tuple(PublishedNumber(count.what, count.value, count.status) for count in published),
        protocols=tuple(ProtocolInfo(p.name, p.rule.value, p.note) for p in getattr(layout, "protocols", ())),
        distribution=info.distribution,
    )
