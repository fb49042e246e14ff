"""Stand-ins for SCHP's published weights: a random trunk, and label layers trained on rendered people (plan: `tests.bench.parse`)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidclip.data.images import UInt8, read_indexed_png, read_picture
from reidclip.data.lip import LIP_LABELS
from reidclip.stages.synth import synth
from reidclip_schp.abn import ActivatedBatchNorm
from reidclip_schp.context import Context
from reidclip_schp.crop import Crop, normalised, warp
from reidclip_schp.fold import fold
from reidclip_schp.network import SchpNetwork, to_size_of

INPUT = (473, 473)
PEOPLE, CAMERAS = 4, 3
DECODER_CHANNELS = 304  # of the map that decoder.conv3 reads
BRANCH = 0.1  # weight of the last normalisation of a residual branch
CALIBRATED_ON = 4  # pictures
CELLS = 3000  # of a picture's scores that are trained on
STEPS, BATCH, RATE = 300, 2048, 3e-3

Pictures = list[UInt8]


class Labelled(NamedTuple):
    """Pictures and their label maps."""

    pictures: Pictures
    maps: Pictures


def rendered(folder: Path, seed: int, per_camera: int) -> tuple[Labelled, Labelled]:
    """Four rendered people under three cameras: the pictures to train on, and the last two of each person and camera to measure on."""
    synth(folder, layout="prcc", ids=PEOPLE, test_ids=PEOPLE - 1, images_per_camera=per_camera, seed=seed)
    paths = sorted((folder / "rgb").rglob("*.jpg"), key=lambda path: (path.stem[-3:], path))
    held = 2 * PEOPLE * CAMERAS
    return _read(folder, paths[:-held]), _read(folder, paths[-held:])


def _read(folder: Path, paths: Sequence[Path]) -> Labelled:
    maps = [folder / "parsing" / path.relative_to(folder).with_suffix(".png") for path in paths]
    return Labelled([read_picture(path) for path in paths], [read_indexed_png(path)[0] for path in maps])


def inputs(pictures: Sequence[UInt8]) -> Tensor:
    """The network's input, (B, 3, H, W), contiguous as the published program has it."""
    crops = [Crop.of(picture.shape[:2], INPUT) for picture in pictures]
    warped = np.stack([warp(picture, crop) for picture, crop in zip(pictures, crops, strict=True)])
    return normalised(torch.from_numpy(warped)).contiguous()


def stand_in(seed: int, seen: Labelled) -> SchpNetwork:
    """A network as if it had been loaded, in evaluation mode; nothing in it is folded."""
    torch.manual_seed(seed)
    network = _with_random_weights(inputs(seen.pictures[:CALIBRATED_ON]))
    features, targets = _features(network, seen)
    _train(network, features, targets)
    return network.eval()


def _with_random_weights(x: Tensor) -> SchpNetwork:
    network = SchpNetwork(len(LIP_LABELS))
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, ActivatedBatchNorm):
            module.momentum = 1.0
            nn.init.constant_(module.weight, BRANCH if name.startswith("layer") and name.endswith("bn3") else 1.0)
    with torch.inference_mode():
        network.train()(x)
    for module in network.modules():
        if isinstance(module, ActivatedBatchNorm):  # of few cells of a pooled map, some differ by nothing
            module.running_var.clamp_(min=0.1 * float(module.running_var.mean()))
            module.momentum = 0.1
    return network.eval()


@torch.no_grad()
def _features(network: SchpNetwork, seen: Labelled) -> tuple[Tensor, Tensor]:
    """What the trained layers see at some cells: inputs of `decoder.conv3` beside edge features, (N, 304 + 768), and labels (N,)."""
    frozen = fold(copy.deepcopy(network)).to(memory_format=torch.channels_last)
    decoder, context, features, targets = frozen.decoder, Context(frozen.context_encoding), [], []
    for picture, labels in zip(*seen, strict=True):
        found = frozen.maps(inputs([picture]).contiguous(memory_format=torch.channels_last))
        coarse = to_size_of(decoder.conv1(context(found.context)), found.at4)
        cells = torch.cat([coarse, decoder.conv2(found.at4), frozen.edge(found)[1]], dim=1)[0].permute(1, 2, 0)
        at_cells, inside = _labels_at_cells(labels, (cells.shape[0], cells.shape[1]))
        chosen = inside.nonzero()
        rows, columns = chosen[torch.randperm(len(chosen))[:CELLS]].T
        features.append(cells[rows, columns])
        targets.append(at_cells[rows, columns])
    return torch.cat(features), torch.cat(targets)


def _labels_at_cells(labels: UInt8, scores_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Label at each cell of the scores, (h, w), and whether it lies in the picture."""
    (ax, _, bx), (_, ay, by) = Crop.of(labels.shape, INPUT).inverse()
    rows, columns = (
        np.rint(a * np.linspace(0, side - 1, count) + b).astype(int)
        for a, b, side, count in ((ay, by, INPUT[0], scores_hw[0]), (ax, bx, INPUT[1], scores_hw[1]))
    )
    inside = ((rows >= 0) & (rows < labels.shape[0]))[:, None] & ((columns >= 0) & (columns < labels.shape[1]))[None]
    at_cells = labels[rows.clip(0, labels.shape[0] - 1)][:, columns.clip(0, labels.shape[1] - 1)]
    return torch.from_numpy(at_cells.astype(np.int64)), torch.from_numpy(inside)


def _batches(count: int) -> Iterator[Tensor]:
    while True:
        order = torch.randperm(count)
        for start in range(0, count - BATCH + 1, BATCH):
            yield order[start : start + BATCH]


def _train(network: SchpNetwork, features: Tensor, targets: Tensor) -> None:
    """Adam at a rate that rises and falls; all layers are 1x1, so that cells stand for pictures."""
    trained = nn.ModuleList([network.decoder.conv3, network.fushion]).train()
    network.fushion[2].eval()  # dropout is of whole planes, which are no planes of a picture here
    optimizer = torch.optim.Adam(trained.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for _, batch in zip(range(STEPS), _batches(len(features)), strict=False):
        cells = features[batch][None, :, None].permute(0, 3, 1, 2)
        decoder, edge = cells[:, :DECODER_CHANNELS], cells[:, DECODER_CHANNELS:]
        scores = network.fushion(torch.cat([network.decoder.conv3(decoder), edge], dim=1))
        loss = F.cross_entropy(scores[0, :, :, 0].T, targets[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
