"""Body models as users name them: ``anny``, ``smpl:FILE``."""

from __future__ import annotations

from pathlib import Path

from reidclip import registry
from reidclip.interfaces import Body, BodySession

GROUP = "reidclip.bodies"
DEFAULT = "anny"


def parted(spec: str) -> tuple[str, Path | None]:
    """Name of the model, and the user's file where one is named."""
    name, _, file = spec.partition(":")
    return name, Path(file) if file else None


def body_plugin(spec: str) -> Body:
    """The model of that name, not opened.

    Raises:
        UserError: there is none.
    """
    plugin: Body = registry.get(GROUP, parted(spec)[0])
    return plugin


def open_body(spec: str) -> BodySession:
    """The model, opened.

    Raises:
        UserError: there is none of that name; its file is missing, or not one of it.
    """
    return body_plugin(spec).open(parted(spec)[1])
