"""How a method's settings and a CLIP's own card decide on normalisation and similarity."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from reidclip.clip.load import ClipModel
from reidclip.data.transforms import NORMALISATIONS, Normalisation
from reidclip.formulas.contrastive import Similarity, similarity
from reidclip.train.settings import ModelSettings


def normalisation_of(clip: ClipModel, settings: ModelSettings) -> Normalisation:
    """Mean and std of the input: named by the settings, or the model's own."""
    if settings.normalisation == "model":
        return Normalisation(clip.mean, clip.std)
    return NORMALISATIONS[settings.normalisation]


@dataclass(frozen=True)
class SimilarityRule:
    """Similarity s(v, t) of image and text features: kind and the factor on it."""

    kind: Similarity
    scale: float

    def __call__(self, features: Tensor, texts: Tensor) -> Tensor:
        """(B, D), (K, D) -> (B, K)."""
        return similarity(features, texts, self.kind, self.scale)


def similarity_of(clip: ClipModel, settings: ModelSettings) -> SimilarityRule:
    """Plain dot product with temperature 1 as published, or cosine times CLIP's exp(logit_scale); a model card may ask for it."""
    kind = clip.card.get("similarity", "dot") if settings.similarity == "model" else settings.similarity
    return SimilarityRule("cosine", clip.logit_scale) if kind == "cosine" else SimilarityRule("dot", 1.0)
