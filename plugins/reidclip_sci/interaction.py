"""Stage 2, Semantic-Guided Interaction: text that looks at the picture's places while the encoder is trained, eq. (15)-(17)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reidclip.clip.image_encoder import ImageEncoder
from reidclip.clip.image_features import ImageFeatures
from reidclip.train.reid_model import ReidModel, ReidOutputs
from reidclip_sci import equations as eq

GAMMA_START = 1e-4


class TextGuide(nn.Module):
    """A pre-norm decoder layer whose one query is a text: cross-attention on the places of a map, then an MLP.

    There is no self-attention, which a single query has no use for. The text chooses where to look; what it finds is the picture's.
    With ``residual`` the text itself is added to that, and goes on to the classifier.
    """

    def __init__(self, text_width: int, map_width: int, residual: bool = False) -> None:
        super().__init__()
        self.norm_text, self.norm_map = nn.LayerNorm(text_width), nn.LayerNorm(map_width)
        self.W_q = nn.Parameter(_fan_in(text_width, text_width))
        self.W_k = nn.Parameter(_fan_in(map_width, text_width))
        self.W_v = nn.Parameter(_fan_in(map_width, text_width))
        self.norm = nn.LayerNorm(text_width)
        self.mlp = nn.Sequential(nn.Linear(text_width, 4 * text_width), nn.GELU(), nn.Linear(4 * text_width, text_width))
        self.gamma = nn.Parameter(torch.tensor(GAMMA_START))
        self.residual = residual

    def forward(self, text: Tensor, places: Tensor) -> Tensor:
        """What each text finds: (B, D) texts, (B, N, W) places of the final map -> (B, D)."""
        a = eq.eq16_attention(*eq.eq15_queries_keys_values(self.norm_text(text), self.norm_map(places), self.W_q, self.W_k, self.W_v))
        if self.residual:
            a = text + a
        guided: Tensor = a + self.mlp(self.norm(a))
        return guided


class GuidedModel(ReidModel):
    """Image encoder, heads and, in training, a text guide; `ReidModel.for_inference` leaves the guide out.

    ``guide`` None makes it a plain `ReidModel`.
    """

    def __init__(self, encoder: ImageEncoder, identities: int) -> None:
        super().__init__(encoder, identities)
        self.guide: TextGuide | None = None

    def forward(self, images: Tensor, camera: Tensor | None = None, text: Tensor | None = None) -> ReidOutputs:
        """(B, 3, H, W) pictures and (B, D) their texts -> features, ``projected`` being v' of eq. (17), and identity logits."""
        if self.guide is None:
            return super().forward(images, camera)
        assert text is not None
        last, pooled, projected, a = self.in_pieces(self._guided, images, camera, text)
        return self.outputs(ImageFeatures(last, pooled, eq.eq17_guided_feature(projected, a, self.guide.gamma)))

    def _guided(self, images: Tensor, camera: Tensor | None, text: Tensor) -> tuple[Tensor, ...]:
        """The encoder's three features, and what the guide finds."""
        assert self.guide is not None
        features, places = self.encoder.forward_places(images, camera)
        return *features, self.guide(text, places).to(features.projected.dtype)


def _fan_in(rows: int, columns: int) -> Tensor:
    """Uniform in +-1/sqrt(rows), as torch starts a linear layer, in the paper's order: x W."""
    return (2 * torch.rand(rows, columns) - 1) / rows**0.5
