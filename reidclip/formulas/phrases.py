"""Which phrase of a pair fits a picture better: eq. (2) of CLIP3DReID (Liu et al., CVPR 2024)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize


class PhraseChoice(NamedTuple):
    """What eq. (2) gives for N pictures and P pairs.

    Attributes:
        scores: (N, P, 2) cosine similarities, float32.
        choices: (N, P) int64: 0 where the first phrase wins, 1 where the second does; equal scores go to the first.
        ties: number of equal scores, a scalar on the features' device.
    """

    scores: Tensor
    choices: Tensor
    ties: Tensor


def choose_phrases(features: Tensor, texts: Tensor) -> PhraseChoice:
    """Eq. (2): of each pair the phrase whose text is more similar to the picture, by the cosine.

    Args:
        features: (N, D) image features g, of any length.
        texts: (P, 2, D) text features of both phrases of each pair, of any length.
    """
    scores = torch.einsum("nd,pcd->npc", normalize(features.float(), dim=-1), normalize(texts.float(), dim=-1))
    first, second = scores.unbind(-1)
    return PhraseChoice(scores, (second > first).long(), (second == first).sum())
