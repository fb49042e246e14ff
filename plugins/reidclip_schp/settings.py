"""Settings of the parser `schp`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from reidclip.settings import Settings


class SchpSettings(Settings):
    """How pictures are parsed."""

    weights: Path | None = Field(
        default=None,
        description="Checkpoint of SCHP: a .pth file of its authors (LIP, ATR or Pascal-Person-Part, from the repository "
        "GoGoDuck912/Self-Correction-Human-Parsing), a .safetensors copy of one, or a schp-tiny file; none: the bundled schp-tiny.",
    )
    batch_size: int | None = Field(default=None, ge=1, description="Pictures per forward pass; none: 4, or 32 with schp-tiny.")
    height: int | None = Field(
        default=None, ge=32, le=1024, description="Input height in pixels; none: as trained. A multiple of 16 with schp-tiny."
    )
    width: int | None = Field(
        default=None, ge=32, le=1024, description="Input width in pixels; none: as trained. A multiple of 16 with schp-tiny."
    )
    flip: bool | None = Field(
        default=None,
        description="Average with the mirrored picture (left and right labels exchanged): twice the time. none: with schp-tiny alone.",
    )

    precision: Literal["fp32", "tf32", "bf16", "fp16"] = Field(
        default="fp32",
        description="fp32: the same label maps on every machine. bf16: most products in bfloat16, about three times as fast on GPUs and on "
        "CPUs with bfloat16 units (avx512_bf16, amx_bf16), with other labels on a few pixels at borders. tf32, fp16: CUDA alone. "
        "Also --precision.",
    )

    @field_validator("weights")
    @classmethod
    def _full_path(cls, weights: Path | None) -> Path | None:
        """However the path is written, the same file is the same setting: label maps made with it are found again."""
        return weights and weights.expanduser().absolute()
