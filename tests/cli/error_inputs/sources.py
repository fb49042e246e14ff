"""Inputs with several data sets: beside ``data``, others under names of their own."""

from __future__ import annotations

from tests.cli.error_inputs.place import Place
from tests.cli.error_inputs.prepared import layout_tree


def other_set(place: Place, argument: str) -> None:
    """``other_set:NAME=LAYOUT``: the small tree of a layout in a folder of that name."""
    name, _, layout = argument.partition("=")
    layout_tree(layout, place.root / name)


BUILDERS = (other_set,)
