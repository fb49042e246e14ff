"""Rendered pictures, label maps and captions in memory, and the batches made from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reidclip.data.files import mirrored
from reidclip.data.images import read_indexed_png, read_picture

CLOTHES = (5, 6, 7, 8, 9, 10, 11, 12, 3)  # LIP labels that CCAF shields: upper, dress, coat, socks, pants, jumpsuits, scarf, skirt, glove


@dataclass
class Pairs:
    """N pictures with captions.

    Attributes:
        images: (N, 3, H, W) uint8.
        keep: (N, H, W) bool, True = not clothes.
        pids: (N,) identity.
        captions, identity_captions: per picture, token ids of its captions, each (n_i, L).
    """

    images: Tensor
    keep: Tensor
    pids: np.ndarray
    captions: list[Tensor]
    identity_captions: list[Tensor]
    attributes: list[dict]


def load_pairs(root: Path, tokenizer: object, limit: int | None = None) -> Pairs:
    """Read what `reidclip synth --layout pairs` wrote."""
    rows = [json.loads(line) for line in (root / "attributes.jsonl").read_text(encoding="utf-8").splitlines()][:limit]

    def read(row: dict) -> tuple[np.ndarray, np.ndarray]:
        image = read_picture(root / row["path"])
        labels, _ = read_indexed_png(root / "parsing" / mirrored(row["path"]))
        return image.transpose(2, 0, 1), ~np.isin(labels, CLOTHES)

    with ThreadPoolExecutor(2) as pool:
        first_image, _ = read(rows[0])
        images = torch.empty((len(rows), *first_image.shape), dtype=torch.uint8)
        keep = torch.empty((len(rows), *first_image.shape[1:]), dtype=torch.bool)
        for i, (image, mask) in enumerate(pool.map(read, rows)):
            images[i], keep[i] = torch.from_numpy(image.copy()), torch.from_numpy(mask)
    captions = [tokenizer(row["captions"]) for row in rows]
    identity = [tokenizer(row["identity_captions"]) for row in rows]
    return Pairs(images, keep, np.array([row["pid"] for row in rows]), captions, identity, rows)


def at_size(pairs: Pairs, height: int, width: int) -> Pairs:
    """The same pictures, smaller: means over areas; a cell of the mask is kept when most of it is."""
    if pairs.images.shape[-2:] == (height, width):
        return pairs
    images = [F.interpolate(part.float(), size=(height, width), mode="area").round().to(torch.uint8) for part in pairs.images.split(256)]
    keep = [F.interpolate(part[:, None].float(), size=(height, width), mode="area")[:, 0] > 0.5 for part in pairs.keep.split(256)]
    return replace(pairs, images=torch.cat(images), keep=torch.cat(keep))


def distinct_batches(pids: np.ndarray, size: int, rng: np.random.Generator) -> list[list[int]]:
    """All pictures once, in batches without two pictures of one person where that is possible (they would be false negatives)."""
    order = rng.permutation(len(pids))
    rank: dict[int, int] = {}
    rounds = np.empty(len(pids), np.int64)
    for i in order:
        rounds[i] = rank[pids[i]] = rank.get(pids[i], -1) + 1
    queue = sorted(order, key=lambda i: rounds[i])
    # Pictures of one round belong to different people; shuffle inside a round, then cut.
    batches = [queue[k : k + size] for k in range(0, len(queue) - size + 1, size)]
    return [[int(i) for i in batches[k]] for k in rng.permutation(len(batches))]


def augment(images: Tensor, keep: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Flip, shift, scale, brightness, contrast and blur; colours keep their names. uint8 in, float 0..255 out, same geometry for both."""
    count, _, height, width = images.shape
    x = torch.cat([images.float(), keep[:, None].float() * 255], dim=1)
    flip = torch.from_numpy(rng.random(count) < 0.5)
    x[flip] = x[flip].flip(-1)
    scale = torch.from_numpy(rng.uniform(0.8, 1.1, (count, 1)).astype(np.float32))
    shift = torch.from_numpy(rng.uniform(-0.1, 0.1, (count, 2)).astype(np.float32))
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale[:, 0], scale[:, 0]
    theta[:, :, 2] = shift
    x = F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False, padding_mode="border")
    picture, mask = x[:, :3], x[:, 3] > 127
    gain = torch.from_numpy(rng.uniform(0.75, 1.25, (count, 1, 1, 1)).astype(np.float32))
    offset = torch.from_numpy(rng.uniform(-18, 18, (count, 1, 1, 1)).astype(np.float32))
    picture = ((picture - 128) * gain + 128 + offset).clamp(0, 255)
    small = rng.random(count) < 0.2
    if small.any():
        chosen = torch.from_numpy(small)
        low = F.interpolate(picture[chosen], scale_factor=0.5, mode="area")
        picture[chosen] = F.interpolate(low, size=(height, width), mode="bilinear", align_corners=False)
    return picture, mask


def batches(
    pairs: Pairs, plan: list[list[int]], shielded: int, seed: int, epoch: int, start: int, with_pictures: bool = True
) -> Iterator[dict[str, Tensor]]:
    """Tensors of each batch: the last ``shielded`` pictures have their clothes painted white and an identity caption."""
    for number in range(start, len(plan)):
        rng = np.random.default_rng(np.random.SeedSequence([seed, epoch, number]))
        index = plan[number]
        cut = len(index) - shielded
        batch = {"index": torch.tensor(index)}
        if with_pictures:
            picture, keep = augment(pairs.images[index], pairs.keep[index], rng)
            picture[cut:] = torch.where(keep[cut:, None], picture[cut:], torch.full_like(picture[cut:], 255.0))
            batch["image"] = (picture / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        sources = [pairs.captions[i] for i in index[:cut]] + [pairs.identity_captions[i] for i in index[cut:]]
        batch["text"] = torch.stack([options[int(rng.integers(len(options)))] for options in sources])
        yield batch
