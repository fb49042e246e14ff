"""Inputs that are in order: data, weights and artifacts, copied from the kitchen."""

from __future__ import annotations

import shutil
from pathlib import Path

from reidclip import registry
from tests.cli.error_inputs.place import Place
from tests.trees import write_picture


def prcc(place: Place, argument: str) -> None:
    """A small PRCC as ``data``, or as the folder named."""
    shutil.copytree(place.kitchen.prcc, place.root / (argument or "data"))


def pictures(place: Place, argument: str) -> None:
    """A plain folder of three pictures."""
    for number in range(3):
        write_picture(place.data / f"a/{number}.jpg", number)


def tree(place: Place, argument: str) -> None:
    """The small tree of a registered layout."""
    layout_tree(argument, place.data)


def layout_tree(layout: str, root: Path) -> Path:
    """Build it; a layout without one fails the row that asks for it."""
    from tests.contracts.test_layouts import TREES

    assert layout in TREES, f"no small tree is known for the layout '{layout}'; known are {registry.names('reidclip.layouts')}"
    return TREES[layout](root)


def clip(place: Place, argument: str) -> None:
    """The small CLIP as ``clip.safetensors`` with its configuration beside it."""
    source = place.kitchen.clip
    for suffix in (".safetensors", ".json"):
        shutil.copyfile(source.with_suffix(suffix), place.root / f"clip{suffix}")


def parser(place: Place, argument: str) -> None:
    """Weights of the small parser as ``parser.safetensors``."""
    shutil.copyfile(place.kitchen.parser, place.root / "parser.safetensors")


def maps(place: Place, argument: str) -> None:
    """Label maps of the PRCC as ``maps``."""
    shutil.copytree(place.kitchen.maps, place.root / "maps")


def masks(place: Place, argument: str) -> None:
    """Artifact masks/m@v1."""
    _copied(place, place.kitchen.masks, "m")


def parsing(place: Place, argument: str) -> None:
    """Artifact parsing/p@v1."""
    _copied(place, place.kitchen.parsing, "p")


def prompts(place: Place, argument: str) -> None:
    """Artifact prompts/t@v1, by clipreid."""
    _copied(place, place.kitchen.prompts, "t")


def checkpoint(place: Place, argument: str) -> None:
    """Artifact checkpoint/c@v1, by the baseline."""
    _copied(place, place.kitchen.checkpoint, "c")


def meshes(place: Place, argument: str) -> None:
    """Renders of four bodies as ``meshes``."""
    shutil.copytree(place.kitchen.meshes, place.root / "meshes")


def student(place: Place, argument: str) -> None:
    """Artifact checkpoint/s@v1, distilled without words and bodies."""
    _copied(place, place.kitchen.student, "s")


def evaluation(place: Place, argument: str) -> None:
    """Artifact evaluation/e@v1 of a PRCC."""
    _copied(place, place.kitchen.evaluation, "e")


def _copied(place: Place, kind: str, name: str) -> None:
    shutil.copytree(place.kitchen.store / kind / name, place.store / kind / name)


BUILDERS = (prcc, pictures, tree, clip, parser, maps, masks, parsing, prompts, checkpoint, meshes, student, evaluation)
