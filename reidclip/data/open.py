"""From a folder to a data set: find the layout that knows the tree, and read it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path

from reidclip import registry
from reidclip.data.blurred_copies import with_note_on_blur
from reidclip.data.called import name_by_layout
from reidclip.data.files import folders
from reidclip.data.layouts.pictures import load_pictures
from reidclip.errors import ReidclipError, UserError, WorkError
from reidclip.interfaces import DataLayout
from reidclip.records import Dataset
from reidclip.synth.files import holds_meshes

GROUP = "reidclip.layouts"
_LOOK_BELOW = 50  # sub-folders that are looked at for a better suggestion


def open_dataset(root: Path, layout: str | None = None) -> Dataset:
    """Read the data set in a folder. Its root is absolute, whatever the layout gives: manifests hold it.

    Args:
        root: the folder.
        layout: name of the layout; None recognises it from the tree.

    Raises:
        UserError: no such folder; no layout, or several, recognise it; no layout of that name; no pictures in it;
            whatever the layout finds wrong (a `DataFaultsError` holds all of it).
        WorkError: the layout's plugin failed.
    """
    _check_folder(root)
    if layout is not None:
        return _load(registry.get(GROUP, layout), layout, root)
    found = _recognise(root)
    if found is None:
        raise UserError(f"No data layout recognises {root}.", _bodies(root) or _known_below(root) or _near_misses(root) or _known_trees())
    return _load(*found, root)


def open_pictures(root: Path, layout: str | None = None) -> Dataset:
    """Read a folder for work that needs no labels: a data set when a layout knows the tree, else all pictures below it.

    The root is absolute, as in `open_dataset`.

    Args:
        root: the folder.
        layout: name of the layout, or "pictures"; None recognises it from the tree.

    Raises:
        UserError: as `open_dataset`; no pictures at all.
    """
    _check_folder(root)
    if layout is not None and layout != "pictures":
        return open_dataset(root, layout)
    found = _recognise(root) if layout is None else None
    return _with_absolute_root(load_pictures(root)) if found is None else _load(*found, root)


def layout_of(root: Path) -> str | None:
    """Name of the layout that `open_dataset` would read a folder by; None where none recognises it.

    Raises:
        UserError: several layouts recognise it.
    """
    found = _recognise(root) if root.is_dir() else None
    return found[1] if found else None


def _check_folder(root: Path) -> None:
    if not root.exists():
        raise UserError(f"There is no folder {root}.", "Check the path of the data set.")
    if not root.is_dir():
        raise UserError(f"{root} is a file, not the folder of a data set.", "Give the folder that holds the pictures.")
    if not os.access(root, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise UserError(f"{root} cannot be read: permission denied.", "Change the folder's permissions, or copy the data.")


def _recognise(root: Path) -> tuple[DataLayout, str] | None:
    """The one layout that knows the tree, and its name. A plugin that is broken or raises knows nothing."""
    found = _candidates(root)
    if len(found) > 1:
        found = [(layout, name) for layout, name in found if not _says(layout, "yields", root)] or found
    if len(found) > 1:
        names = ", ".join(name for _, name in found)
        raise UserError(f"Several data layouts recognise {root}: {names}.", f"Name one of them, for example --dataset {found[0][1]}.")
    return found[0] if found else None


def _candidates(root: Path) -> list[tuple[DataLayout, str]]:
    return [(i.object, i.name) for i in registry.all_infos(GROUP) if i.object is not None and _says(i.object, "recognises", root)]


def _says(layout: DataLayout, question: str, root: Path) -> bool:
    """The layout's answer; False when it raises or has no such method."""
    try:
        return bool(getattr(layout, question)(root))
    except Exception:
        return False


def _load(layout: DataLayout, name: str, root: Path) -> Dataset:
    root = Path(os.path.abspath(root))  # messages name files by their whole paths; links are left as they are
    try:
        dataset = layout.load(root)
    except (ReidclipError, OSError):
        raise  # they name the file themselves
    except Exception as error:
        raise WorkError(
            f"Data layout '{name}' failed on {root}: {type(error).__name__}: {error}", "Report it to the plugin's authors (-v shows where)."
        ) from error
    if not dataset.samples:
        raise UserError(f"{root} holds no pictures that the layout '{name}' knows.", f"Expected:\n{layout.expected_tree}")
    return with_note_on_blur(_with_absolute_root(dataset))


def _with_absolute_root(dataset: Dataset) -> Dataset:
    """A manifest that holds the root must lead back to it from any working folder. Links are left as they are."""
    root = Path(os.path.abspath(dataset.root))
    return dataclasses.replace(dataset, root=root, called=name_by_layout(dataset.layout, root))


def _bodies(root: Path) -> str:
    """What renders of bare bodies are for; empty where the folder holds none."""
    if not holds_meshes(root):
        return ""
    return "It holds renders of bare bodies, which `reidclip distill --meshes` and `reidclip evaluate --task shape` take."


def _known_below(root: Path) -> str:
    """Which sub-folders some layout recognises, as a remedy; empty when none."""
    known = [
        f"{folder} ({', '.join(name for _, name in found)})" for folder in folders(root)[:_LOOK_BELOW] if (found := _candidates(folder))
    ]
    return f"Give the folder of one data set: {', '.join(known)}." if known else ""


def _near_misses(root: Path) -> str:
    """What keeps the folder from being a data set of a layout, by those layouts that can tell; empty when none can."""
    told = []
    for info in registry.all_infos(GROUP):
        if (ask := getattr(info.object, "near_miss", None)) is not None:
            with contextlib.suppress(Exception):  # a plugin's failure to guess is nobody's concern
                told.append(f"{info.name}: {sentence}" if (sentence := ask(root)) else "")
    return "\n".join(filter(None, told))


def _known_trees() -> str:
    """One line per layout: its name and the first line of the tree it expects; broken plugins with their error."""
    lines = ["Known layouts:"]
    for info in registry.all_infos(GROUP):
        if info.object is None:
            lines.append(f"  {info.name}: unavailable ({info.error})")
        else:
            lines.append(f"  {info.name}: {info.object.expected_tree.splitlines()[0]}")
    return "\n".join(lines)
