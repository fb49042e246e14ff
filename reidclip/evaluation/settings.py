"""Settings of ``reidclip evaluate``. No torch: the command line reads them before anything heavy is loaded."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reidclip.settings import Settings


class FeatureSettings(Settings):
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


class EvaluateSettings(FeatureSettings):
    """Those of re-identification."""

    blur_faces: bool | None = Field(
        None, description="Blur every face, by the label maps of a parsing. Default: as the checkpoint was trained."
    )
    diagnostics: bool = Field(
        False,
        description="Also tell why: distances of positive and negative pairs, prompts against pictures, a map, what is left of clothes.",
    )
    map_people: int = Field(10, ge=1, le=40, description="Identities that the map of --diagnostics shows.")


class ShapeSettings(FeatureSettings):
    """Those of ``--task shape``; intervals are over people."""

    single_pictures: int = Field(
        2000, gt=0, description="Pictures judged alone, spread over all; a person's mean shape is over all of theirs."
    )
    surface_samples: int = Field(10_000, gt=0, description="Points on each surface for the Chamfer distance (HBW: 10,000).")
    chamfer_pictures: int = Field(100, ge=0, description="Pictures whose own Chamfer distance is taken, spread over those judged; 0: none.")
    chamfer_people: int = Field(
        500, ge=0, description="People the Chamfer distance of whose mean shape is taken, spread over all; 0: none."
    )
