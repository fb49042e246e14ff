"""Where the attention pool looks before it has learned anything.

CLIP's attention pool starts as a plain mean of the map: keys tell nothing of their place. A head is 3% of a picture of a person, so the
mean shows clothes and hides faces, and a short training never gets out of it. Here each attention head starts on a band of the picture;
from there all of it is trained as usual. The architecture is untouched.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.clip.geometry import Size, resize_positions
from reidclip.clip.image_encoder import ImageEncoder, make_image_encoder


def band_centres(heads: int, bands: int = 6) -> list[float]:
    """Height in [0, 1] from the top of each attention head's band: ``bands`` of them even, the others on the upper quarter."""
    even = [(k + 0.5) / bands for k in range(min(bands, heads))]
    extra = heads - len(even)
    return even + [0.03 + 0.22 * k / max(1, extra - 1) for k in range(extra)]


@torch.no_grad()
def start_with_bands(encoder: ImageEncoder, bands: int = 6, sharpness: float = 4.0, seed: int = 0) -> None:
    """Set queries, keys and positions of a new CLIP ResNet so that every head attends to one band of rows.

    Head h has a random unit vector u_h. Its query is sqrt(d) u_h for every picture, and the positions of its band get the vector that
    its keys map to ``sharpness`` u_h: scaled dot products there are ``sharpness`` above the rest.

    Args:
        encoder: a `reidclip.clip.image_encoder.ResNetEncoder` at its target size, not yet trained.
        bands: number of even bands.
        sharpness: logarithm of the attention inside a band over that far outside.
        seed: of the heads' vectors.
    """
    pool, (rows, columns) = encoder.attnpool, encoder.config.grid
    size = pool.positional_embedding.shape[1] // pool.num_heads
    generator = torch.Generator().manual_seed(seed)
    height = (torch.arange(rows) + 0.5) / rows
    pool.positional_embedding.mul_(0.5)
    pool.q_proj.weight.mul_(0.3)  # at first the place decides, not the mean token
    for head, centre in enumerate(band_centres(pool.num_heads, bands)):
        own = slice(head * size, (head + 1) * size)
        u = F.normalize(torch.randn(size, generator=generator), dim=0)
        pool.q_proj.bias[own] = u * size**0.5
        toward: Tensor = u @ pool.k_proj.weight[own]
        toward = toward / toward.square().sum()
        band = torch.exp(-(((height - centre) * bands / 0.6) ** 2))
        pool.positional_embedding[1:] += sharpness * band[:, None].expand(rows, columns).reshape(-1, 1) * toward


def at_size(encoder: ImageEncoder, size: Size) -> ImageEncoder:
    """A copy of a ResNet encoder for pictures of another (height, width); positions are resized."""
    copy = make_image_encoder(replace(encoder.config, image_size=size))
    state = encoder.state_dict()
    table = "attnpool.positional_embedding"
    state[table] = resize_positions(state[table], encoder.config.grid, copy.config.grid)
    copy.load_state_dict(state)
    return copy


@torch.no_grad()
def standardise(encoder: ImageEncoder, features: Tensor) -> Tensor:
    """Fold mean and deviation of features (N, D) into the last projection, so that cosines do not start near 1; the new features."""
    mean, deviation = features.mean(0), features.std(0).clamp(min=1e-4)
    last = encoder.attnpool.c_proj
    last.bias.copy_((last.bias - mean) / deviation)
    last.weight.div_(deviation[:, None])
    return (features - mean) / deviation
