"""How a method's settings and a CLIP's own card decide on normalisation, similarity and how test features are made."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from reidclip.clip.inference import InferenceOptions
from reidclip.clip.load import ClipModel
from reidclip.data.transforms import NORMALISATIONS, Normalisation
from reidclip.formulas.contrastive import Similarity, similarity
from reidclip.train.settings import PictureSettings, TrainingSettings


def normalisation_of(clip: ClipModel, settings: PictureSettings) -> Normalisation:
    """Normalisation of the input: named by the settings, or the model's own mean and std."""
    if settings.normalisation == "model":
        return Normalisation(clip.mean, clip.std)
    return NORMALISATIONS[settings.normalisation]


def inference_options(normalisation: Normalisation, settings: TrainingSettings | None = None) -> InferenceOptions:
    """How test features are made, before the BatchNorms and of one picture: CLIP-ReID's way where there are no settings."""
    n = normalisation
    options = InferenceOptions(per_picture=True) if n.per_picture else InferenceOptions(n.mean, n.std)
    return options if settings is None else replace(options, resize=settings.test_resize, normalise=settings.normalise_features)


@dataclass(frozen=True)
class SimilarityRule:
    """Similarity s(v, t) of image and text features: kind and the factor on it."""

    kind: Similarity
    scale: float

    def __call__(self, features: Tensor, texts: Tensor) -> Tensor:
        """(B, D), (K, D) -> (B, K)."""
        return similarity(features, texts, self.kind, self.scale)


def similarity_of(clip: ClipModel, settings: PictureSettings) -> SimilarityRule:
    """Plain dot product with temperature 1 as published, or cosine times CLIP's exp(logit_scale); a model card may ask for it."""
    kind = clip.card.get("similarity", "dot") if settings.similarity == "model" else settings.similarity
    return SimilarityRule("cosine", clip.logit_scale) if kind == "cosine" else SimilarityRule("dot", 1.0)
