"""Pictures and sentences as a CLIP sees them, without any training on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.clip.load import ClipModel

BATCH = 64


@torch.no_grad()
def encode_pictures(clip: ClipModel, images: Tensor, progress: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
    """Joint features of pictures, normalised.

    Args:
        clip: its size and normalisation are used, whatever the pictures' own size.
        images: (N, 3, H, W) uint8, RGB.
        progress: told (done, total).

    Returns:
        (N, D).
    """
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (clip.mean, clip.std))
    encoder = clip.image_encoder.eval()
    if encoder.config.is_resnet:
        encoder.to(memory_format=torch.channels_last)
    rows = []
    for part in images.split(BATCH):
        x = part.float() / 255
        if x.shape[-2:] != torch.Size(clip.image_size):
            x = F.interpolate(x, clip.image_size, mode="bilinear", antialias=True, align_corners=False)
        rows.append(F.normalize(encoder(((x - mean) / std).contiguous(memory_format=torch.channels_last)).projected, dim=1))
        progress(sum(map(len, rows)), len(images))
    return torch.cat(rows)


@torch.no_grad()
def encode_texts(clip: ClipModel, tokens: Tensor) -> Tensor:
    """Token ids (N, L) -> joint features (N, D), normalised."""
    encoder = clip.text_encoder.eval()
    return torch.cat([F.normalize(encoder.encode_text(part), dim=1) for part in tokens.split(BATCH)])


def encode_sentences(clip: ClipModel, sentences: Sequence[str]) -> Tensor:
    """Sentences -> joint features (N, D), normalised."""
    return encode_texts(clip, clip.tokenizer(list(sentences)))
