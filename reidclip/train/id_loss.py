"""Identity supervision of one image stream, the part that CLIP-ReID and its descendants share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from reidclip.errors import UserError
from reidclip.train.reid_model import ReidOutputs
from reidclip.train.settings import IdLossSettings

CrossEntropy = Callable[[Tensor, Tensor, float], Tensor]
"""(logits (B, K), labels (B,), smoothing) -> scalar."""
Triplet = Callable[[Tensor, Tensor, float | None, bool], Tensor]
"""(features (B, D), labels (B,), margin, normalise) -> scalar."""

TRIPLET_FEATURES: Mapping[str, tuple[str, ...]] = {
    "all": ("last", "pooled", "projected"),
    "pooled+projected": ("pooled", "projected"),
    "projected": ("projected",),
}


def identity_losses(
    outputs: ReidOutputs, y: Tensor, settings: IdLossSettings, cross_entropy: CrossEntropy, triplet: Triplet, suffix: str = ""
) -> dict[str, Tensor]:
    """Cross-entropy on both classifiers and triplet on the chosen features, each summed as CLIP-ReID publishes it.

    Of an encoder without a joint space there is one classifier, and no projected feature.

    Args:
        outputs: of the stream, B pictures and K identities.
        y: (B,) identity labels.
        settings: smoothing, margin, features.
        cross_entropy, triplet: the method's equations.
        suffix: of the losses' names, for a method with several streams.

    Returns:
        ``id<suffix>`` and ``triplet<suffix>``, unweighted scalars.

    Raises:
        UserError: the triplet loss is to read the projected feature alone, and there is none.
    """
    identity = cross_entropy(outputs.score_pooled, y, settings.smoothing)
    if outputs.score_projected.shape[1]:
        identity = identity + cross_entropy(outputs.score_projected, y, settings.smoothing)
    features = [f for f in (getattr(outputs, name) for name in TRIPLET_FEATURES[settings.triplet_features]) if f.shape[1]]
    if not features:
        raise UserError(
            "This image encoder has no projected feature, which the triplet loss is to read alone.", "Take --set triplet_features=all."
        )
    pulled = sum((triplet(f, y, settings.margin, settings.triplet_normalise) for f in features), start=identity.new_zeros(()))
    return {f"id{suffix}": identity, f"triplet{suffix}": pulled}
