"""From samples to a `Dataset`: their order, and what a copy with only some of the pictures can and cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reidclip.data.missing_protocols import missing_protocols_note
from reidclip.records import Dataset, Protocol, Sample

SPLITS = ("train", "val", "query", "gallery")


def assemble(
    layout: str,
    root: Path,
    samples: Sequence[Sample],
    protocols: Sequence[Protocol],
    notes: Sequence[str] = (),
    left_out: Mapping[str, int] | None = None,
    splits: Sequence[str] = SPLITS,
    camera_keys: Mapping[str, Mapping[str, int]] | None = None,
) -> Dataset:
    """A data set with its splits in their order, and those of the protocols that have pictures on both sides.

    A copy may hold one half alone; notes say what it lacks.

    Args:
        layout, root: as in `Dataset`.
        samples: in any order.
        protocols: of a whole copy.
        notes: what the layout has to say; what is lacking comes after it.
        left_out: as in `Dataset`.
        splits: every split that a sample may have, in their order.
        camera_keys: as in `Dataset`.
    """
    ordered = tuple(sorted(samples, key=lambda s: (splits.index(s.split), s.path)))
    keys = dict(camera_keys or {})
    whole = Dataset(layout, root, ordered, camera_keys=keys)
    reasons = {protocol.name: _reason(whole, protocol) for protocol in protocols}
    more = []
    for reason in dict.fromkeys(reason for reason in reasons.values() if reason):
        more.append(missing_protocols_note([name for name, why in reasons.items() if why == reason], reason))
    kept = tuple(protocol for protocol in protocols if not reasons[protocol.name])
    return Dataset(layout, root, ordered, kept, (*notes, *more), dict(left_out or {}), camera_keys=keys)


def _reason(dataset: Dataset, protocol: Protocol) -> str:
    """Why there is nothing to compare; empty when there is."""
    query, gallery = dataset.query_and_gallery(protocol)
    lacking = [name for name, side in (("query", query), ("gallery", gallery)) if not side]
    if not lacking:
        return ""
    subset = protocol.query_cams is not None or protocol.gallery_cams is not None
    return f"there are no {' and no '.join(lacking)} pictures{' of its cameras' if subset else ''}."
