"""CoCa's two encoders, with the names that a CLIP's have."""

from __future__ import annotations

from typing import Any

from torch import nn


class CocaTowers(nn.Module):
    """The towers of an open_clip ``CustomTextCLIP`` whose text ends in an embedding of its own, ``cls_emb``; keys without ``text.``."""

    def __init__(self, towers: Any) -> None:
        super().__init__()
        text = towers.text
        self.visual = towers.visual
        self.transformer, self.token_embedding, self.ln_final = text.transformer, text.token_embedding, text.ln_final
        self.positional_embedding, self.cls_emb, self.text_projection = text.positional_embedding, text.cls_emb, text.text_projection
        self.logit_scale = towers.logit_scale
        self.text_pool_type, self.text_eos_id, self.attn_mask = text.pool_type, text.eos_id, text.attn_mask
