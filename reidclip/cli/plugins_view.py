"""How `reidclip plugins` shows things: rich tables for people, plain values for --json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from reidclip.cli.console import console
from reidclip.registry import PluginInfo, kind_of
from reidclip.stages.plugins import PluginDetails, SettingInfo


def info_json(info: PluginInfo) -> dict[str, Any]:
    """One plugin of the list."""
    return {
        "kind": kind_of(info.group),
        "name": info.name,
        "title": _title(info),
        "distribution": info.distribution,
        "version": info.distribution_version,
        "target": info.target,
        "state": "ok" if info.error is None else "broken",
        "error": info.error,
    }


def list_table(infos: Sequence[PluginInfo]) -> Table:
    """Working plugins."""
    table = Table(box=None, pad_edge=False)
    for column in ("name", "kind", "what", "from"):
        table.add_column(column, no_wrap=column != "what", overflow="fold")
    for info in infos:
        table.add_row(info.name, kind_of(info.group), escape(_title(info)), f"{info.distribution} {info.distribution_version}")
    return table


def broken_line(info: PluginInfo) -> str:
    """One line for a plugin that cannot be loaded, whatever its error says."""
    error = " ".join(str(info.error).split())
    return f"{info.name}  {kind_of(info.group)}  broken: {error} ({info.target} of {info.distribution} {info.distribution_version})"


def details_json(details: PluginDetails) -> dict[str, Any]:
    """Everything that `print_details` prints."""
    return {
        **info_json(details.info),
        "title": details.title,
        "method_version": details.version,
        "stages": list(details.stages),
        "settings": {command: [_setting_json(s) for s in rows] for command, rows in details.settings.items()},
        "recipes": [{"name": r.name, "title": r.title, "layout": r.layout} for r in details.recipes],
        "recipe": details.recipe,
        "published": details.published,
        "paper": str(details.paper) if details.paper else None,
        "expected_tree": details.tree,
        "licence": details.licence,
    }


def print_details(details: PluginDetails) -> None:
    """One plugin on the terminal."""
    info = details.info
    version = f", version {details.version}" if details.version else ""
    console.print(f"[bold]{escape(info.name)}[/] ({details.kind}{version}; {info.distribution} {info.distribution_version})")
    console.print(details.title, markup=False, soft_wrap=True)
    for label, text in (("stages", ", ".join(details.stages)), ("expects", details.tree), ("licence", details.licence)):
        if text:
            console.print(f"{label}: {text}", markup=False, soft_wrap=True)
    if details.recipe is not None:
        _print_values(details, details.recipe)
        return
    _print_recipes(details)
    for command, rows in details.settings.items():
        console.print(f"\n[bold]settings{' of ' + command if command else ''}[/]")
        for setting in rows:
            indent = "  " * (1 + setting.key.count("."))  # keys of a table stand below it
            console.print(f"{indent}[bold]{escape(setting.key)}[/]: {escape(setting.type)} = {escape(setting.default)}", soft_wrap=True)
            if setting.description:
                console.print(f"{indent}    {setting.description}", markup=False, soft_wrap=True)
    if details.published:
        console.print("\n[bold]published results[/]")
        console.print(details.published, markup=False, soft_wrap=True)
    if details.paper:
        console.print(f"\nequations and deviations: {details.paper}", markup=False, soft_wrap=True)


def _print_recipes(details: PluginDetails) -> None:
    if not details.recipes:
        return
    console.print("recipes:")
    width = max(len(recipe.name) for recipe in details.recipes)
    for recipe in details.recipes:
        console.print(f"  {recipe.name:<{width}}  {recipe.title}".rstrip(), markup=False, soft_wrap=True)


def _print_values(details: PluginDetails, recipe: str) -> None:
    """Every setting's value under a recipe; its default beside it where it is another."""
    console.print(next((f"recipe {r.name}: {r.title}" for r in details.recipes if r.name == recipe), ""), markup=False, soft_wrap=True)
    for command, rows in details.settings.items():
        table = Table(box=None, pad_edge=False, title=f"settings of {command}", title_justify="left", title_style="bold")
        for column in ("key", recipe, "default"):
            table.add_column(column, overflow="fold")
        for s in rows:
            changed = s.value != s.default
            table.add_row(
                escape(s.key), f"[bold]{escape(str(s.value))}[/]" if changed else escape(str(s.value)), escape(s.default) if changed else ""
            )
        console.print()
        console.print(table)


def _setting_json(setting: SettingInfo) -> dict[str, str]:
    told = {"key": setting.key, "type": setting.type, "default": setting.default, "description": setting.description}
    return told if setting.value is None else {**told, "value": setting.value}


def _title(info: PluginInfo) -> str:
    return str(getattr(info.object, "title", "")) if info.object is not None else ""
