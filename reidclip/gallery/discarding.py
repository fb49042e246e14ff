"""What indexes made outside of the store, as collections of a database, goes with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reidclip import registry
from reidclip.artifacts.store import Draft, Store
from reidclip.artifacts.sweep import TEMPORARY, TRASH, stale_in
from reidclip.errors import ReidclipError
from reidclip.gallery.about import BACKEND
from reidclip.interfaces import GalleryIndex

INDEXES = "reidclip.indexes"
Say = Callable[[str], None]


def discard(folder: Path) -> None:
    """Remove what the backend of an index, or of one that was never finished, made elsewhere.

    Args:
        folder: of the artifact or draft.

    Raises:
        WorkError: a database does not answer.
    """
    if not (folder / BACKEND).is_dir():
        return
    for info in registry.all_infos(INDEXES):  # an unfinished one does not say whose it is
        remove = getattr(info.object, "discard", None)
        if remove is not None:
            remove(folder / BACKEND)


def discard_on_failure(draft: Draft, backend: GalleryIndex, say: Say) -> None:
    """Have it removed where the draft fails, whatever of it fails; a database that does not answer is told."""
    if hasattr(backend, "discard"):
        draft.undo(lambda: _tried(draft.path, say))


def discard_unfinished(store: Store, name: str | None, say: Say, older_than_days: float = float("inf")) -> None:
    """Remove what killed processes made elsewhere; call it before their drafts are swept.

    Args:
        name: of the index; None for all.
        older_than_days: drafts whose writer may be at work, on another machine, are left alone until then.
    """
    for folder in sorted((store.root / "index").glob(name or "*")):
        for draft in stale_in(folder, older_than_days):
            if draft.name.startswith((TEMPORARY, TRASH)):
                _tried(draft, say)


def _tried(folder: Path, say: Say) -> None:
    try:
        discard(folder)
    except (ReidclipError, ImportError) as error:
        say(f"note: what was stored for an unfinished index stays in its database: {getattr(error, 'what', error)}")
