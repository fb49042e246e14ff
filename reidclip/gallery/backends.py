"""Backends of indexes by name, with what they need."""

from __future__ import annotations

from importlib import import_module

from reidclip import registry
from reidclip.interfaces import GalleryIndex

INDEXES = "reidclip.indexes"


def backend_of(name: str) -> GalleryIndex:
    """A backend whose packages are there: asked for before long work, not after it.

    Raises:
        UserError: there is none of this name. ModuleNotFoundError: a package that it ``needs`` is missing; the command line tells how to
            install it.
    """
    backend: GalleryIndex = registry.get(INDEXES, name)
    for module in getattr(backend, "needs", ()):
        import_module(module)
    return backend
