"""What a CLIP says of training pictures: its image features, and which phrase of each pair fits a picture better."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Descriptions:
    """Descriptions of N pictures by a teacher (CLIP3DReID, eq. (2)).

    Attributes:
        features: (N, D) image features g in the joint space, not normalised.
        texts: (16, 2, D) text features of both phrases of each pair, not normalised.
        scores: (N, 16, 2) cosine similarities.
        choices: (N, 16) int64: 0 where the first phrase wins, 1 where the second does.
        teacher: spec and digest of the CLIP.
    """

    features: Tensor
    texts: Tensor
    scores: Tensor
    choices: Tensor
    teacher: tuple[str, str]

    def chosen(self, rows: Tensor) -> Tensor:
        """H of eq. (2): text features of the phrases that fit, (B, 16, D), of the pictures with these row numbers (B,)."""
        return chosen_texts(self.texts, self.choices[rows])


def chosen_texts(texts: Tensor, choices: Tensor) -> Tensor:
    """(P, 2, D) text features and (B, P) choices -> (B, P, D)."""
    pairs = choices.new_tensor(range(texts.shape[0]))
    return texts[pairs, choices]
