"""Inputs of the fault table: small named functions that build, or damage, what one row's command meets.

A row lists them by name and they run in order in the row's own folder: ``["prcc", "cut_off:train"]`` copies a data set and then cuts
one of its training pictures off; what stands behind the colon is the function's argument. A function returns the file or folder
that is at fault, which the error has to name, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from tests.cli.error_inputs.place import Place

Builder = Callable[[Place, str], Path | None]

_MODULES = (
    "prepared",
    "pictures",
    "data_sets",
    "tables",
    "sources",
    "label_maps",
    "weights",
    "settings_files",
    "stores",
    "machine",
    "videos",
    "indexes",
)
BUILDERS: dict[str, Builder] = {}
for _name in _MODULES:
    for _builder in import_module(f"tests.cli.error_inputs.{_name}").BUILDERS:
        assert _builder.__name__ not in BUILDERS, f"two inputs are called {_builder.__name__}"
        BUILDERS[_builder.__name__] = _builder


def build(place: Place, names: list[str]) -> Path | None:
    """Run the inputs of one row; return what the last one says is at fault."""
    fault = None
    for name in names:
        function, _, argument = name.partition(":")
        fault = BUILDERS[function](place, argument)
    return fault
