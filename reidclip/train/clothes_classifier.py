"""The clothes classifier that CAL trains beside the encoder and then holds against it (Gu et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reidclip.counted import counted
from reidclip.formulas.clothes import clothes_adversarial, clothes_cosines, clothes_cross_entropy, clothes_of_identities
from reidclip.records import LabelMap


def notes_on_start(first_epoch: int, epochs: int, without: str) -> tuple[str, ...]:
    """A note for the user where the losses on clothes begin behind the last epoch.

    Args:
        first_epoch: in which they are trained, from 0; the setting ``cal_start_epoch`` of the methods that have them.
        epochs: of the training.
        without: the setting that leaves these losses out, "KEY=VALUE".
    """
    if not 0 < epochs <= first_epoch:
        return ()
    begins = f"the losses on clothes begin after {counted(first_epoch, 'epoch', 'epochs')} (cal_start_epoch)"
    return (f"{begins} and this training ends after {epochs}: they are never trained, as with --set {without}",)


class ClothesClassifier(nn.Module):
    """Cosine classifier over the training outfits; directions drawn evenly.

    In an iteration two updates use it: `learn` trains it alone, on features cut from the graph; `forget`, after that step and so with
    the new weights, trains the encoder alone.

    Args:
        width: of the feature.
        labels: of the training split; say which identity wears which outfit.
        seed: of the start.
        scale: s on the cosines (16).
        epsilon: see `reidclip.formulas.clothes.clothes_adversarial`.
    """

    clothes_to_pid: Tensor

    def __init__(self, width: int, labels: LabelMap, seed: int, scale: float = 16.0, epsilon: float = 0.1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(F.normalize(torch.randn(len(labels.clothes), width, generator=generator), dim=1))
        self.register_buffer("clothes_to_pid", torch.tensor(labels.clothes_to_pid), persistent=False)
        self.scale, self.epsilon = scale, epsilon

    def learn(self, features: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Find the clothes in features (B, W), which get no gradient; -> scalar."""
        return clothes_cross_entropy(clothes_cosines(features.detach(), self.weight), batch["clothes"], self.scale)

    def forget(self, features: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Make features (B, W) alike over an identity's outfits; the classifier gets no gradient; -> scalar."""
        positives = clothes_of_identities(self.clothes_to_pid, batch["pid"])
        cosines = clothes_cosines(features, self.weight.detach())
        return clothes_adversarial(cosines, batch["clothes"], positives, self.scale, self.epsilon)
