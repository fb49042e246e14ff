"""A plain network: a small residual CNN from scratch, identity cross-entropy and triplet, no tricks of any method."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from reidclip.cli.console import say
from reidclip.formulas.losses import batch_hard_triplet


class Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(narrow, wide, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(wide), nn.BatchNorm2d(wide)
        self.short = nn.Conv2d(narrow, wide, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.first(x)))
        return F.relu(self.norm2(self.second(y)) + self.short(x))


class PlainNetwork(nn.Module):
    """(B, 3, H, W) -> features (B, D): rows of the map are pooled in horizontal parts, so that a head stays a head."""

    def __init__(self, classes: int, width: int = 24, parts: int = 6) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(nn.Conv2d(3, w, 5, 2, 2, bias=False), nn.BatchNorm2d(w), nn.ReLU())
        self.body = nn.Sequential(Block(w, 2 * w, 2), Block(2 * w, 4 * w, 2), Block(4 * w, 8 * w, 2), Block(8 * w, 8 * w, 1))
        self.parts = parts
        self.join = nn.Linear(8 * w * parts, 256, bias=False)
        self.neck = nn.BatchNorm1d(256)
        self.classify = nn.Linear(256, classes, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.body(self.stem(x))
        pooled = F.adaptive_avg_pool2d(maps, (self.parts, 1)) + F.adaptive_max_pool2d(maps, (self.parts, 1))
        feature = self.neck(self.join(pooled.flatten(1).float()))
        return feature, self.classify(feature)


@dataclass(frozen=True)
class Recipe:
    """How the network is trained."""

    epochs: int = 20
    people: int = 16
    each: int = 6
    lr: float = 2e-3
    decay: float = 5e-3
    seed: int = 0
    bf16: bool = True
    triplet: float = 1.0


def train(images: npt.NDArray[np.uint8], pids: npt.NDArray[np.int64], recipe: Recipe, state: Path) -> PlainNetwork:
    """Train on pictures (N, H, W, 3); goes on from the last whole epoch kept in the folder ``state``."""
    _, label = np.unique(pids, return_inverse=True)
    torch.manual_seed(recipe.seed)
    network = PlainNetwork(int(label.max()) + 1).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.decay)
    first = _resume(network, optimiser, state)
    rows = {k: np.nonzero(label == k)[0] for k in range(int(label.max()) + 1)}
    per_epoch = max(1, len(images) // (recipe.people * recipe.each))
    total = recipe.epochs * per_epoch
    for epoch in range(first, recipe.epochs):
        start, seen, right = time.monotonic(), 0, 0
        network.train()
        for number, batch in enumerate(_batches(rows, per_epoch, recipe, epoch)):
            step = epoch * per_epoch + number
            for group in optimiser.param_groups:
                group["lr"] = recipe.lr * min(1.0, (step + 1) / (2 * per_epoch)) * 0.5 * (1 + np.cos(np.pi * step / total))
            x, y = _augmented(images[batch], recipe.seed, step), torch.from_numpy(label[batch])
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
                feature, logits = network(x)
            loss = F.cross_entropy(logits.float(), y, label_smoothing=0.1)
            if recipe.triplet:
                loss = loss + recipe.triplet * batch_hard_triplet(feature.float(), y, margin=0.3, normalise=True)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            seen, right = seen + len(y), right + int((logits.argmax(1) == y).sum())
        say(f"  epoch {epoch + 1}/{recipe.epochs} loss {loss.item():.3f} accuracy {right / seen:.3f} {time.monotonic() - start:.0f} s")
        _keep(network, optimiser, epoch + 1, state)
    return network


def _batches(rows: dict[int, npt.NDArray[np.int64]], count: int, recipe: Recipe, epoch: int) -> list[npt.NDArray[np.int64]]:
    rng = np.random.default_rng([recipe.seed, epoch])
    order: list[int] = []
    out = []
    for _ in range(count):
        if len(order) < recipe.people:
            order = rng.permutation(len(rows)).tolist()
        people, order = order[: recipe.people], order[recipe.people :]
        out.append(np.concatenate([rng.choice(rows[p], recipe.each, replace=len(rows[p]) < recipe.each) for p in people]))
    return out


def _augmented(images: npt.NDArray[np.uint8], seed: int, step: int) -> Tensor:
    """Flip, shift and scale, light and cast, erasing; (B, H, W, 3) uint8 -> (B, 3, H, W) in about [-1, 1]."""
    draw = torch.Generator().manual_seed(seed * 1_000_003 + step)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    n, _, height, width = x.shape
    scale = 1 + 0.16 * (torch.rand(n, 2, generator=draw) - 0.5)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = scale[:, 0] * torch.where(torch.rand(n, generator=draw) < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = scale[:, 1]
    theta[:, :, 2] = 0.16 * (torch.rand(n, 2, generator=draw) - 0.5)
    x = F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), padding_mode="border", align_corners=False)
    gain = 1 + 0.3 * (torch.rand(n, 1, 1, 1, generator=draw) - 0.5) + 0.12 * (torch.rand(n, 3, 1, 1, generator=draw) - 0.5)
    x = ((x + 1) * gain - 1).clamp(-1, 1)
    for i in range(n):
        if float(torch.rand((), generator=draw)) < 0.4:
            h, w = (int(s * float(0.1 + 0.25 * torch.rand((), generator=draw))) for s in (height, width))
            top = int(torch.randint(height // 5, height - h, (), generator=draw))  # below the head
            left = int(torch.randint(0, width - w + 1, (), generator=draw))
            x[i, :, top : top + h, left : left + w] = 0
    return x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def encode(network: PlainNetwork, images: npt.NDArray[np.uint8], bf16: bool = True) -> npt.NDArray[np.float32]:
    """Normalised features (N, D), picture and mirrored picture summed."""
    network.eval()
    out = []
    for start in range(0, len(images), 128):
        x = torch.from_numpy(images[start : start + 128]).permute(0, 3, 1, 2).float() / 127.5 - 1
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out.append(F.normalize((network(x)[0] + network(x.flip(3))[0]).float(), dim=1))
    return np.asarray(torch.cat(out).numpy(), np.float32)


def _keep(network: nn.Module, optimiser: torch.optim.Optimizer, epoch: int, state: Path) -> None:
    state.mkdir(parents=True, exist_ok=True)
    tensors = {f"network.{k}": v.contiguous().clone() for k, v in network.state_dict().items()}
    for i, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": v.contiguous().clone() for k, v in moments.items()}
    temporary = state / "state.tmp"
    save_file(tensors, temporary, {"epoch": json.dumps(epoch)})
    temporary.replace(state / "state.safetensors")


def _resume(network: nn.Module, optimiser: torch.optim.Optimizer, state: Path) -> int:
    file = state / "state.safetensors"
    if not file.is_file():
        return 0
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        epoch = int(json.loads(opened.metadata()["epoch"]))
    tensors = load_file(file)
    network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, i, name = key.split(".")
            moments.setdefault(int(i), {})[name] = value
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return epoch
