"""Settings of the bundled exporters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reidclip.export.int8_nodes import FLOAT_PARTS
from reidclip.settings import Settings

Method = Literal["minmax", "percentile"]  # ONNX Runtime's "entropy" counts in as many bins as there are levels: minmax again


class OnnxSettings(Settings):
    """Settings of the formats ``onnx`` and ``onnx-int8``."""

    opset: int = Field(18, ge=17, le=20, description="version of ONNX's operators; 17 is the first with LayerNormalization")


class Int8Settings(OnnxSettings):
    """Settings of the format ``onnx-int8``."""

    mode: Literal["auto", "dynamic", "static"] = Field(
        "auto",
        description="ranges of activations: dynamic, measured on every call, so that a vector depends a little on those beside it in "
        "the batch; static, calibrated on training pictures; auto, static for "
        "networks of convolutions, which are slower than in float32 with dynamic ranges, and dynamic for others",
    )
    method: Method = Field("minmax", description="static: a range is all that was seen, or leaves out a hundred-thousandth (percentile)")
    pictures: int = Field(128, ge=1, le=512, description="static: training pictures that ranges are measured on")
    seed: int = Field(0, ge=0, description="static: which pictures are drawn")
    per_channel: bool = Field(True, description="one scale per output channel of a weight; false: one per weight")
    keep_float: tuple[str, ...] = Field(
        ("first", "last"), description=f"parts left in float32: {', '.join(FLOAT_PARTS)}; empty quantises all"
    )
    max_drop: float = Field(
        1.0, ge=0, le=100, description="points of mAP (of R1 twice as many) that may be lost in any protocol; more, and nothing is kept"
    )


class TorchExportSettings(Settings):
    """Of the format ``torch-export``: none."""


class SafetensorsSettings(Settings):
    """Of the format ``safetensors``: none."""
