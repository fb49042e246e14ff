"""BLIP's image encoder (Li et al., ICML 2022), as `transformers` has it, with the outputs that re-identification uses.

State-dict keys are `transformers`' own: ``vision_model.*`` with positions at the *target* grid, ``vision_proj.*``, plus
``camera_embedding``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from reidclip.clip.architecture import EncoderConfig, pair
from reidclip.clip.geometry import patch_grid, resize_positions
from reidclip.clip.hf_tokenizer import require_transformers
from reidclip.clip.image_encoder import ImageEncoder, as_map
from reidclip.clip.image_features import ImageFeatures, TokenMaps


class BlipEncoder(ImageEncoder):
    """A vision transformer whose class token is projected: ``last`` is the class token that enters the final block, ``pooled`` the one
    behind ``post_layernorm``, ``projected`` what ``vision_proj`` makes of it."""

    def __init__(self, config: EncoderConfig, vision_model: Any = None, vision_proj: nn.Linear | None = None) -> None:
        """Take over modules at their own size, or build them with random weights.

        Raises:
            UserError: `transformers` is not installed.
        """
        vision = config.model["blip"]["vision"]
        width, joint = int(vision["hidden_size"]), int(config.model["embed_dim"])
        super().__init__(config, width, width, joint)
        self.vision_model = _vision_model(vision) if vision_model is None else vision_model
        self.vision_proj = nn.Linear(width, joint) if vision_proj is None else vision_proj
        embeddings: Any = self.vision_model.embeddings
        embeddings.patch_embedding.stride = pair(config.stride)
        table = embeddings.position_embedding
        native = patch_grid(config.native_size, config.patch, config.patch[0])
        embeddings.position_embedding = nn.Parameter(resize_positions(table.detach()[0], native, config.grid)[None])
        if config.sie_cameras:
            self.camera_embedding = nn.Parameter(torch.empty(config.sie_cameras, width))
            nn.init.trunc_normal_(self.camera_embedding, std=0.02)
        else:
            self.register_parameter("camera_embedding", None)

    def forward(self, x: Tensor, camera: Tensor | None, places: bool) -> tuple[ImageFeatures, Tensor | None]:
        """See `ImageEncoder.forward`."""
        before = self._before_final_block(x, camera)
        after = self._block(-1, before)
        return self._features(before[:, 0], self._normed(after[:, 0])), after[:, 1:] if places else None

    def forward_tokens(self, x: Tensor, camera: Tensor | None = None) -> TokenMaps:
        """See `ImageEncoder.forward_tokens`."""
        before = self._before_final_block(x, camera)
        after = self._normed(self._block(-1, before))
        maps = (as_map(t[:, 1:], self.config.grid) for t in (before, after, self.vision_proj(after)))
        return TokenMaps(self._features(before[:, 0], after[:, 0]), *maps)

    def _before_final_block(self, x: Tensor, camera: Tensor | None) -> Tensor:
        self._check(x)
        embeddings: Any = self.vision_model.embeddings
        table = embeddings.position_embedding
        patches = embeddings.patch_embedding(x).flatten(2).transpose(1, 2).to(table.dtype)
        token = embeddings.class_embedding.expand(x.shape[0], 1, -1)
        if self.camera_embedding is not None and camera is not None:
            token = token + self.config.sie_coefficient * self.camera_embedding[camera].unsqueeze(1)
        tokens: Tensor = torch.cat([token, patches], dim=1) + table
        for number in range(len(self._layers) - 1):
            tokens = self._block(number, tokens)
        return tokens

    @property
    def _layers(self) -> Any:
        return self.vision_model.encoder.layers

    def _block(self, number: int, tokens: Tensor) -> Tensor:
        result: Tensor = self._layers[number](tokens)
        return result

    def _normed(self, tokens: Tensor) -> Tensor:
        normed: Tensor = self.vision_model.post_layernorm(tokens)
        return normed

    def _features(self, last: Tensor, pooled: Tensor) -> ImageFeatures:
        dtype = self.vision_proj.weight.dtype
        return ImageFeatures(last.to(dtype), pooled.to(dtype), self.vision_proj(pooled).to(dtype))


def _vision_model(vision: dict[str, Any]) -> Any:
    require_transformers("BLIP", "blip")
    from transformers import BlipVisionConfig, BlipVisionModel

    return BlipVisionModel(BlipVisionConfig(**vision))
