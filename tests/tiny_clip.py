"""CLIPs of a few thousand weights, random but fixed by a seed, for tests that need one and not what it knows."""

from __future__ import annotations

from typing import Any

from reidclip.clip.load import ClipModel, assemble
from reidclip.clip.sources import Source

_TEXT = {"context_length": 24, "vocab_size": 600, "width": 16, "heads": 2, "layers": 2}
TINY_VIT: dict[str, Any] = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {"image_size": [32, 16], "layers": 3, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": _TEXT,
}
TINY_RESNET: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
    "text_cfg": _TEXT,
}


def tiny_clip(model: dict[str, Any] = TINY_VIT, *, seed: int = 0, image_size: tuple[int, int] = (32, 16), **geometry: Any) -> ClipModel:
    """A small CLIP; ``geometry`` goes to `reidclip.clip.load.assemble`."""
    return assemble(Source("tiny", model, seed=seed), "random:tiny", image_size=image_size, **geometry)
