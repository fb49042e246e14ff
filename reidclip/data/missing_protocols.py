"""Notes of a data set that say why it lacks a protocol: layouts write them, whoever looks for the protocol finds them."""

from __future__ import annotations

from collections.abc import Sequence

from reidclip.records import Dataset

_OPENING = "No protocol "


def missing_protocols_note(names: Sequence[str], reason: str) -> str:
    """The note for protocols that a layout leaves out, for example "No protocol cloth-changing: the clothes are unknown."."""
    return f"{_OPENING}{' or '.join(names)}: {reason}"


def notes_on_missing_protocols(dataset: Dataset) -> tuple[str, ...]:
    """Those of the data set's notes that say why it lacks protocols, in order."""
    return tuple(note for note in dataset.notes if note.startswith(_OPENING))


def parted_note(note: str) -> tuple[str, str]:
    """A note of `missing_protocols_note` as ("No protocol cloth-changing", reason); every other note with an empty reason."""
    opening, _, reason = note.partition(": ")
    return (opening, reason) if note.startswith(_OPENING) and reason else (note, "")
