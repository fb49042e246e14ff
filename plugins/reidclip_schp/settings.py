"""Settings of the parser `schp`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from reidclip.settings import Settings


class SchpSettings(Settings):
    """How pictures are parsed."""

    weights: Path | None = Field(
        default=None,
        description="Safetensors file of a schp-tiny network; none takes the bundled one.",
    )
    batch_size: int = Field(default=32, ge=1, description="Pictures per forward pass.")
    height: int | None = Field(default=None, ge=32, le=1024, multiple_of=16, description="Input height in pixels; none: as trained.")
    width: int | None = Field(default=None, ge=32, le=1024, multiple_of=16, description="Input width in pixels; none: as trained.")
    flip: bool = Field(default=False, description="Average with the mirrored picture (left and right labels exchanged): twice the time.")
