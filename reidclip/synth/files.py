"""Names of a rendered set's own files, and the version of what is written; imports nothing."""

from __future__ import annotations

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
