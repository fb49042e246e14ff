"""Names of a rendered set's own files, and the version of what is written; imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path

GENERATOR_VERSION = 4
"""Raised whenever the same parameters would give other bytes."""

ATTRIBUTES = "attributes.jsonl"
"""One line per picture: all that was drawn for it."""
PARAMETERS = "synth.json"
"""The parameters; there from the beginning."""
SHARDS = ".synth"
"""Folder that is there while the rendering is not finished."""
BODIES = "bodies.safetensors"
"""Shapes, measurements and words of the bodies that are shown."""
BODY_ROWS = "bodies.json"
"""Picture -> row of that table."""
MESHES = "meshes"
"""What the parameters of a set of mesh renders say under "kind"."""


def holds_meshes(root: Path) -> bool:
    """Whether a folder's parameters say that it is a set of mesh renders; never raises."""
    try:
        there = json.loads((root / PARAMETERS).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(there, dict) and there.get("kind") == MESHES
