"""CLIP's vision transformer where it does not end in its class token: averaged (CLIPA), or read by an attention pool (CoCa)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from reidclip.clip.architecture import EncoderConfig
from reidclip.clip.image_encoder import VitEncoder, as_map
from reidclip.clip.image_features import ImageFeatures, TokenMaps


class PooledVitEncoder(VitEncoder):
    """A ViT with another pool; keys as `VitEncoder`'s, plus ``attn_pool.*``.

    ``last`` is what enters the final block, reduced as the tower pools: the mean of the patches, or the class token where that is pooled
    behind the blocks; before an attention pool the mean of all tokens. ``pooled`` is the pooled vector behind ``ln_post``, ``projected``
    ``pooled @ proj``.
    """

    def __init__(self, config: EncoderConfig, visual: Any) -> None:
        super().__init__(config, visual)
        self.attn_pool = visual.attn_pool
        self.pooled_width = int(visual.proj.shape[0])  # an attention pool's own width
        self.takes_context_block = self.attn_pool is None
        self._averages = config.model["vision_cfg"].get("pool_type", "tok") == "avg"
        self._norm_after_pool = bool(config.model["vision_cfg"].get("final_ln_after_pool"))

    def forward(self, x: Tensor, camera: Tensor | None, places: bool) -> tuple[ImageFeatures, Tensor | None]:
        """See `ImageEncoder.forward`; places have the width of the blocks."""
        before = self._before_final_block(x, camera)
        after = self._final_tokens(before)
        return self._all_features(before, after), after[:, 1:] if places else None

    def forward_tokens(self, x: Tensor, camera: Tensor | None = None) -> TokenMaps:
        """See `ImageEncoder.forward_tokens`; ``projected`` is what the pool makes of each place alone."""
        before = self._before_final_block(x, camera)
        after = self._final_tokens(before)
        alone = after[:, 1:].flatten(0, 1).unsqueeze(1).expand(-1, 2, -1)
        pooled = self._pooled(alone).reshape(x.shape[0], after.shape[1] - 1, -1)
        maps = (as_map(t, self.config.grid) for t in (before[:, 1:], pooled, (pooled @ self.proj).to(pooled.dtype)))
        return TokenMaps(self._all_features(before, after), *maps)

    def _all_features(self, before: Tensor, after: Tensor) -> ImageFeatures:
        last = self._one(before) if self.attn_pool is None else before.mean(1)
        return self._features(last, self._pooled(after).to(self.proj.dtype))

    def _pooled(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, W) tokens -> (B, W_pooled)."""
        if self.attn_pool is not None:
            tokens = self.attn_pool(tokens)
        if self._norm_after_pool and self.attn_pool is None:
            normed: Tensor = self.ln_post(self._one(tokens))
            return normed
        return self._one(self.ln_post(tokens))

    def _one(self, tokens: Tensor) -> Tensor:
        return tokens[:, 1:].mean(1) if self._averages else tokens[:, 0]
