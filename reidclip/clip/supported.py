"""Which architectures of open_clip can be used here, and which of them CLIP-ReID was published with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reidclip.clip.timm_tower import is_timm
from reidclip.errors import UserError


def check_supported(name: str, model: Mapping[str, Any]) -> None:
    """Refuse architectures that are no dual encoder of pictures and token embeddings.

    Raises:
        UserError: naming what is not supported.
    """
    vision, text = model.get("vision_cfg", {}), model.get("text_cfg", {})
    reasons = [
        (f"its text tower is '{text.get('hf_model_name')}' of Hugging Face's", bool(text.get("hf_model_name"))),
        ("its attention pool belongs to one input size", vision.get("timm_pool") in ("abs_attn", "rot_attn")),
        ("its two attention pools are unfinished in open_clip", isinstance(vision.get("attentional_pool"), str)),
        ("its picture is not pooled", vision.get("pool_type", "tok") not in ("tok", "avg")),
        ("its text is not pooled", text.get("pool_type", "argmax") not in ("first", "last", "argmax", "eos")),
        ("its tokenizer is CLIPS's", bool(text.get("tokenizer_mode"))),
    ]
    found = [reason for reason, holds in reasons if holds]
    if found:
        raise UserError(
            f"'{name}' cannot be used here: {' and '.join(found)}.",
            "Take an architecture whose text tower is open_clip's own, such as ViT-B-16:openai or ViT-B-16-SigLIP:webli.",
        )


def is_published_kind(model: Mapping[str, Any]) -> bool:
    """Whether both towers are of the kind that CLIP-ReID was published with: CLIP's ViT or ResNet, and causal text read at its end.

    Only of these are the lengths of features known to suit a plain dot product.
    """
    vision, text = model.get("vision_cfg", {}), model.get("text_cfg", {})
    plain_vision = not is_timm(model) and not vision.get("attentional_pool") and vision.get("pool_type", "tok") == "tok"
    return plain_vision and not text.get("no_causal_mask") and not text.get("embed_cls")


def supported_names() -> list[str]:
    """Architectures of open_clip that `check_supported` accepts, sorted."""
    import open_clip

    names = []
    for name in open_clip.list_models():
        try:
            check_supported(name, open_clip.get_model_config(name))
        except UserError:
            continue
        names.append(name)
    return sorted(names)
