"""Entry point -> object, by group and name.

Names are listed without importing anything; an object is imported when it is asked for. A plugin that fails to import is a
`Broken` entry with one line of explanation and disturbs nobody else. ``REIDCLIP_PLUGINS`` restricts the plugins to the named
distributions or names (comma separated; empty loads none but the bundled ones).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from reidclip.errors import UserError, nearest

BUNDLED_DISTRIBUTION = "reidclip"


@dataclass(frozen=True)
class PluginInfo:
    """A registered name, its object (None when broken) and the error of a broken one."""

    group: str
    name: str
    target: str  # "reidclip_ccaf:METHOD"
    distribution: str
    distribution_version: str
    object: Any | None = None
    error: str | None = None


def kind_of(group: str) -> str:
    """Word for a member of a group: "reidclip.methods" -> "method", "reidclip.bodies" -> "body", "reidclip.indexes" -> "index"."""
    word = group.rpartition(".")[2]
    if word.endswith("ies"):
        return f"{word.removesuffix('ies')}y"
    return word.removesuffix("es") if word.endswith("xes") else word.removesuffix("s")


@cache
def _entry_points(group: str, restrict: str | None) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    allowed = None if restrict is None else {part.strip() for part in restrict.split(",") if part.strip()}
    for point in entry_points(group=group):
        distribution = point.dist.name if point.dist else "unknown"
        if allowed is not None and distribution != BUNDLED_DISTRIBUTION and not {distribution, point.name} & allowed:
            continue
        # The bundled plugin keeps its name when an outsider registers the same one: results stay what their names say.
        if point.name not in found or distribution == BUNDLED_DISTRIBUTION:
            found[point.name] = point
    return dict(sorted(found.items()))


def names(group: str) -> list[str]:
    """Registered names of a group, sorted; imports nothing."""
    return list(_entry_points(group, os.environ.get("REIDCLIP_PLUGINS")))


def info(group: str, name: str) -> PluginInfo:
    """Load one plugin, turning whatever it raises into the ``error`` line.

    Raises:
        UserError: no plugin of that name (with the nearest one).
    """
    point = _entry_points(group, os.environ.get("REIDCLIP_PLUGINS")).get(name)
    if point is None:
        raise UserError(f"There is no {kind_of(group)} '{name}'.", nearest(name, names(group)))
    distribution = point.dist.name if point.dist else "unknown"
    version = point.dist.version if point.dist else "?"
    base = PluginInfo(group, name, point.value, distribution, version)
    try:
        return PluginInfo(**{**base.__dict__, "object": point.load()})
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit included, and must not stop the others
        return PluginInfo(**{**base.__dict__, "error": f"{type(error).__name__}: {error}"})


def get(group: str, name: str) -> Any:
    """The object of one plugin.

    Raises:
        UserError: unknown name, or a plugin that fails to import.
    """
    found = info(group, name)
    if found.object is None:
        raise UserError(
            f"Plugin '{name}' ({found.target} of {found.distribution}) cannot be loaded: {found.error}.",
            f"Mend or uninstall it: pip uninstall {found.distribution}.",
        )
    return found.object


def all_infos(group: str) -> list[PluginInfo]:
    """Every plugin of a group, broken ones included."""
    return [info(group, name) for name in names(group)]
