"""Small configurations of every kind of dual encoder that open_clip builds, by family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.hub_tokenizers import sentencepiece_folder, wordpiece_folder

_TEXT: dict[str, Any] = {"width": 16, "heads": 2, "layers": 2}
_CLIP_TEXT = {**_TEXT, "context_length": 24, "vocab_size": 600}
_HUB_TEXT = {**_TEXT, "context_length": 16, "vocab_size": 80, "no_causal_mask": True, "pool_type": "last"}
_SENTENCEPIECE = {"hf_tokenizer_name": "timm/ViT-B-16-SigLIP", "tokenizer_kwargs": {"clean": "canonicalize"}}
_WORDPIECE = {"hf_tokenizer_name": "bert-base-uncased", "tokenizer_kwargs": {"strip_sep_token": True}}
_VIT = {"image_size": 64, "layers": 2, "width": 16, "head_width": 8, "patch_size": 16}


def _timm(name: str, size: int, pool: str, proj: str | None) -> dict[str, Any]:
    return {"timm_model_name": name, "image_size": size, "timm_pool": pool, "timm_proj": proj}


FAMILIES: dict[str, dict[str, Any]] = {
    "siglip": {
        "embed_dim": 96,  # the tower's own width: its pool is the projection
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {**_timm("test_vit3", 160, "map", "none"), "timm_model_pretrained": True},
        "text_cfg": {**_HUB_TEXT, **_SENTENCEPIECE, "proj_bias": True, "norm_kwargs": {"eps": 1e-6}},
    },
    "class-token": {"embed_dim": 12, "custom_text": True, "vision_cfg": _timm("test_vit", 160, "token", None), "text_cfg": _CLIP_TEXT},
    "pe-core": {"embed_dim": 12, "vision_cfg": _timm("test_vit", 160, "map", None), "text_cfg": _CLIP_TEXT},
    "mobileclip": {
        "embed_dim": 12,
        "custom_text": True,
        "vision_cfg": _timm("test_efficientnet", 160, "avg", None),
        "text_cfg": {**_CLIP_TEXT, "no_causal_mask": True},
    },
    "convnext": {"embed_dim": 12, "vision_cfg": _timm("test_convnext", 160, "", "mlp"), "text_cfg": _CLIP_TEXT},
    "relpos": {"embed_dim": 12, "vision_cfg": _timm("test_vit_relpos", 160, "", "linear"), "text_cfg": _CLIP_TEXT},
    "clipa": {
        "embed_dim": 12,
        "vision_cfg": {**_VIT, "pool_type": "avg", "final_ln_after_pool": True, "no_ln_pre": True},
        "text_cfg": {**_HUB_TEXT, **_WORDPIECE},
    },
    "coca": {
        "embed_dim": 16,
        "custom_text": True,
        "multimodal_cfg": {"context_length": 24, "vocab_size": 600, "width": 16, "heads": 2, "layers": 1},
        "vision_cfg": {**_VIT, "attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": {**_CLIP_TEXT, "embed_cls": True},
    },
}

BLIP: dict[str, Any] = {
    "vision_config": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
    },
    "text_config": {
        "hidden_size": 24,
        "encoder_hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 80,
        "max_position_embeddings": 24,
        "bos_token_id": 2,
        "sep_token_id": 3,
        "pad_token_id": 0,
    },
    "image_text_hidden_size": 20,
}


def tower_spec(folder: Path, family: str) -> str:
    """Writes a family's configuration, with its tokenizer where it has one, and names it as ``--clip`` does."""
    path = folder / f"{family}.json"
    path.write_text(json.dumps(BLIP if family == "blip" else FAMILIES[family]))
    if family == "siglip":
        sentencepiece_folder(folder / "tokenizer")
    if family in ("clipa", "blip"):
        wordpiece_folder(folder / "tokenizer")
    return f"random:blip:{path}" if family == "blip" else f"random:{path}"


def stirred(model: nn.Module) -> nn.Module:
    """In evaluation mode, with vectors that begin as 0 or 1 (biases, norms, layer scales) moved, so that none can be left out unseen."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() <= 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()
