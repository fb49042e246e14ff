"""Offsets of the labels' scores: which label wins where two are about as likely.

The loss weighs pixels; mean IoU weighs labels. Adding one number per label to the scores, chosen on people that nothing was trained on,
makes up for a part of that. The offsets go into the biases of the last layer, so that the file needs nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pairs import Pair
from torch import Tensor

from reidclip.data.lip import LIP_LABELS
from reidclip_schp.mirror import mirrored_order
from reidclip_schp.tiny_geometry import letterbox
from reidclip_schp.tiny_network import FINER, TinyParserNet
from reidclip_schp.tiny_session import normalise

STEPS = (0.4, 0.2, 0.1)
PIXELS = 3000  # of each picture, at random: all of them would take gigabytes


@torch.no_grad()
def calibrate(network: TinyParserNet, pairs: Sequence[Pair], input_hw: tuple[int, int], seed: int = 0) -> list[float]:
    """Choose the offsets, add them to the network's last biases, and return them, one per label.

    Args:
        network: fused, as it is shipped.
        pairs: pictures and label maps of people that nothing was trained on.
        input_hw: height and width of the network's input.
    """
    scores, labels = _pixels(network, pairs, input_hw, seed)
    offsets = best_offsets(scores, labels)
    network.score.bias += offsets.repeat_interleave(FINER**2)  # the last layer scores FINER x FINER pixels of each label
    return [round(float(offset), 2) for offset in offsets]


def best_offsets(scores: Tensor, labels: Tensor) -> Tensor:
    """One label after the other, up or down while the mean IoU grows, in ever smaller steps.

    Args:
        scores: (N, labels) float.
        labels: (N,) int64.

    Returns:
        (labels,) offsets to add to the scores.
    """
    offsets = torch.zeros(scores.shape[1])
    best = mean_iou(scores, labels)
    for size in STEPS:
        for label in range(len(offsets)):
            for change in (size, -size):
                while True:
                    tried = offsets.clone()
                    tried[label] += change
                    found = mean_iou(scores + tried, labels)
                    if found <= best + 1e-5:
                        break
                    best, offsets = found, tried
    return offsets


def mean_iou(scores: Tensor, labels: Tensor) -> float:
    """Mean over the labels that occur; scores (N, labels), labels (N,)."""
    count = scores.shape[1]
    confusion = torch.bincount(labels * count + scores.argmax(1), minlength=count**2).view(count, count).double()
    union = confusion.sum(0) + confusion.sum(1) - confusion.diag()
    return float((confusion.diag() / union)[confusion.sum(1) > 0].mean())


def _pixels(network: TinyParserNet, pairs: Sequence[Pair], input_hw: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    """Scores (N, labels) and labels (N,) at random pixels, mirrored pictures averaged in as the parser does."""
    if any(pair.labels.shape != input_hw for pair in pairs):
        raise SystemExit(f"Calibrate on pictures of {input_hw[0]} x {input_hw[1]} pixels, as `reidclip synth --layout pairs` renders them.")
    order = mirrored_order(tuple(LIP_LABELS))
    generator = torch.Generator().manual_seed(seed)
    scores, labels = [], []
    for pair in pairs:
        x = normalise(torch.from_numpy(letterbox(pair.picture, input_hw)[None]))
        both = (network(x) + network(x.flip(3)).flip(3)[:, order]) / 2
        full = F.interpolate(both, size=input_hw, mode="bilinear", align_corners=False)[0].flatten(1).T
        at = torch.randint(len(full), (PIXELS,), generator=generator)
        scores.append(full[at])
        labels.append(torch.from_numpy(pair.labels).flatten()[at].long())
    return torch.cat(scores), torch.cat(labels)
