"""What `reidclip plugins` tells: every registered plugin, its settings and recipes. Imports no plugin's heavy part."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from reidclip import registry
from reidclip.errors import UserError, nearest
from reidclip.interfaces import GROUPS, Method
from reidclip.recipes import read_recipe
from reidclip.registry import PluginInfo, kind_of
from reidclip.settings import Settings, resolve
from reidclip.stages.equations import PAPER_FILE, Equation, find_equation, published_results

METHODS = "reidclip.methods"
TABLE_BELOW = "its keys below"
"""In place of a table's value: each of its keys has a row of its own."""


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting as a reader wants it: key, type and default as text, description; its value under a recipe, None without one."""

    key: str
    type: str
    default: str
    description: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class RecipeInfo:
    """A recipe in one line; the layout of the data set that it is for, None for any."""

    name: str
    title: str
    layout: str | None


@dataclass(frozen=True, slots=True)
class PluginDetails:
    """Everything `plugins show` prints.

    Attributes:
        kind: "method", "parser", "body", "layout".
        settings: by command for a method, under "" for a parser.
        recipes: of a method.
        recipe: the one whose values the settings show, None for defaults alone.
        published: text of PAPER.md's section of published results, "" without one.
        paper: path of PAPER.md, None without one.
        tree: expected tree of a layout, "" for others.
        licence: sentence on the licence of a body, "" for others.
    """

    info: PluginInfo
    kind: str
    title: str
    version: str
    stages: tuple[str, ...]
    settings: Mapping[str, tuple[SettingInfo, ...]]
    recipes: tuple[RecipeInfo, ...]
    published: str
    paper: Path | None
    tree: str
    licence: str
    recipe: str | None = None


def all_plugins() -> list[PluginInfo]:
    """Every plugin of every group, broken ones included."""
    return [info for group in GROUPS for info in registry.all_infos(group)]


def show(name: str, recipe: str | None = None) -> list[PluginDetails]:
    """Details of the plugin, or plugins of several groups, with this name.

    Args:
        name: as registered.
        recipe: of the method; its settings then carry their values under it.

    Raises:
        UserError: there is none (with the nearest), or it cannot be loaded; a recipe that the method does not have, or of no method.
    """
    found = [group for group in GROUPS if name in registry.names(group)]
    if not found:
        raise UserError(f"There is no plugin '{name}'.", nearest(name, {n for group in GROUPS for n in registry.names(group)}))
    if recipe is None:
        return [_details(group, name) for group in found]
    if METHODS not in found:
        raise UserError(f"Plugin '{name}' is a {kind_of(found[0])} and has no recipes.", "Leave --recipe out.")
    return [_with_values(_details(METHODS, name), registry.get(METHODS, name), recipe)]


def equation(method: str, number: str) -> list[Equation]:
    """Where a method codes an equation.

    Raises:
        UserError: no such method, or no such equation.
    """
    return find_equation(folder_of(registry.get("reidclip.methods", method)), method, number)


def folder_of(plugin: Any) -> Path:
    """Where the plugin's PAPER.md, equations.py and recipes/ are; a path that does not exist when it says nothing."""
    folder = getattr(plugin, "folder", None)
    return Path(folder) if isinstance(folder, (str, Path)) else Path("does-not-exist")


def recipe_files(plugin: Any) -> list[Path]:
    """Recipe files of a plugin, sorted by name."""
    return sorted((folder_of(plugin) / "recipes").glob("*.toml"))


def settings_of(plugin: Any) -> Mapping[str, type[Settings]]:
    """Settings classes by command; a parser's single class under ""."""
    declared = getattr(plugin, "settings", None)
    if isinstance(declared, Mapping):
        return declared
    return {"": declared} if isinstance(declared, type) and issubclass(declared, Settings) else {}


def recipes_of(plugin: Any) -> tuple[RecipeInfo, ...]:
    """Recipes of a method with their titles; one that cannot be read is listed with the reason for a title."""
    found = []
    for path in recipe_files(plugin):
        try:
            recipe = read_recipe(plugin, path.stem)
            found.append(RecipeInfo(recipe.name, recipe.title, recipe.layout))
        except UserError as error:
            found.append(RecipeInfo(path.stem, error.what, None))
    return tuple(found)


def _with_values(details: PluginDetails, method: Method, recipe: str) -> PluginDetails:
    settings = {}
    for command, rows in details.settings.items():
        model = method.settings[command]
        values = resolve(model, *read_recipe(method, recipe).sections(command, model), where=f"recipe {recipe}", plugin=method.name)
        settings[command] = tuple(replace(row, value=_shown(reduce(getattr, row.key.split("."), values))) for row in rows)
    return replace(details, settings=settings, recipe=recipe)


def describe_settings(model: type[Settings]) -> tuple[SettingInfo, ...]:
    """Every field of a settings class, in the order of its definition; those of a table follow it as "table.key"."""
    return tuple(_described(model, "", {}))


def _described(model: type[Settings], prefix: str, defaults: Mapping[str, Any]) -> Iterator[SettingInfo]:
    """Rows of a model; ``defaults`` are what the setting that it is a table of puts in place of the model's own."""
    for key, field in model.model_fields.items():
        default = defaults[key] if key in defaults else _default_of(field)
        shown = "required" if default is PydanticUndefined else _shown(default)
        yield SettingInfo(f"{prefix}{key}", _type_name(field.annotation), shown, field.description or "")
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            own = {name: getattr(default, name) for name in inner.model_fields} if isinstance(default, inner) else {}
            yield from _described(inner, f"{prefix}{key}.", own)


def _details(group: str, name: str) -> PluginDetails:
    plugin = registry.get(group, name)
    folder = folder_of(plugin)
    paper = folder / PAPER_FILE
    return PluginDetails(
        info=registry.info(group, name),
        kind=kind_of(group),
        title=str(getattr(plugin, "title", "")),
        version=str(getattr(plugin, "version", "")),
        stages=tuple(getattr(plugin, "stages", ())),
        settings={command: describe_settings(model) for command, model in settings_of(plugin).items()},
        recipes=recipes_of(plugin),
        published=published_results(folder),
        paper=paper if paper.is_file() else None,
        tree=str(getattr(plugin, "expected_tree", "")),
        licence=str(getattr(plugin, "licence", "")),
    )


def _default_of(field: FieldInfo) -> Any:
    return PydanticUndefined if field.is_required() else field.get_default(call_default_factory=True)


def _shown(value: Any) -> str:
    return repr(value) if not isinstance(value, Settings) else TABLE_BELOW


def _type_name(annotation: Any) -> str:
    """``Literal["a", "b"] | None`` -> ``'a' | 'b' | None``."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _type_name(typing.get_args(annotation)[0])  # bounds are the description's to tell
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "table"
    if origin is typing.Literal:
        return " | ".join(repr(value) for value in typing.get_args(annotation))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_type_name(part) for part in typing.get_args(annotation))
    if annotation is type(None):
        return "None"
    if origin is not None:
        inner = ", ".join("..." if part is ... else _type_name(part) for part in typing.get_args(annotation))
        return f"{origin.__name__}[{inner}]"
    return getattr(annotation, "__name__", str(annotation))
