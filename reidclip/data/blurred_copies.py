"""Copies of a data set whose faces were blurred before it came here: known by a file that this toolkit puts there, or by their name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reidclip.records import Dataset

RECORD = "blurred-faces.json"
"""In the folder of a copy that `reidclip datasets blur-faces` made: of what, by which label maps."""
_OPENING = "Blurred faces: "


def blurred_copy_notes(root: Path) -> tuple[str, ...]:
    """The note for a folder that is called a face-blurred copy (``Celeb-reID-blur``), else nothing."""
    name = root.resolve().name
    return (_note(f"the folder is called {name}"),) if "blur" in name.lower() else ()


def with_note_on_blur(dataset: Dataset) -> Dataset:
    """The data set with that note, where the folder holds a `RECORD`."""
    if is_blurred_copy(dataset) or not (dataset.root / RECORD).is_file():
        return dataset
    return replace(dataset, notes=(*dataset.notes, _note(f"{RECORD} says so")))


def is_blurred_copy(dataset: Dataset) -> bool:
    """Whether a data set carries the note."""
    return any(note.startswith(_OPENING) for note in dataset.notes)


def _note(reason: str) -> str:
    return f"{_OPENING}{reason}, and its results stand beside those of other blurred copies, not of the release."
