"""Body models as users name them: ``anny``, ``smpl:FILE``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reidclip import registry
from reidclip.bodies.body_table import BodyTable
from reidclip.bodies.licence import licence_once
from reidclip.errors import UserError
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


def body_of(table: BodyTable, what: str, asked: str | None = None, say: Callable[[str], object] = lambda text: None) -> BodySession:
    """The body model of a table's shapes, opened and checked to be the very one that they were made by.

    Args:
        what: whose table it is, for errors: "mesh set /data/meshes".
        asked: NAME, or NAME:FILE for models that read the user's file; None takes the table's from its own package.
        say: is told the model's licence.

    Raises:
        UserError: another body model, or other data of it; or its file is missing.
    """
    spec = asked or table.body
    name, file = parted(spec)
    if name != table.body:
        raise UserError(
            f"The bodies of {what} are of body model '{table.body}', not '{name}'.",
            f"Leave --body out, or render others: reidclip synth DIR --meshes --body {spec}.",
        )
    model = body_plugin(name)
    licence_once(model, say)
    session = model.open(file)
    if session.version != table.version:
        raise UserError(
            f"The bodies of {what} were made by {name} {table.version[:12]}, this is {name} {session.version[:12]}: the same numbers are "
            "other shapes there.",
            f"Give the file that they were made by (--body {name}:FILE), or render them again.",
        )
    return session
