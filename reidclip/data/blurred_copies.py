"""Copies of a data set whose faces were blurred before it came here: known by their folder's name alone."""

from __future__ import annotations

from pathlib import Path

from reidclip.records import Dataset

_OPENING = "Blurred faces: "


def blurred_copy_notes(root: Path) -> tuple[str, ...]:
    """The note for a folder that is called a face-blurred copy (``Celeb-reID-blur``), else nothing."""
    name = root.resolve().name
    if "blur" not in name.lower():
        return ()
    return (f"{_OPENING}the folder is called {name}, so its results stand beside those of other blurred copies, not of the release.",)


def is_blurred_copy(dataset: Dataset) -> bool:
    """Whether a data set carries that note."""
    return any(note.startswith(_OPENING) for note in dataset.notes)
