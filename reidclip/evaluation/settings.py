"""Settings of ``reidclip evaluate``. No torch: the command line reads them before anything heavy is loaded."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reidclip.settings import Settings


class EvaluateSettings(Settings):
    """How features are made and how sure the numbers are. What the encoder was saved with (size, normalisation, neck) stays."""

    flip: bool | None = Field(
        None, description="Average each feature with that of the mirrored picture, before normalising. Default: as the encoder was saved."
    )
    batch_size: int = Field(128, gt=0, description="Pictures per forward; changes the speed alone.")
    decode: Literal["exact", "fast"] = Field(
        "exact", description="'fast' halves large JPEGs while decoding them: quicker, pixels a few grey levels off."
    )
    clip_frames: int = Field(8, gt=0, description="Frames of a clip, into which tracklets are cut (video data alone).")
    clip_stride: int = Field(4, gt=0, description="Frames from one to the next in a clip, where the tracklet is long enough.")
    resamples: int = Field(1000, ge=0, description="Bootstrap samples of the 95% intervals over queries; 0 gives no intervals.")
    diagnostics: bool = Field(
        False,
        description="Also tell why: distances of positive and negative pairs, prompts against pictures, a map, what is left of clothes.",
    )
    map_people: int = Field(10, ge=1, le=40, description="Identities that the map of --diagnostics shows.")
