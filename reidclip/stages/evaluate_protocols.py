"""Which protocols of a data set are evaluated: those named, else all that can be."""

from __future__ import annotations

from collections.abc import Sequence

from reidclip.data.missing_protocols import notes_on_missing_protocols
from reidclip.errors import UserError
from reidclip.evaluation.matching import GalleryIndex, Labels
from reidclip.evaluation.protocols import find_protocol
from reidclip.records import Dataset, Protocol
from reidclip.stages.choose import Say


def chosen_protocols(dataset: Dataset, names: Sequence[str], say: Say) -> tuple[Protocol, ...]:
    """Those named; without names all but the single-shot variants and those in which nothing can be found, which are told.

    Raises:
        UserError: a protocol that the data set does not have, or none at all.
    """
    if not dataset.protocols:
        reasons = notes_on_missing_protocols(dataset) or ("Evaluation needs them; see the layout's expected tree.",)
        raise UserError(f"{dataset.root} has no query and gallery pictures.", " ".join(reasons))
    if names:
        return tuple(find_protocol(dataset, name) for name in names)
    usual = tuple(p for p in dataset.protocols if not p.single_shot_repeats)
    faults = {p.name: nothing_to_find(dataset, p) for p in usual}
    kept = tuple(p for p in usual if not faults[p.name])
    if not kept:
        return usual  # the evaluation's own error says what is wrong, and what to do
    for name, fault in faults.items():
        if fault:
            say(f"note: protocol {name} of {dataset.root} is skipped: {fault}")
    return kept


def nothing_to_find(dataset: Dataset, protocol: Protocol) -> str:
    """Why a protocol has no result, one clause: no query, no gallery, no query with a match; "" where it has one."""
    if protocol.draws:
        return ""  # a layout makes draws of people with pictures on both sides
    query, gallery = dataset.query_and_gallery(protocol)
    if not query or not gallery:
        return f"it has no {'query' if not query else 'gallery'} pictures"
    try:
        matches, _ = GalleryIndex(Labels.of(gallery)).pairs(Labels.of(query), protocol.rule)
    except UserError as error:
        return error.what
    return "" if len(matches.query) else f"no query has a match under rule '{protocol.rule.value}'"
