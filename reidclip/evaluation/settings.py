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


class RerankSettings(Settings):
    """k-reciprocal re-ranking; the defaults are those of Zhong et al. (CVPR 2017, Sec. 4.2, and their program)."""

    k1: int = Field(20, gt=0, description="Neighbours among which two pictures must find each other.")
    k2: int = Field(6, gt=0, description="Neighbours over which a picture's encoding is averaged, itself among them; 1: none.")
    lambda_: float = Field(0.3, ge=0, le=1, description="Share of the original distance; 1 keeps the original order.")


class ExpansionSettings(Settings):
    """Query expansion; the default exponent is that of Radenovic et al. (TPAMI 2019, Sec. 5.2)."""

    count: int = Field(0, ge=0, description="Nearest gallery pictures that a query is averaged with; 0: none.")
    alpha: float = Field(3.0, ge=0, description="A picture counts by its cosine to the query, to this power; 0: all alike.")
    gallery: bool = Field(False, description="The gallery's pictures are averaged with their nearest too.")


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
    rerank: bool = Field(False, description="Also rank by k-reciprocal re-ranking; the plain numbers stay as they are.")
    rerank_k1: int = Field(20, gt=0, description="Of rerank: neighbours among which two pictures must find each other.")
    rerank_k2: int = Field(6, gt=0, description="Of rerank: neighbours over which encodings are averaged; 1: none.")
    rerank_lambda: float = Field(0.3, ge=0, le=1, description="Of rerank: share of the original distance.")
    expand: int = Field(0, ge=0, description="Also rank with each query averaged with so many of its nearest pictures; 0: no.")
    expand_alpha: float = Field(3.0, ge=0, description="Of expand: a picture counts by its cosine to this power; 0: all alike.")
    expand_gallery: bool = Field(False, description="Of expand: average the gallery's pictures with their nearest too.")

    @property
    def reranking(self) -> RerankSettings | None:
        """How the ranking is done again; None where it is not."""
        if not self.rerank:
            return None
        return RerankSettings(k1=self.rerank_k1, k2=self.rerank_k2, lambda_=self.rerank_lambda)

    @property
    def expansion(self) -> ExpansionSettings:
        """How queries are expanded; ``count`` 0 where they are not."""
        return ExpansionSettings(count=self.expand, alpha=self.expand_alpha, gallery=self.expand_gallery)


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
