"""How near learned prompts are to what they should describe, and to what they should not (CCAF, figure 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reidclip.evaluation.diagnostics.histogram import TwoHistograms, two_histograms


@dataclass(frozen=True)
class PromptDistances:
    """Distances of each picture to the prompt of its own class, in two views of the picture.

    Attributes:
        histograms: 1 - cos to the shielding image (first) and to the clothes image (second).
        accuracy: view -> share of pictures whose nearest prompt is that of their own class.
        closer: share of pictures whose shielding image is nearer to the prompt than their clothes image.
    """

    histograms: TwoHistograms
    accuracy: dict[str, float]
    closer: float


def prompt_distances(text: Tensor, views: dict[str, Tensor], labels: Tensor) -> PromptDistances | None:
    """Compare prompts with pictures.

    Args:
        text: (K, D) text features, one per class.
        views: "x", "x_s", "x_c": (N, D) image features of the picture, the shielding image and the clothes image.
        labels: (N,) classes.

    Returns:
        None without pictures.
    """
    prompts = F.normalize(text.float(), dim=1)
    own = {name: 1 - (F.normalize(f.float(), dim=1) * prompts[labels]).sum(dim=1) for name, f in views.items()}

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        yield own["x_s"], own["x_c"]

    histograms = two_histograms(blocks)
    if histograms is None:
        return None
    accuracy = {name: _accuracy(f, prompts, labels) for name, f in views.items()}
    return PromptDistances(histograms, accuracy, float((own["x_s"] < own["x_c"]).float().mean()))


def _accuracy(features: Tensor, prompts: Tensor, labels: Tensor) -> float:
    nearest = (features.float() @ prompts.T).argmax(dim=1)  # the length of a picture's feature does not change the order
    return float((nearest == labels).to(torch.float64).mean())
