"""Notes of a data set that say why its labels may be wrong: layouts write them, `reidclip datasets verify` warns of them."""

from __future__ import annotations

_OPENING = "Doubtful labels: "


def doubtful_labels_note(reason: str) -> str:
    """The note for labels that are used as they are although something speaks against them."""
    return f"{_OPENING}{reason}"


def is_doubtful_labels_note(note: str) -> bool:
    """Whether a note is one of these."""
    return note.startswith(_OPENING)
